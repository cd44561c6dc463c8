"""Synthetic readings from what a detector has learned."""
