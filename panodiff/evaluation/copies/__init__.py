"""Whether a synthetic radiograph repeats a patient of the training split."""
