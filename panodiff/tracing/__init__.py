"""From a picture back to what it was made from, and the same picture made once more."""
