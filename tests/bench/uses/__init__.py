"""What else a detector is good for, measured on labelled data."""
