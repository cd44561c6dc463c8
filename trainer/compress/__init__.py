"""Files of readings within a bound of their values: `trainer compress` and back."""
