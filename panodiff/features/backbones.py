"""The networks whose features set metrics compare, under the names of params.yaml; all take grey images in [0, 1].

| name | trained on | features |
|---|---|---|
| encoder | this corpus, by the stage train_encoder | means of its last level |
| inception | ImageNet; FID's own Inception v3 of 2015 | 2048 of the last pooling (and 1008 logits, for IS) |
| resnet50 | ImageNet; torchvision, IMAGENET1K_V1 | 2048 of the last pooling |
| vgg16 | ImageNet; Oxford | means of conv5_3, 512 |
| alexnet, squeezenet | ImageNet; torchvision | means of the last map that LPIPS uses, 256 and 512 |
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from panodiff.features.embed import Features
from panodiff.features.encoder import load_encoder
from panodiff.features.perceptual import PhotographFeatures, load_lpips
from panodiff.features.vgg import VGGFeatures, load_vgg
from panodiff.images import to_bytes
from panodiff.weights import WEIGHTS, load_tensors, locate

_INCEPTION_FEATURES = 2048
_RESNET_SIZE = 224
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Inception(nn.Module):
    """Features and logits as torchmetrics takes them (`normalize=True`): of 8 bits, reduced to 299×299 from any size.

    By default torchmetrics reduces with antialiasing, which torch-fidelity and the first FID do not: values of
    large images differ. Channels lie last, and each batch normalisation is folded into the convolution before it: the
    same function at nearly twice the speed.

    Args:
        weights: torch-fidelity's file, verified before: it is no plain tensor file.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d  # noqa: PLC0415
        from torchmetrics.image.fid import NoTrainInceptionV3  # noqa: PLC0415

        self.network: Any = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
        for module in self.network.modules():
            if isinstance(module, BasicConv2d):
                module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()
        self.network.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2048 + 1008) of grey images `x` (B, 1, H, W) in [0, 1]: the features, then the logits without bias."""
        features: Tensor = self.network(to_bytes(x).expand(-1, 3, -1, -1))
        return torch.cat([features, features @ self.network.fc.weight.T], dim=1)


class ResNet50(nn.Module):
    """What torchvision's ResNet-50 pools last (He et al. 2016)."""

    mean: Tensor
    std: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        from torchvision.models import resnet50  # noqa: PLC0415

        self.network = resnet50(weights=None)
        self.network.load_state_dict(dict(tensors))
        self.network.fc = nn.Identity()
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 2048) of grey images `x` (B, 1, H, W) in [0, 1], brought to 224×224, whatever their shape."""
        x = F.interpolate(x, size=(_RESNET_SIZE, _RESNET_SIZE), mode="bilinear", antialias=True, align_corners=False)
        found: Tensor = self.network((x.expand(-1, 3, -1, -1) - self.mean) / self.std)
        return found


class VGG16(nn.Module):
    """Means of the last map of Oxford's network."""

    def __init__(self, network: VGGFeatures) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 512) of grey images `x` (B, 1, H, W) in [0, 1]."""
        maps: list[Tensor] = self.network(x)
        return maps[-1].mean((2, 3))


def load_backbones(
    names: Sequence[str], encoder: Path, device: torch.device, folder: Path = WEIGHTS
) -> dict[str, nn.Module]:
    """The networks by name, on `device`, in evaluation mode.

    Args:
        names: From the table above.
        encoder: Where the stage train_encoder left its model.
        device: Where they shall run.
        folder: Where catalogue and weights are.

    Raises:
        WeightsError: Weights are missing or not the catalogued ones.
    """
    return {name: _load(name, encoder, device, folder) for name in names}


def _load(name: str, encoder: Path, device: torch.device, folder: Path) -> nn.Module:
    network: nn.Module
    if name == "encoder":
        return load_encoder(encoder, device)
    if name == "inception":
        network = Inception(locate(name, folder))
    elif name == "resnet50":
        network = ResNet50(load_tensors(name, folder))
    elif name == "vgg16":
        network = VGG16(load_vgg(name, device, folder))
    else:
        network = PhotographFeatures(load_lpips(name, device, folder))
    return network.to(device).eval().requires_grad_(False)


def features_and_logits(found: Mapping[str, Features]) -> tuple[dict[str, Features], Features | None]:
    """Features (N, D) by backbone, and Inception's logits (N, 1008) where it is among them."""
    features = dict(found)
    if "inception" not in features:
        return features, None
    both = features["inception"]
    features["inception"] = both[:, :_INCEPTION_FEATURES]
    return features, both[:, _INCEPTION_FEATURES:]
