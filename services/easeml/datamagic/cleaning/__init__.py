"""Cleaning: how columns are written, what looks wrong in them, and what the true values may be."""
