"""What the processes of one training tell each other: gradients, sums, and whether one of them has to stop."""

import torch
from torch import Tensor, distributed, nn

from panodiff import launch


def mean_gradients(network: nn.Module) -> None:
    """Mean of the gradients over the processes, each with an equal share of the batch, in one message."""
    if launch.world_size() == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= launch.world_size()
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def sums_of_all(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sums over the processes; all have the same names in the same order."""
    if launch.world_size() == 1 or not sums:
        return sums
    totals = torch.stack(list(sums.values()))
    distributed.all_reduce(totals)
    return dict(zip(sums, totals, strict=True))


def any_process(*flags: bool) -> list[bool]:
    """For each flag, whether any process raises it: all must stop, and save, after the same step."""
    if launch.world_size() == 1:
        return list(flags)
    votes = torch.tensor(flags, dtype=torch.int, device=launch.device())
    distributed.all_reduce(votes)
    return [vote > 0 for vote in votes.tolist()]
