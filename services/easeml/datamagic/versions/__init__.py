"""Versions: what a pillar holds, as a digest that does not depend on the order of events."""
