"""Synthetic readings: drawn, faulted, written and sent."""
