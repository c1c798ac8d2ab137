"""Training of the encoder: two views of a radiograph must resemble each other more than any other radiograph's.

SimCLR (Chen et al. 2020, arXiv 2002.05709), with views that a radiograph allows: crops, exposure, blur, noise, scale.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from panodiff import launch
from panodiff.checkpoint import save_model
from panodiff.features.encoder import Encoder
from panodiff.files import write_csv
from panodiff.images import to_unit
from panodiff.params import EncoderParams
from panodiff.randomness import seeded_init, torch_generator
from panodiff.stage import Stage
from panodiff.training import ImageStore, Training, train
from panodiff.training.store import take

NUM_VALIDATION = 256  # held-out images, at most, that a milestone compares
_WHOLE_IMAGES = 16  # of them at once, uncropped


class ProjectedEncoder(nn.Module):
    """The encoder and the projection that only its training needs (SimCLR, section 4.2)."""

    def __init__(self, params: EncoderParams) -> None:
        super().__init__()
        dim = params.widths[-1]
        self.encoder = Encoder(params.widths)
        self.projection = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, params.embed_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors (B, E) of grey images (B, 1, H, W) in [0, 1]."""
        return F.normalize(self.projection(self.encoder(x)).float(), dim=1)


class Contrast:
    """The engine's objective: NT-Xent over two views of each image of the batch."""

    def __init__(self, params: EncoderParams, images: ImageStore, held_out: ImageStore, seed: int) -> None:
        device = launch.device()
        with seeded_init(seed, "encoder/init"):
            network = ProjectedEncoder(params)
        self.networks: dict[str, nn.Module] = {"encoder": network.to(device)}
        self.params, self.images, self.held_out, self.seed = params, images, held_out, seed

    def turns(self, step: int) -> tuple[str, ...]:
        """One network, every step."""
        return ("encoder",)

    def batch(self, indices: list[int], draws: list[int], step: int) -> Tensor:
        """Both views of the images, (2 B, 1, h, w) in [0, 1]: all first views, then all second ones."""
        return self._views(to_unit(take(self.images, indices)), draws, step, "encoder/views")

    def _views(self, x: Tensor, draws: list[int], step: int, purpose: str) -> Tensor:
        size = view_size(x.shape[-2:], torch_generator(self.seed, f"{purpose}/size", step))
        pairs = [
            [view(image, self.params.crop, size, generator) for _ in range(2)]
            for image, generator in zip(x, (torch_generator(self.seed, purpose, draw) for draw in draws), strict=True)
        ]
        return torch.cat([torch.stack(views) for views in zip(*pairs, strict=True)]).to(launch.device())

    def loss(self, turn: str, batch: Tensor, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """NT-Xent, and how often an image's other view is the most similar of all.

        Images are told from those of all processes. Each process has the whole loss, and of its gradient the part
        of its own images: the parts are summed, where the engine takes their mean.
        """
        loss, found = nt_xent(_of_all_processes(self.networks["encoder"](batch)), self.params.temperature)
        return loss * launch.world_size(), {"loss": loss, "found": found}

    def milestone(self, step: int, averaged: nn.Module) -> dict[str, float]:
        """The same on held-out images and fixed views, and in how many directions their features differ.

        `val_rank` of whole images, `val_rank_low` of images a quarter as wide: near 1, the features have collapsed.
        """
        assert isinstance(averaged, ProjectedEncoder)
        numbers = list(range(min(len(self.held_out), NUM_VALIDATION)))
        images = to_unit(take(self.held_out, numbers))
        views = self._views(images, numbers, 0, "encoder/held out")
        loss, found = nt_xent(averaged(views), self.params.temperature)
        features: dict[str, list[Tensor]] = {"val_rank": [], "val_rank_low": []}
        for part in images.split(_WHOLE_IMAGES):
            whole = part.to(launch.device())
            features["val_rank"].append(averaged.encoder(whole))
            features["val_rank_low"].append(averaged.encoder(F.avg_pool2d(whole, 4)))
        ranks = {name: effective_rank(torch.cat(parts)) for name, parts in features.items()}
        return {"val_loss": loss.item(), "val_found": found.item(), **ranks}


def _of_all_processes(z: Tensor) -> Tensor:
    """The vectors (2 B, E) of all processes, first views first; only this process's own have a gradient."""
    if launch.world_size() == 1:
        return z
    shares = [torch.empty_like(z) for _ in range(launch.world_size())]
    distributed.all_gather(shares, z.detach().contiguous())
    shares[launch.rank()] = z
    views = [share.chunk(2) for share in shares]
    return torch.cat([*(first for first, _ in views), *(second for _, second in views)])


def view_size(full: torch.Size, generator: torch.Generator) -> tuple[int, int]:
    """The size of a step's views: half the image's sides, or a quarter, as often.

    The smallest crops keep nearly the finest texture at the first, whole images at a quarter are what the diffusion
    model draws: features are learnt at both scales.
    """
    shrink = (2, 4)[int(torch.randint(0, 2, (), generator=generator))]
    return max(full[0] // shrink, 16), max(full[1] // shrink, 32)


def view(image: Tensor, crop: tuple[float, float], size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A random crop of `image` (1, H, W) in [0, 1], at `size`, in another exposure, with a little blur and noise."""
    draw = torch.rand(6, generator=generator).tolist()
    height, width = image.shape[-2:]
    side = crop[0] + (crop[1] - crop[0]) * draw[0]
    h, w = max(int(height * side), 8), max(int(width * side), 16)
    top, left = int((height - h) * draw[1]), int((width - w) * draw[2])
    patch = image[None, :, top : top + h, left : left + w]
    patch = F.interpolate(patch, size=size, mode="bilinear", antialias=True, align_corners=False)
    patch = patch.clamp(0, 1) ** (2 ** (draw[3] - 0.5)) * (0.85 + 0.3 * draw[4])  # gamma 0.71…1.41, gain 0.85…1.15
    noise = torch.randn(patch.shape, generator=generator) * 0.03 * draw[5]
    return (patch + noise).clamp(0, 1)[0]


def nt_xent(z: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The normalised temperature-scaled cross entropy (SimCLR, equation 1) and the share of pairs found.

    Args:
        z: Unit vectors (2 B, E): first views, then second views in the same order.
        temperature: τ of the paper.
    """
    count = len(z) // 2
    with torch.autocast(z.device.type, enabled=False):  # bfloat16 has two digits: many pairs would be as similar
        similarity = (z @ z.T / temperature).fill_diagonal_(float("-inf"))  # (2 B, 2 B)
    partner = torch.arange(2 * count, device=z.device).roll(count)
    return F.cross_entropy(similarity, partner), (similarity.argmax(1) == partner).double().mean()


def effective_rank(features: Tensor) -> float:
    """In how many directions features (N, D) differ, from 1 to min(N - 1, D).

    The exponential of the entropy of the singular values, as shares of their sum, of the centred features (Roy &
    Vetterli 2007).
    """
    values = torch.linalg.svdvals((features - features.mean(0)).double())
    shares = values / values.sum().clamp(min=1e-12)
    return float((-torch.xlogy(shares, shares).sum()).exp())


def train_encoder(stage: Stage, *, images: ImageStore, held_out: ImageStore, model: Path, metrics: Path) -> None:
    """Train on `images`, watch `held_out` (both uint8 (N, H, W)); write the model and its history."""
    params = stage.params.encoder
    objective = Contrast(params, images, held_out, stage.params.seed)
    training: Training = train(objective, params.training, len(images), stage, "encoder")
    if launch.rank() == 0:
        trained = ProjectedEncoder(params)
        trained.load_state_dict(training.averaged.module.state_dict())
        save_model(model, trained.encoder, {"widths": list(params.widths)})
        metrics.mkdir(parents=True, exist_ok=True)
        write_csv(metrics / "history.csv", training.history[0], training.history)
        write_csv(metrics / "milestones.csv", training.milestones[0], training.milestones)
