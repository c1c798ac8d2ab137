"""The U-Net discriminator of Real-ESRGAN (Wang et al. 2021, section 3.3): realness of every pixel, not of the image.

Shape letters: B images, C channels, H and W rows and columns, F features (`num_feat`).
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


def _normalised(in_dim: int, out_dim: int, *, halve: bool = False) -> nn.Conv2d:
    """A convolution whose weight is divided by its largest singular value (Miyato et al. 2018)."""
    kernel_size, stride = (4, 2) if halve else (3, 1)
    return spectral_norm(nn.Conv2d(in_dim, out_dim, kernel_size, stride, padding=1, bias=False))


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)  # (B, C, 2 H, 2 W)


class UNetDiscriminator(nn.Module):
    """One logit a pixel, high where the image looks real; 4,376,897 parameters at 3 channels, as published.

    It keeps the older hook of spectral normalisation, whose names (`weight_orig`, `weight_u`, `weight_v`) the
    published weights have. In training mode each forward pass moves its estimate of the singular values on.

    Args:
        in_chans: Channels of the image.
        num_feat: Features of the finest grid; the coarsest has 8 times as many.
    """

    def __init__(self, *, in_chans: int = 1, num_feat: int = 64) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(in_chans, num_feat, 3, padding=1)
        self.conv1 = _normalised(num_feat, 2 * num_feat, halve=True)
        self.conv2 = _normalised(2 * num_feat, 4 * num_feat, halve=True)
        self.conv3 = _normalised(4 * num_feat, 8 * num_feat, halve=True)
        self.conv4 = _normalised(8 * num_feat, 4 * num_feat)
        self.conv5 = _normalised(4 * num_feat, 2 * num_feat)
        self.conv6 = _normalised(2 * num_feat, num_feat)
        self.conv7 = _normalised(num_feat, num_feat)
        self.conv8 = _normalised(num_feat, num_feat)
        self.conv9 = nn.Conv2d(num_feat, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) for images `x` (B, C, H, W) in [0, 1].

        Raises:
            ValueError: H or W is not a multiple of 8.
        """
        height, width = x.shape[-2:]
        if height % 8 or width % 8:
            raise ValueError(f"image height and width must be multiples of 8 to be halved thrice, got {height}×{width}")
        x0 = _activate(self.conv0(x))  # (B, F, H, W)
        x1 = _activate(self.conv1(x0))  # (B, 2 F, H / 2, W / 2)
        x2 = _activate(self.conv2(x1))  # (B, 4 F, H / 4, W / 4)
        x3 = _activate(self.conv3(x2))  # (B, 8 F, H / 8, W / 8)
        x = _activate(self.conv4(_enlarge(x3))) + x2
        x = _activate(self.conv5(_enlarge(x))) + x1
        x = _activate(self.conv6(_enlarge(x))) + x0  # (B, F, H, W)
        x = _activate(self.conv8(_activate(self.conv7(x))))
        return self.conv9(x)  # (B, 1, H, W)


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
