"""Training of the super-resolution model: L1 first, then L1, perceptual and adversarial loss together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panodiff import launch
from panodiff.checkpoint import save_model
from panodiff.degradation.area import area_average
from panodiff.degradation.pairs import make_pairs
from panodiff.images import from_unit, tile, to_unit, write_grey
from panodiff.params import SuperresParams
from panodiff.randomness import seeded_init, torch_generator
from panodiff.superres.discriminator import UNetDiscriminator
from panodiff.superres.losses import PerceptualLoss, discriminator_loss, generator_loss
from panodiff.superres.metrics import as_published, measure
from panodiff.superres.model import Restorer, bicubic
from panodiff.training import ImageStore
from panodiff.training.store import take

NUM_VALIDATION = 24  # held-out images, at most, that a milestone restores


@dataclass(kw_only=True)
class Crops:
    """Pairs to restore, and what the generator's turn leaves for the discriminator's."""

    high_res: Tensor  # (B, 1, H, W) in [0, 1]
    low_res: Tensor  # (B, 1, H / scale, W / scale) in [0, 1]
    wanted: Tensor  # (B, 1, H, W) in [0, 1]: what L1 and perceptual loss compare with
    restored: Tensor | None = None


class Restoring:
    """The engine's objective: the generator's three losses in two phases, and the discriminator's."""

    def __init__(
        self,
        params: SuperresParams,
        *,
        scale: int,
        perceptual: PerceptualLoss,
        lpips: nn.Module | None,
        images: ImageStore,
        held_out: ImageStore,
        seed: int,
        scratch: Path,
    ) -> None:
        device = launch.device()
        with seeded_init(seed, "superres/init"):
            generator = Restorer(params.network, scale)
            discriminator = UNetDiscriminator(in_chans=1, num_feat=params.discriminator_num_feat)
        self.networks: dict[str, nn.Module] = {
            "generator": generator.to(device),
            "discriminator": discriminator.to(device),
        }
        self.params, self.scale, self.perceptual, self.lpips = params, scale, perceptual, lpips
        self.images, self.held_out, self.seed = images, held_out, seed
        self.previews, self.candidates = scratch / "previews", scratch / "candidates"

    def turns(self, step: int) -> tuple[str, ...]:
        """The generator alone in the L1 phase, then both."""
        return ("generator",) if self._in_l1_phase(step) else ("generator", "discriminator")

    def _in_l1_phase(self, step: int) -> bool:
        return step < self.params.l1_phase * self.params.training.num_steps

    def batch(self, indices: list[int], draws: list[int], step: int) -> Crops:
        """A random square of each image, and its damaged low-resolution version."""
        generators = [torch_generator(self.seed, "superres/crops", draw) for draw in draws]
        whole = to_unit(take(self.images, indices))
        side = self.params.crop_size
        high_res = torch.stack(
            [
                random_crop(image, side, self.scale, generator)
                for image, generator in zip(whole, generators, strict=True)
            ]
        )
        low_res, wanted = make_pairs(high_res, self.scale, self.params.degradation, generators)
        device = launch.device()
        return Crops(high_res=high_res.to(device), low_res=low_res.to(device), wanted=wanted.to(device))

    def loss(self, turn: str, batch: Crops, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of the phase's losses for the generator; the cross entropy for the discriminator."""
        if turn == "discriminator":
            return self._discriminator_loss(batch)
        batch.restored = self.networks["generator"](batch.low_res)
        weights = self.params.loss
        l1 = F.l1_loss(batch.restored.float(), batch.wanted)
        if self._in_l1_phase(step):
            return weights.l1 * l1, {"l1": l1}
        perceptual = self.perceptual(batch.restored, batch.wanted).mean()
        discriminator = self.networks["discriminator"].requires_grad_(False)
        adversarial = generator_loss(discriminator(batch.restored))
        discriminator.requires_grad_(True)
        loss = weights.l1 * l1 + weights.perceptual * perceptual + weights.adversarial * adversarial
        return loss, {"l1": l1, "perceptual": perceptual, "adversarial": adversarial}

    def _discriminator_loss(self, batch: Crops) -> tuple[Tensor, Mapping[str, Tensor]]:
        assert batch.restored is not None  # the generator's turn comes first
        discriminator = self.networks["discriminator"]
        loss = discriminator_loss(discriminator(batch.high_res), discriminator(batch.restored.detach()))
        return loss, {"discriminator": loss}

    def milestone(self, step: int, averaged: nn.Module) -> dict[str, float]:
        """PSNR, SSIM and perceptual distances on whole held-out images, beside bicubic.

        Leaves bicubic, restored and real side by side, and the weights, of which one milestone's become the model.
        """
        assert isinstance(averaged, Restorer)
        count = min(len(self.held_out), NUM_VALIDATION)
        values: dict[str, list[float]] = {}
        for index in range(count):
            high_res = to_unit(take(self.held_out, [index])).to(launch.device())
            low_res = area_average(high_res, self.scale)
            enlarged = {"": averaged(low_res), "_bicubic": bicubic(low_res, self.scale)}
            for method, found in enlarged.items():
                for name, value in self._measure(as_published(found), high_res).items():
                    values.setdefault(f"val_{name}{method}", []).append(value.item())
            if index == 0 and launch.rank() == 0:
                row = from_unit(torch.cat([*reversed(enlarged.values()), high_res]))
                write_grey(self.previews / f"step-{step:09d}.png", tile(row, 3))
        if launch.rank() == 0:
            save_model(self.candidates / f"step-{step:09d}", averaged.hat, self.config)
        return {name: sum(found) / count for name, found in values.items()}

    def _measure(self, found: Tensor, true: Tensor) -> dict[str, Tensor]:
        return measure(found, true, self.lpips) | {"perceptual": self.perceptual(found, true)}

    @property
    def config(self) -> dict[str, Any]:
        """What makes a network of the weights again."""
        return {"network": self.params.network.model_dump(mode="json"), "scale": self.scale}


def random_crop(image: Tensor, side: int, multiple: int, generator: torch.Generator) -> Tensor:
    """A square of `image` (1, H, W), `side` pixels wide, that starts at a multiple of `multiple`."""
    rows, columns = ((length - side) // multiple + 1 for length in image.shape[-2:])
    top = int(torch.randint(0, rows, (), generator=generator)) * multiple
    left = int(torch.randint(0, columns, (), generator=generator)) * multiple
    return image[:, top : top + side, left : left + side]
