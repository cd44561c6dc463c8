"""A folder of detectors, and which of them is in use."""
