"""Features of radiographs: an encoder trained on the corpus itself, and what it says of the five sources."""
