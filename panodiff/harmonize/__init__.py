"""From files of five devices to one corpus: same framing, same size, no repeats, no leaks between the splits."""
