"""Workers that are killed, stalled and moved about, and what the alert topic says then."""
