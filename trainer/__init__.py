"""Fits detectors on history."""
