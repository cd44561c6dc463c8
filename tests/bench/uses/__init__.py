"""What else a detector is used for, measured on labelled public data."""
