"""The headline numbers: what each means, what real images or plain interpolation get, what the paper published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from panodiff.report.numbers import Absent, middle_of, number, shown, value_at


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
        meaning="How far the synthetic set as a whole lies from the real test set, in the encoder's features. Where "
        "brackets stand, for sets as large as you like; else for these sizes only.",
        better="lower",
        ours=_SETS.format("high", "fd_encoder"),
        beside=_MATCHED.format("high", "fd_encoder"),
        beside_what=_REAL,
        published="—",
        published_what="",
    ),
    Measure(
        title="FID, high resolution",
        meaning="The same in the features of Inception, a network for photographs, as papers have it.",
        better="lower",
        ours=_SETS.format("high", "fid_inception"),
        beside=_MATCHED.format("high", "fid_inception"),
        beside_what=_REAL,
        published="40.69",
        published_what="real halves 5.7; StyleGAN3 19.4",
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
        title="Copies of training images",
        meaning="Share of synthetic images that repeat a patient of the training split, also shifted, mirrored, noisy "
        "or blended; beside it, real images that would be called so.",
        better="lower",
        ours="copies.synthetic",
        beside="copies.test",
        beside_what="real test images",
        published="—",
        published_what="",
    ),
    Measure(
        title="Alike among themselves (MS-SSIM)",
        meaning="Mean similarity of pairs of synthetic images. Above that of real ones: the model repeats itself.",
        better="like real",
        ours="diversity.synthetic.ms_ssim",
        beside="diversity.test.ms_ssim",
        beside_what="real test images",
        published="—",
        published_what="",
    ),
    Measure(
        title="Told from real ones (AUC)",
        meaning="How well a linear classifier of the encoder's features tells synthetic from real images that it has "
        "not seen. 0.5: not at all.",
        better="lower",
        ours="detectability.encoder.auc",
        beside="detectability.artefacts.auc",
        beside_what="by power spectrum and histogram alone",
        published="97.6 %",
        published_what="accuracy of a vision transformer; StyleGAN3 77.9 %",
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
    "fd_encoder": _SETS.format("high", "fd_encoder.value"),
    "fd_encoder_real": _MATCHED.format("high", "fd_encoder.value"),
    "fd_encoder_low": _SETS.format("low", "fd_encoder.value"),
    "kid_encoder": _SETS.format("high", "kid_encoder.value"),
    "precision_encoder": _SETS.format("high", "precision_encoder.value"),
    "recall_encoder": _SETS.format("high", "recall_encoder.value"),
    "copies": "copies.synthetic.share",
    "auc_encoder": "detectability.encoder.auc.value",
    "psnr_db": "restoration.psnr.superres.mean",
    "ssim": "restoration.ssim.superres.mean",
    # where the profile asks for them
    "lpips": "restoration.lpips.superres.mean",
    "fid_inception": _SETS.format("high", "fid_inception.value"),
    "fid_inception_real": _MATCHED.format("high", "fid_inception.value"),
}

SETS = ("synthetic", "train", "test")
PAIRS = {  # pair of metrics/evaluation.json: how the page calls it
    "synthetic_vs_test": "synthetic against test",
    "real_matched_vs_test": "as many train images against test",
    "test_halves": "test, one half against the other",
    "synthetic_vs_train": "synthetic against train",
    "train_vs_test": "train against test",
    "train_parts": "train, one part against another",
}
_METRICS = ("kid", "precision", "recall", "density", "coverage")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measure with its values as the page prints them."""

    measure: Measure
    ours: str | Absent
    beside: str | Absent


def headline_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """One row for each of MEASURES; a value that was not measured comes with its reason."""
    return [
        Row(measure=measure, ours=shown(evaluation, measure.ours), beside=shown(evaluation, measure.beside))
        for measure in MEASURES
    ]


def headline_table(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """The same as numbers: a row a measure, each value with the ends of its interval, empty where there is none."""
    return pd.DataFrame(
        {"measure": measure.title, "better": measure.better}
        | _parts("this_run", evaluation, measure.ours)
        | _parts("yardstick", evaluation, measure.beside)
        | {"yardstick_is": measure.beside_what}
        | {"published": measure.published.replace("—", ""), "published_is": measure.published_what}
        for measure in MEASURES
    )


def _parts(name: str, evaluation: Mapping[str, Any], path: str) -> dict[str, float | None]:
    value = value_at(evaluation, path)
    known = value if isinstance(value, dict) else {}
    plain = None if isinstance(value, Absent) else value
    return {
        name: middle_of(value) if known else plain,
        f"{name}_low": known.get("low"),
        f"{name}_high": known.get("high"),
    }


def summarize(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics/summary.json holds: the profile and the numbers of SUMMARY that were measured, no times."""
    found = {name: value_at(evaluation, path) for name, path in SUMMARY.items()}
    return {"profile": evaluation["profile"]} | {
        name: value for name, value in found.items() if not isinstance(value, Absent)
    }


def backbones(evaluation: Mapping[str, Any]) -> list[str]:
    """The networks in whose features sets were compared, the encoder first."""
    metrics = evaluation["sets"]["high"]["synthetic_vs_test"]
    return [name.removeprefix("kid_") for name in metrics if name.startswith("kid_")]


def pair_rows(evaluation: Mapping[str, Any], backbone: str) -> list[list[str | Absent]]:
    """The whole table of set metrics in one network's features: resolution, pair, sizes, then each metric."""
    rows: list[list[str | Absent]] = []
    for resolution, pairs in evaluation["sets"].items():
        for name in pairs:
            where = f"sets.{resolution}.{name}"
            sizes = f"{pairs[name]['num_fake']} / {pairs[name]['num_real']}"
            metrics = [_distance(backbone), *(f"{metric}_{backbone}" for metric in _METRICS)]
            values = [shown(evaluation, f"{where}.{metric}") for metric in metrics]
            rows.append([resolution, PAIRS.get(name, name), sizes, *values])
    return rows


def draw_rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """Fréchet distance to the test split of each quarter of the synthetic images: resolution, features, values."""
    return [
        [resolution, backbone, *(number(value) for value in found[_distance(backbone)])]
        for resolution, found in evaluation["draws"].items()
        for backbone in backbones(evaluation)
        if found
    ]


def score_rows(evaluation: Mapping[str, Any]) -> list[list[str | Absent]]:
    """Inception Scores: resolution, then synthetic, train and test images; none without Inception."""
    return [
        [resolution, *(shown(evaluation, f"inception_score.{resolution}.{name}") for name in SETS)]
        for resolution in evaluation.get("inception_score", {})
    ]


def _distance(backbone: str) -> str:
    return f"{'fid' if backbone == 'inception' else 'fd'}_{backbone}"
