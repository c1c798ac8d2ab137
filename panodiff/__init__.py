"""panodiff makes, measures and publishes synthetic panoramic radiographs (after PanoDiff-SR, arXiv 2507.09227)."""

__version__ = "0.1.0"
