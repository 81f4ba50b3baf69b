"""Lineage: staged operators on relations, run lazily, cached by content and told as OpenLineage events."""
