"""The U-Nets that benchmarks/diffusion.py compares."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import torch
import yaml
from parts.naive_unet import NaiveUNet
from torch import nn

from panodiff.diffusion.unet import UNet

ROOT = Path(__file__).parents[2]
NUM_PARAMETERS = 33_995_395  # of the published network


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network to measure; ours is laid out and compiled as in training."""

    name: str
    build: Callable[[], nn.Module]
    in_chans: int = 3
    ours: bool = False


def default_unet() -> nn.Module:
    """Of the base of params.yaml, whatever its profile."""
    return UNet(**yaml.safe_load((ROOT / "params.yaml").read_text())["diffusion"]["network"])


def diffusers_unet() -> nn.Module:
    """33.2 M parameters; attends after every block of the two coarser grids, where the published does once a grid."""
    network: nn.Module = import_module("diffusers").UNet2DModel(
        in_channels=3,
        out_channels=3,
        block_out_channels=(64, 128, 400),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=16,
        norm_num_groups=8,
    )
    return network


def lucidrains_unet() -> nn.Module:
    """34.0 M parameters, with full attention where the published has it and linear attention on the finest grid."""
    network: nn.Module = import_module(LUCIDRAINS.name).Unet(
        dim=120, dim_mults=(1, 2, 4), full_attn=(False, True, True), flash_attn=True
    )
    for module in network.modules():
        if hasattr(module, "cuda_config"):  # insists on a kernel that has no float32: PyTorch shall choose
            module.cuda_config = module.cpu_config
    return network


def check_same_network() -> None:
    """The published construction and ours, with the same weights, predict the same."""
    published, ours = NaiveUNet(), UNet(in_chans=3)
    assert sum(parameter.numel() for parameter in published.parameters()) == NUM_PARAMETERS
    ours.load_state_dict(published.state_dict())
    x_t, t = torch.randn(2, 3, 16, 32), torch.tensor([3, 970])
    with torch.inference_mode():
        torch.testing.assert_close(ours(x_t, t), published(x_t, t), rtol=1e-3, atol=1e-3)


NAIVE = Case(name="published, naive attention", build=NaiveUNet)
PUBLISHED = Case(name="ours as published", build=partial(UNet, in_chans=3), ours=True)
DEFAULT = Case(name="ours, default", build=default_unet, in_chans=1, ours=True)
DIFFUSERS = Case(name="diffusers", build=diffusers_unet)
LUCIDRAINS = Case(name="denoising_diffusion_pytorch", build=lucidrains_unet)
