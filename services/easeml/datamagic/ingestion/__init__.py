"""Ingestion: uploads become rows of pillars, whole or slice by slice."""
