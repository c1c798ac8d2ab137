"""The headline numbers: what each means, what real images or plain interpolation get, what the paper published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Absent:
    """Something that the page would show if it were there, and why it is not."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One headline number; the paths are dotted keys of metrics/evaluation.json."""

    title: str
    meaning: str
    better: Literal["lower", "higher", "like real"]
    ours: str
    beside: str
    beside_what: str
    published: str  # by PanoDiff-SR, arXiv 2507.09227
    published_what: str  # what that was measured with, and what stands beside it there


_SETS = "sets.{}.synthetic_vs_test.{}"
_MATCHED = "sets.{}.real_matched_vs_test.{}"
_REAL = "real instead of synthetic"
MEASURES = (
    Measure(
        title="Fréchet distance, high resolution",
        meaning="How far the synthetic set as a whole lies from the real test set, in the encoder's features.",
        better="lower",
        ours=_SETS.format("high", "fd_encoder"),
        beside=_MATCHED.format("high", "fd_encoder"),
        beside_what=_REAL,
        published="40.69",
        published_what="FID; real halves 5.7; StyleGAN3 19.4",
    ),
    Measure(
        title="Fréchet distance, low resolution",
        meaning="The same before super-resolution: what the diffusion model alone does.",
        better="lower",
        ours=_SETS.format("low", "fd_encoder"),
        beside=_MATCHED.format("low", "fd_encoder"),
        beside_what=_REAL,
        published="55.0",
        published_what="FID; real halves 6.2",
    ),
    Measure(
        title="Fréchet distance, real images restored",
        meaning="The ceiling: real low-resolution images brought to high resolution, against other real images. "
        "Halves of the test set, so larger than between whole sets.",
        better="lower",
        ours="restored_vs_real.fd_encoder.superres",
        beside="restored_vs_real.fd_encoder.real",
        beside_what="real as they are",
        published="42.1",
        published_what="FID, of whole sets; fine-tuned SwinIR 10.5",
    ),
    Measure(
        title="Kernel distance (KID), high resolution",
        meaning="The same question, asked in a way that small sets bias less.",
        better="lower",
        ours=_SETS.format("high", "kid_encoder"),
        beside=_MATCHED.format("high", "kid_encoder"),
        beside_what=_REAL,
        published="0.0408",
        published_what="Inception features",
    ),
    Measure(
        title="Precision",
        meaning="Share of synthetic images that lie among the real ones: realism.",
        better="higher",
        ours=_SETS.format("high", "precision_encoder"),
        beside=_MATCHED.format("high", "precision_encoder"),
        beside_what=_REAL,
        published="0.562",
        published_what="Inception features; StyleGAN3 0.673",
    ),
    Measure(
        title="Recall",
        meaning="Share of real images that lie among the synthetic ones: diversity.",
        better="higher",
        ours=_SETS.format("high", "recall_encoder"),
        beside=_MATCHED.format("high", "recall_encoder"),
        beside_what=_REAL,
        published="0.288",
        published_what="Inception features; StyleGAN3 0.255",
    ),
    Measure(
        title="Close to a training image",
        meaning="Share of synthetic images nearer to a training image than 95 % of real ones are to each other. "
        "Much above the share beside it: copies of patients, to be looked at below.",
        better="like real",
        ours="nearest_train.share_below_real_p05.synthetic",
        beside="nearest_train.share_below_real_p05.test",
        beside_what="real test images",
        published="—",
        published_what="",
    ),
    Measure(
        title="PSNR of super-resolution, dB",
        meaning="Fidelity of held-out radiographs, reduced and restored, to their originals, pixel by pixel.",
        better="higher",
        ours="restoration.psnr.superres",
        beside="restoration.psnr.bicubic",
        beside_what="bicubic",
        published="29.69",
        published_what="bicubic 34.74, on training images; fine-tuned SwinIR 32.44",
    ),
    Measure(
        title="SSIM of super-resolution",
        meaning="The same for local structure. 1: equal.",
        better="higher",
        ours="restoration.ssim.superres",
        beside="restoration.ssim.bicubic",
        beside_what="bicubic",
        published="0.741",
        published_what="bicubic 0.860, on training images; fine-tuned SwinIR 0.841",
    ),
    Measure(
        title="LPIPS of super-resolution",
        meaning="The same as a viewer would judge. 0: equal.",
        better="lower",
        ours="restoration.lpips.superres",
        beside="restoration.lpips.bicubic",
        beside_what="bicubic",
        published="0.137",
        published_what="AlexNet; bicubic 0.441, on training images; fine-tuned SwinIR 0.393",
    ),
)

SUMMARY = {  # name in metrics/summary.json: where it stands in metrics/evaluation.json
    "num_synthetic": "counts.synthetic",
    "fd_encoder": _SETS.format("high", "fd_encoder"),
    "fd_encoder_real": _MATCHED.format("high", "fd_encoder"),
    "fd_encoder_low": _SETS.format("low", "fd_encoder"),
    "fd_encoder_restored": "restored_vs_real.fd_encoder.superres",
    "kid_encoder": _SETS.format("high", "kid_encoder"),
    "precision_encoder": _SETS.format("high", "precision_encoder"),
    "recall_encoder": _SETS.format("high", "recall_encoder"),
    "share_close_to_train": "nearest_train.share_below_real_p05.synthetic",
    "psnr_db": "restoration.psnr.superres.mean",
    "psnr_bicubic_db": "restoration.psnr.bicubic.mean",
    "ssim": "restoration.ssim.superres.mean",
    "lpips": "restoration.lpips.superres.mean",
}

PAIRS = {  # pair of metrics/evaluation.json: how the page calls it
    "synthetic_vs_test": "synthetic against test",
    "real_matched_vs_test": "as many train images against test",
    "test_halves": "test, one half against the other",
    "synthetic_vs_train": "synthetic against train",
    "train_vs_test": "train against test",
    "train_parts": "train, one part against another",
}
_PAIR_METRICS = ("fd_encoder", "kid_encoder", "precision_encoder", "recall_encoder")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measure with its values as the page prints them."""

    measure: Measure
    ours: str | Absent
    beside: str | Absent


def headline_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """One row for each of MEASURES; a value that was not measured comes with its reason."""
    return [
        Row(measure=measure, ours=_shown(evaluation, measure.ours), beside=_shown(evaluation, measure.beside))
        for measure in MEASURES
    ]


def summarize(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics/summary.json holds: the profile and the numbers of SUMMARY that were measured, no times."""
    found = {name: _value(evaluation, path) for name, path in SUMMARY.items()}
    return {"profile": evaluation["profile"]} | {
        name: value for name, value in found.items() if not isinstance(value, Absent)
    }


def pair_rows(evaluation: Mapping[str, Any]) -> list[list[str | Absent]]:
    """The whole table of set metrics: resolution, pair, sizes, then each metric."""
    rows: list[list[str | Absent]] = []
    for resolution, pairs in evaluation["sets"].items():
        for name in pairs:
            where = f"sets.{resolution}.{name}"
            sizes = f"{pairs[name]['num_fake']} / {pairs[name]['num_real']}"
            values = [_shown(evaluation, f"{where}.{metric}") for metric in _PAIR_METRICS]
            rows.append([resolution, PAIRS.get(name, name), sizes, *values])
    return rows


def _shown(evaluation: Mapping[str, Any], path: str) -> str | Absent:
    """The number at `path`, with its interval if it has one."""
    value = _value(evaluation, path)
    if isinstance(value, Absent):
        return value
    if isinstance(value, dict):
        return f"{number(value['mean'])} [{number(value['low'])}, {number(value['high'])}]"
    return number(value)


def _value(evaluation: Mapping[str, Any], path: str) -> Any:
    """What stands at `path`, or why nothing does: `absent` on the way there says so."""
    node: Any = evaluation
    reasons: dict[str, str] = {}
    for key in path.split("."):
        reasons |= node.get("absent", {})
        if not isinstance(node.get(key), int | float | dict):
            said = (reasons[part] for part in path.split(".") if part in reasons)
            return Absent(next(said, f"no {path} was measured"))
        node = node[key]
    return node


def number(value: float) -> str:
    """Three significant digits, two decimals from 10 and one from 100; whole numbers as they are; a true minus."""
    size = abs(value)
    if float(value).is_integer():
        text = f"{size:.0f}"
    elif size < 0.001:
        text = f"{size:.1e}"
    else:
        text = f"{size:.3g}" if size < 10 else f"{size:.2f}" if size < 100 else f"{size:.1f}"
    return f"{'−' if value < 0 else ''}{text.replace('-', '−')}"
