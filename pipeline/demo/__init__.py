"""`pipeline demo`: the whole pipeline, live, on real data."""
