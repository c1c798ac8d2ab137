"""How low-resolution training input of the super-resolution model is made from high-resolution radiographs."""
