"""How good the synthetic radiographs are: set metrics, memorisation, and the super-resolution on held-out images."""
