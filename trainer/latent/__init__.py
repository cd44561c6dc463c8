"""Latent vectors: of windows in a file, and of incidents."""
