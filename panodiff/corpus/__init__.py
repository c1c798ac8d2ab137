"""From the harmonized radiographs of all sources to one corpus: no repeats, no leaks between the splits."""
