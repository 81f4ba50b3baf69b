"""Ease.ML: the whole life cycle of a machine-learning application as streaming services."""
