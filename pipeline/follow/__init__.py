"""`pipeline alerts`: follows the alert topic in the terminal."""
