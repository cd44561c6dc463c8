"""`pipeline compare`: what another detector would have said of the same readings."""
