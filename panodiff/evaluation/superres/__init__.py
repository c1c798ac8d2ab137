"""Super-resolution on held-out radiographs: what it restores, and the ceiling that it sets for samples."""
