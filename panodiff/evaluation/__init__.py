"""How good the synthetic radiographs are: as sets, as possible copies of patients, as a reader sees them, restored."""
