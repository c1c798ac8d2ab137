"""HAT of the published size against spandrel's: time and memory for one image of 128×256 → 512×1024.

    python benchmarks/superres.py                        # prints a table and writes benchmarks/results/superres-*.json
    python benchmarks/superres.py --size 32 64 --rounds 1                                     # a minute, to try it

Every network and precision runs in a process of its own, in turn, and keeps its best round; the compiled ones run once,
and compiling is not counted.
Both have the same weights, and their results are compared first. The share is of what products of matrices reach on
this machine at the same precision. Memory is the most that the process held, with the libraries that its network
needs and no others: all of it on a CPU, what PyTorch allocated on a GPU. On a GPU, float32 means TF32 for both, as in
training.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import torch
from parts.measuring import PRECISIONS, fastest, in_own_process, machine, matrix_rates, peak_memory, processor
from torch import nn

from panodiff import launch
from panodiff.files import write_json
from panodiff.superres.hat import HAT

ROOT = Path(__file__).parents[1]
PEER, OURS, COMPILED = "spandrel", "ours", "ours, compiled"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one network reaches at one precision."""

    seconds: float  # an image
    peak_gib: float

    def best(self, other: "Row") -> "Row":
        """Of two rounds."""
        return replace(self, seconds=min(self.seconds, other.seconds), peak_gib=max(self.peak_gib, other.peak_gib))


def main() -> None:
    """Compare, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 256], metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    size, device = (options.size[0], options.size[1]), launch.device().type
    check_same_network()
    rates, _ = in_own_process(partial(matrix_rates, device))
    rows: dict[str, Row] = {}
    turns = [*product((PEER, OURS), PRECISIONS)] * options.rounds + [*product((COMPILED,), PRECISIONS)]
    for name, precision in turns:
        row, code = in_own_process(partial(measure, name, precision, size, device))
        if row is None:
            raise SystemExit(f"{name}, {precision}: its process ended with {code}")
        key = f"{name}, {precision}"
        rows[key] = row.best(rows.get(key, row))
        print(f"{key}: {row.seconds:.2f} s", flush=True)
    again, _ = in_own_process(partial(matrix_rates, device))
    rates = {precision: max(rate, again[precision]) for precision, rate in rates.items()}
    gflop = operations(size) / 1e9
    results = {
        "rows": {
            key: asdict(row) | {"share_of_the_matrix_rate": gflop / row.seconds / rates[key.rsplit(", ", 1)[1]]}
            for key, row in rows.items()
        },
        "ratios": dict(ratios(rows)),
        "gflop": gflop,
        "matrix_gflop_per_s": rates,
        "size": size,
        "rounds": options.rounds,
        "machine": machine(device),
        "torch": torch.__version__,
    }
    print_table(results)
    slug = "cpu" if device == "cpu" else re.sub(r"[^a-z0-9]+", "-", processor(device).lower()).strip("-")
    write_json(ROOT / "benchmarks" / "results" / f"superres-{slug}.json", results)


def build(name: str) -> nn.Module:
    """Of the published size."""
    torch.manual_seed(0)
    if name == PEER:
        published = {"embed_dim": 180, "depths": (6,) * 6, "num_heads": (6,) * 6, "window_size": 16}
        peer: nn.Module = import_module("spandrel.architectures.HAT").HAT(
            img_size=64, in_chans=3, upscale=4, mlp_ratio=2, **published
        )
        return peer
    return HAT(in_chans=3)


def check_same_network() -> None:
    """With the same weights both enlarge alike."""
    peer, ours = build(PEER).eval(), build(OURS).eval()
    peer.load_state_dict(ours.state_dict())
    image = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(ours(image), peer(image), rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def measure(name: str, precision: str, size: tuple[int, int], device: str) -> Row:
    """Time and memory of one network, in this process."""
    network = build(name).eval().to(device)
    image = torch.rand(1, 3, *size, device=device)
    if name == COMPILED:
        network(
            image[..., :32, :32]
        )  # einops meets PyTorch: were that the compiled network's doing, it would compile twice
        network.compile(fullgraph=True)
    autocast = torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16")

    def enlarge() -> None:
        with autocast:
            network(image)

    return Row(seconds=fastest(enlarge, device), peak_gib=peak_memory(device))


def operations(size: tuple[int, int]) -> int:
    """Of one image; counted on shapes alone, where fused attention falls apart into its two matrix products."""
    with torch.device("meta"):
        network, image = build(OURS), torch.empty(1, 3, *size)
    counting = import_module("torch.utils.flop_counter")  # large, and not wanted in the processes that are measured
    with counting.FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(image)
    return int(counter.get_total_flops())


def ratios(rows: dict[str, Row]) -> Iterator[tuple[str, dict[str, float]]]:
    """Ours against spandrel's, above 1 where ours is better: at each precision, and in the best mode of either."""
    best = {
        name: min((row.seconds, key) for key, row in rows.items() if key.startswith(name))[1] for name in (PEER, OURS)
    }
    pairs = [(f"{OURS}, {precision}", f"{PEER}, {precision}") for precision in PRECISIONS]
    pairs += [(best[OURS], f"{PEER}, float32"), (best[OURS], best[PEER])]
    for ours, peer in pairs:
        one, other = rows[ours], rows[peer]
        yield f"{ours} : {peer}", {"speed": other.seconds / one.seconds, "memory_saved": other.peak_gib / one.peak_gib}


def print_table(results: dict[str, Any]) -> None:
    print(f"\n{results['gflop']:.0f} GFLOP an image\n{'':<26}{'s/image':>9}{'GiB':>7}{'share':>7}")
    for key, row in results["rows"].items():
        print(f"{key:<26}{row['seconds']:>9.2f}{row['peak_gib']:>7.2f}{row['share_of_the_matrix_rate']:>7.0%}")
    rates = (f"{precision} {rate:.0f} GFLOP/s" for precision, rate in results["matrix_gflop_per_s"].items())
    print(f"matrix rate: {', '.join(rates)}\n\n{'times as good as':<50}{'speed':>7}{'memory':>8}")
    for key, ratio in results["ratios"].items():
        print(f"{key:<50}{ratio['speed']:>7.2f}{ratio['memory_saved']:>8.2f}")


if __name__ == "__main__":
    main()
