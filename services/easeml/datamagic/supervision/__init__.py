"""Supervision: labels from rules, crowds and few examples, wrong labels, and rows made up for training."""
