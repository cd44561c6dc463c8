"""Kafka behind a seam: `base` says what the worker needs, the other files provide it."""
