"""The diffusion network against the published construction and against two libraries: time, memory, operations.

    python benchmarks/diffusion.py                       # prints tables and writes benchmarks/results/diffusion-*.json
    python benchmarks/diffusion.py --size 32 64 --rounds 1                                     # two minutes, to try it
    python benchmarks/diffusion.py --batch 32 --compile                                        # on a GPU

Every network and precision runs in a process of its own, in turn, and keeps its best round. A training step: forward,
L1 distance to noise, backward, AdamW. Inference: one forward pass of a batch. Operations are those of matrix products,
convolutions and attention; a training step counts as three forward passes, and its share is of what products of
matrices reach on this machine at the same precision. Memory is the most that the process held, with the libraries that
its network needs and no others: all of it on a CPU, what PyTorch allocated on a GPU. The published network keeps all
attention scores in memory: at the usual size and batch it needs 12 GB, and a row whose process ends early tells so. On
a GPU, float32 means TF32 for all, as in training.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from parts.measuring import (
    PRECISIONS,
    fastest,
    in_own_process,
    machine,
    matrix_rates,
    peak_memory,
    processor,
)
from parts.unets import DEFAULT, DIFFUSERS, LUCIDRAINS, NAIVE, PUBLISHED, Case, check_same_network
from torch import Tensor, nn

from panodiff import launch
from panodiff.files import write_json

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all networks share."""

    size: tuple[int, int]
    batch: int
    compiled: bool
    device: str  # cpu | cuda


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one network reaches at one precision."""

    parameters: int
    step_s: float
    peak_gib: float
    images_per_s: float

    def best(self, other: "Row") -> "Row":
        """Of two rounds."""
        return replace(
            self,
            step_s=min(self.step_s, other.step_s),
            peak_gib=max(self.peak_gib, other.peak_gib),
            images_per_s=max(self.images_per_s, other.images_per_s),
        )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 256], metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="compile our networks")
    options = parser.parse_args()
    height, width = options.size
    device = launch.device().type
    setting = Setting(size=(height, width), batch=options.batch, compiled=options.compile, device=device)
    check_same_network()
    cases = [NAIVE, PUBLISHED, DEFAULT, DIFFUSERS]
    if find_spec(LUCIDRAINS.name):
        cases.append(LUCIDRAINS)
    else:
        print(f"{LUCIDRAINS.name} is not installed and not measured: pip install {LUCIDRAINS.name}", flush=True)
    gflop = {case.name: operations(case, setting.size) / 1e9 for case in cases}
    assert gflop[PUBLISHED.name] == gflop[NAIVE.name]  # fused attention counts as much as attention in memory
    rows, failed, rates = measure_all(cases, setting, options.rounds)
    results = {
        "rows": {key: described(key, row, gflop, setting, rates) for key, row in rows.items()},
        "failed": failed,
        "ratios": dict(all_ratios(rows)),
        "operations_by_published": gflop[DEFAULT.name] / gflop[PUBLISHED.name],
        "matrix_gflop_per_s": rates,
        **asdict(setting),
        "rounds": options.rounds,
        "machine": machine(device),
        "torch": torch.__version__,
    }
    print_table(results)
    slug = "cpu" if device == "cpu" else re.sub(r"[^a-z0-9]+", "-", processor(device).lower()).strip("-")
    write_json(ROOT / "benchmarks" / "results" / f"diffusion-{slug}.json", results)


def measure_all(
    cases: list[Case], setting: Setting, rounds: int
) -> tuple[dict[str, Row], dict[str, str], dict[str, float]]:
    """The rows, why others are missing, and the matrix rates in GFLOP/s; each round takes all in turn."""
    rows: dict[str, Row] = {}
    failed: dict[str, str] = {}
    rates = better_rates(dict.fromkeys(PRECISIONS, 0.0), setting)
    for _, case, precision in product(range(rounds), cases, PRECISIONS):
        key = f"{case.name}, {precision}"
        if key in failed:
            continue
        row, code = in_own_process(partial(measure, case, precision, setting))
        if row:
            rows[key] = row.best(rows.get(key, row))
        else:
            failed[key] = "killed, for want of memory?" if code == -9 else f"its process ended with {code}"
            rows.pop(key, None)
        print(f"{key}: {f'{row.step_s:.3f} s a training step' if row else failed[key]}", flush=True)
    return rows, failed, better_rates(rates, setting)


def better_rates(rates: dict[str, float], setting: Setting) -> dict[str, float]:
    """The matrix rates measured once more, where they are better now."""
    measured, _ = in_own_process(partial(matrix_rates, setting.device))
    return {precision: max(rate, measured[precision]) for precision, rate in rates.items()}


def measure(case: Case, precision: str, setting: Setting) -> Row:
    """All figures of one network, in this process."""
    torch.manual_seed(0)
    network = case.build().to(setting.device)
    if case.ours and setting.device == "cuda":
        network.to(memory_format=torch.channels_last)
    if case.ours and setting.compiled:
        network.compile()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    x_t, noise = torch.randn(2, setting.batch, case.in_chans, *setting.size, device=setting.device)
    t = torch.randint(0, 1000, (setting.batch,), device=setting.device)
    autocast = torch.autocast(setting.device, dtype=torch.bfloat16, enabled=precision == "bfloat16")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            noise_pred = predict(network, x_t, t)
        F.l1_loss(noise_pred.float(), noise).backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode(), autocast:
            predict(network, x_t, t)

    step_s = fastest(step, setting.device)
    peak_gib = peak_memory(setting.device)
    optimizer.zero_grad(set_to_none=True)
    network.eval()
    return Row(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        step_s=step_s,
        peak_gib=peak_gib,
        images_per_s=setting.batch / fastest(infer, setting.device),
    )


def predict(network: nn.Module, x_t: Tensor, t: Tensor) -> Tensor:
    predicted = network(x_t, t)
    return predicted if isinstance(predicted, Tensor) else predicted.sample  # diffusers wraps it


def operations(case: Case, size: tuple[int, int]) -> int:
    """Operations of a forward pass of one image.

    Counted on shapes alone, where fused attention falls apart into its two matrix products: PyTorch's counter has no
    formula for the fused kernel of CPUs and would count it as nothing.
    """
    with torch.device("meta"):
        network = case.build()
        x_t, t = torch.empty(1, case.in_chans, *size), torch.zeros(1, dtype=torch.long)
    counting = import_module("torch.utils.flop_counter")  # large, and not wanted in the processes that are measured
    with counting.FlopCounterMode(display=False) as counter:
        network(x_t, t)
    return int(counter.get_total_flops())


def described(
    key: str, row: Row, gflop: dict[str, float], setting: Setting, rates: dict[str, float]
) -> dict[str, float]:
    """The row, the operations of a forward pass, and the part of the matrix rate that a training step reaches."""
    name, precision = key.rsplit(", ", 1)
    reached = 3 * gflop[name] * setting.batch / row.step_s
    return {**asdict(row), "forward_gflop": gflop[name], "share_of_the_matrix_rate": reached / rates[precision]}


def all_ratios(rows: dict[str, Row]) -> Iterator[tuple[str, dict[str, float]]]:
    """Ours against the others, above 1 where ours is better."""
    pairs = [(ours, precision, NAIVE, precision) for ours in (PUBLISHED, DEFAULT) for precision in PRECISIONS]
    pairs += [(ours, "bfloat16", NAIVE, "float32") for ours in (PUBLISHED, DEFAULT)]
    pairs += [(PUBLISHED, precision, peer, precision) for peer in (DIFFUSERS, LUCIDRAINS) for precision in PRECISIONS]
    for ours, ours_in, other, other_in in pairs:
        of_ours, of_other = f"{ours.name}, {ours_in}", f"{other.name}, {other_in}"
        one, two = rows.get(of_ours), rows.get(of_other)
        if one and two:
            yield (
                f"{of_ours} : {of_other}",
                {
                    "training_speed": two.step_s / one.step_s,
                    "memory_saved": two.peak_gib / one.peak_gib,
                    "inference_speed": one.images_per_s / two.images_per_s,
                },
            )


def print_table(results: dict[str, Any]) -> None:
    print(f"\n{'':<40}{'M param.':>9}{'GFLOP':>8}{'s/step':>9}{'GiB':>7}{'images/s':>10}{'share':>7}")
    for key, row in results["rows"].items():
        print(
            f"{key:<40}{row['parameters'] / 1e6:>9.1f}{row['forward_gflop']:>8.1f}{row['step_s']:>9.3f}"
            f"{row['peak_gib']:>7.2f}{row['images_per_s']:>10.2f}{row['share_of_the_matrix_rate']:>7.0%}"
        )
    for key, reason in results["failed"].items():
        print(f"{key:<40}{reason}")
    rates = (f"{precision} {rate:.0f} GFLOP/s" for precision, rate in results["matrix_gflop_per_s"].items())
    print(f"matrix rate: {', '.join(rates)}\n\n{'times as good as':<84}{'training':>9}{'memory':>9}{'inference':>10}")
    for key, ratio in results["ratios"].items():
        print(f"{key:<84}{ratio['training_speed']:>9.2f}{ratio['memory_saved']:>9.2f}{ratio['inference_speed']:>10.2f}")
    print(f"operations of our default by the published: {results['operations_by_published']:.3f}")


if __name__ == "__main__":
    main()
