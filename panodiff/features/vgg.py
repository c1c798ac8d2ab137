"""Feature maps of VGG networks trained on photographs, with weights from data/weights."""

from pathlib import Path

import torch
from torch import Tensor, nn

from panodiff.weights import WEIGHTS, load_tensors

_WIDTHS = (64, 128, 256, 512, 512)
_DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions of each width
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_OXFORD_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # Oxford's networks take greys 0…255 less this


class VGGFeatures(nn.Module):
    """What the last convolution of each width gives, before its ReLU (Simonyan & Zisserman 2015; Wang et al. 2021).

    Args:
        backbone: vgg16, with Oxford's weights, or vgg19, with torchvision's.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._levels: list[int] = []
        before = 3
        for width, depth in zip(_WIDTHS, _DEPTHS[backbone], strict=True):
            for _ in range(depth):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            self._levels.append(len(layers) - 2)
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-2])  # the last map is one before its ReLU
        oxford = backbone == "vgg16"
        std = (1 / 255,) * 3 if oxford else _IMAGENET_STD
        self.register_buffer("mean", torch.tensor(_OXFORD_MEAN if oxford else _IMAGENET_MEAN).view(3, 1, 1), False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), False)
        # ReLU networks grow with their input: so Oxford's maps are about of the size of torchvision's.
        self._unit = 255 * sum(_IMAGENET_STD) / 3 if oxford else 1.0

    def forward(self, x: Tensor) -> list[Tensor]:
        """Five maps, (B, width, H / 2^i, W / 2^i), of grey images `x` (B, 1, H, W) in [0, 1]; sides from 16 up."""
        maps = []
        x = (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self._levels:
                maps.append(x / self._unit)
        return maps


def load_vgg(backbone: str, device: torch.device, folder: Path = WEIGHTS) -> VGGFeatures:
    """The frozen network with the weights `backbone` in `folder`.

    Raises:
        WeightsError: They are missing or not the catalogued ones.
    """
    network, tensors = VGGFeatures(backbone), load_tensors(backbone, folder)
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    return network.to(device).eval().requires_grad_(False)
