"""`denoise`: readings with their noise taken off, by overlapping reconstructions."""
