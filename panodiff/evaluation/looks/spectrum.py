"""How much detail of each size images have: what super-resolution leaves out, and what it makes up."""

import math

import torch
from torch import Tensor

NUM_FREQUENCIES = 64  # rings between 0 and 1/2 cycle a pixel


def ring_frequencies() -> list[float]:
    """The middle of each ring, in cycles a pixel."""
    return [(ring + 0.5) / (2 * NUM_FREQUENCIES) for ring in range(NUM_FREQUENCIES)]


def radial_power(images: Tensor) -> Tensor:
    """Power by spatial frequency, (B, NUM_FREQUENCIES), of images (B, 1, H, W), float64.

    The squared Fourier transform of each image without its mean grey, under a Hann window, divided by the window's own
    power, as a mean over the ring |f| of each frequency: white noise of variance σ² gives σ² everywhere. Rings that
    hold no frequency of so small an image are NaN.
    """
    images = images[:, 0].double()
    height, width = images.shape[-2:]
    window = _hann(height, images)[:, None] * _hann(width, images)
    mean = (images * window).sum((1, 2), keepdim=True) / window.sum()
    power = torch.fft.fft2((images - mean) * window).abs().square() / window.square().sum()  # (B, H, W)
    rows, columns = (torch.fft.fftfreq(length, device=images.device).double() for length in (height, width))
    ring = (torch.hypot(rows[:, None], columns) * 2 * NUM_FREQUENCIES).long().flatten()  # (H · W,)
    inside = ring < NUM_FREQUENCIES  # beyond are the corners, of one direction only
    sums = images.new_zeros(len(images), NUM_FREQUENCIES).index_add_(1, ring[inside], power.flatten(1)[:, inside])
    counts = torch.bincount(ring[inside], minlength=NUM_FREQUENCIES)
    return sums / counts


def _hann(length: int, like: Tensor) -> Tensor:
    place = torch.arange(length, dtype=like.dtype, device=like.device) + 0.5
    return (math.pi * place / length).sin().square()
