"""Weights from elsewhere become model folders of this project."""
