"""The training engine that the encoder, the diffusion model and the super-resolution model share."""

from panodiff.training.engine import Objective, Training, train
from panodiff.training.store import ImageStore, open_store

__all__ = ["ImageStore", "Objective", "Training", "open_store", "train"]
