"""The report: one self-contained page of figures, numbers and provenance, and the few numbers that dvc compares."""
