"""Trains the assigned algorithms in worker processes and publishes the models."""
