"""LPIPS (Zhang et al. 2018) with backbone weights from data/weights: nothing is downloaded, nothing left random."""

import warnings
from pathlib import Path
from typing import Any

import torch
from lpips import LPIPS
from torch import Tensor, nn

from panodiff.randomness import seeded_init
from panodiff.weights import WEIGHTS, load_tensors

_NETS = {"alexnet": "alex", "squeezenet": "squeeze"}  # our names → those of the package lpips


def load_lpips(backbone: str | None, device: torch.device, folder: Path = WEIGHTS) -> nn.Module | None:
    """LPIPS 0.1 with the `backbone` in `folder`; None for None.

    Raises:
        WeightsError: The backbone's file is missing or not the catalogued one.
    """
    if backbone is None:
        return None
    features = load_tensors(backbone, folder)
    with warnings.catch_warnings(), seeded_init(0, "lpips"):  # drawn weights, all replaced below
        warnings.filterwarnings("ignore", message=".*'(pretrained|weights)'", category=UserWarning)
        network = LPIPS(net=_NETS[backbone], pnet_rand=True, verbose=False)
    # lpips cuts the backbone into slices but keeps the layers' numbers: slice2.3.weight is features.3.weight.
    names = {name: f"features.{name.split('.', 1)[1]}" for name in network.net.state_dict()}
    if set(names.values()) != set(features):
        raise ValueError(f"the weights of {backbone} do not fit LPIPS: {sorted(set(names.values()) ^ set(features))}")
    network.net.load_state_dict({name: features[source] for name, source in names.items()})
    return network.to(device).eval().requires_grad_(False)


def perceptual_distance(network: nn.Module, found: Tensor, true: Tensor) -> Tensor:
    """LPIPS (B,), from 0, of grey images (B, 1, H, W) in [0, 1]; grey is fed to all three channels."""
    distance: Tensor = network(_coloured(found), _coloured(true))
    return distance.flatten()


class PhotographFeatures(nn.Module):
    """Features of photographs: means of the last map of LPIPS's backbone."""

    def __init__(self, lpips: Any) -> None:
        super().__init__()
        self.scaling_layer, self.net = lpips.scaling_layer, lpips.net

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, D) of grey images `x` (B, 1, H, W) in [0, 1]."""
        maps = self.net(self.scaling_layer(_coloured(x)))
        last: Tensor = maps[-1]
        return last.mean((2, 3))


def _coloured(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1) * 2 - 1
