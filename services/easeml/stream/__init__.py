"""The kernel: events, topics, codec, the at-least-once loop, dead letters, health, metrics and settings."""
