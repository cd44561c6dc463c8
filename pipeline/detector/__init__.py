"""The trained thing: it alone maps windows to a normalised score, whatever is inside."""
