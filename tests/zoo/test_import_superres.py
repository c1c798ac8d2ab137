"""Import of published HATs: they give what an independent HAT gives, whatever the file's layout; else are refused."""

import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import spandrel.architectures.HAT
import torch
from foreign import State, Trap, copied, prefixed, refuses, saved, without
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from torch import Tensor, nn

from panodiff.checkpoint import model_sha256, read_config, save_model
from panodiff.cli import main
from panodiff.diffusion.unet import UNet
from panodiff.evaluation.superres.restoration import restore_all
from panodiff.files import hash_file
from panodiff.images import read_grey, read_text_chunks, write_grey
from panodiff.model_card import TrainingImages
from panodiff.params import HATParams, UpscaleParams
from panodiff.sampling.upscale import upscale
from panodiff.superres.card import write_superres_card
from panodiff.superres.hat import HAT
from panodiff.superres.model import BlockRatios, Restorer, load_superres
from panodiff.zoo.superres import import_published

PeerHAT = spandrel.architectures.HAT.HAT

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")  # in the peer

CPU = torch.device("cpu")
INDICES = ("relative_position_index_SA", "relative_position_index_OCA")
SMALL = {
    "in_chans": 3,
    "embed_dim": 36,
    "depths": (2, 1),
    "num_heads": (2, 3),
    "window_size": 4,
    "overlap_ratio": 0.5,
    "mlp_ratio": 2.0,
    "compress_ratio": 3,
    "squeeze_factor": 30,
    "num_feat": 8,
    "upscale": 2,
}


@cache
def a_peer(seed: int, **sizes) -> nn.Module:
    """An independent HAT with no weight at zero, nor at a value that training starts from."""
    peer = PeerHAT(img_size=16, **SMALL | sizes)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return peer.eval()


def raw() -> State:
    return copied(a_peer(1).state_dict())


def ema() -> State:
    return copied(a_peer(2).state_dict())


def low_res(batch: int = 2, height: int = 6, width: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(batch, 1, height, width, generator=generator, dtype=torch.float64)


@torch.inference_mode()
def by_peer(peer: nn.Module) -> Tensor:
    """The grey image in all its channels, and the mean of what it returns."""
    peer = deepcopy(peer).double()
    return peer(low_res().expand(-1, peer.conv_first.in_channels, -1, -1)).mean(dim=1, keepdim=True)


@torch.inference_mode()
def by_import(folder: Path) -> Tensor:
    return load_superres(folder, CPU).double()(low_res())


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


def refused(file: Path, match: str, weights: str = "ema") -> None:
    refuses(import_published, file, match, weights)


LAYOUTS: dict[str, Callable[[State, State], dict]] = {
    "published": lambda ema, raw: {"params": raw, "params_ema": ema},
    "of_the_first_release": lambda ema, raw: {"params": without(raw, *INDICES), "params_ema": without(ema, *INDICES)},
    "distributed": lambda ema, raw: {"params": prefixed("module.", raw), "params_ema": prefixed("module.", ema)},
    "entries": lambda ema, raw: {"iter": 400000, "state_dict": raw, "ema": ema},
    "prefixes": lambda ema, raw: prefixed("net_g.", raw) | prefixed("net_g_ema.", ema),
    "one_within_the_other": lambda ema, raw: raw | prefixed("ema.", ema) | {"step": torch.tensor(5)},
}


@pytest.mark.parametrize(
    ("layout", "suffix"),
    [*((name, "pth") for name in LAYOUTS), *((name, "safetensors") for name in ("prefixes", "one_within_the_other"))],
)
def test_each_layout_gives_what_the_peer_gives_averaged_and_raw(layout: str, suffix: str, tmp_path: Path):
    file = saved(tmp_path / f"net.{suffix}", LAYOUTS[layout](ema(), raw()))
    expected = {"ema": by_peer(a_peer(2)), "raw": by_peer(a_peer(1))}
    for weights, image in expected.items():
        import_published(file, tmp_path / weights, weights=weights)
        assert_same(by_import(tmp_path / weights), image)
    assert not torch.allclose(expected["ema"], expected["raw"])


def test_weights_alone_are_the_raw_ones_until_their_file_says_otherwise(tmp_path: Path):
    file = saved(tmp_path / "alone.pth", raw())
    refused(file, r"no averaged \(EMA\) weights, by its names only: the whole file .* `--weights raw` takes those")
    import_published(file, tmp_path / "out", weights="raw")
    assert_same(by_import(tmp_path / "out"), by_peer(a_peer(1)))


@pytest.mark.parametrize(
    "sizes",
    [
        {"in_chans": 1, "embed_dim": 30, "depths": (1,), "num_heads": (5,), "upscale": 4, "mlp_ratio": 4.0},
        {"window_size": 8, "overlap_ratio": 0.25, "upscale": 3, "num_feat": 12, "compress_ratio": 1},
        {"embed_dim": 48, "depths": (1, 3, 2), "num_heads": (2, 6, 4), "compress_ratio": 24, "squeeze_factor": 24},
        {"upscale": 8, "mlp_ratio": 1.7, "overlap_ratio": 1.0, "squeeze_factor": 7},  # 36 × 1.7 and 36 / 7: no whole
        {"embed_dim": 98, "num_heads": (7, 2), "mlp_ratio": 0.02, "overlap_ratio": 0.0},  # 1 / 98 × 98 < 1 in floats
    ],
)
def test_every_size_is_taken_from_the_tensors(sizes: dict, tmp_path: Path):
    peer = a_peer(4, **sizes)
    import_published(saved(tmp_path / "net.pth", {"params_ema": peer.state_dict()}), tmp_path / "out", weights="ema")
    config, expected = read_config(tmp_path / "out"), SMALL | sizes
    names = ("embed_dim", "depths", "num_heads", "window_size", "num_feat")
    network = {name: list(value) if isinstance(value := expected[name], tuple) else value for name in names}
    assert config["network"] == network | {"bicubic_skip": False}
    assert (config["scale"], config["in_chans"]) == (expected["upscale"], expected["in_chans"])
    assert set(config["ratios"]) == set(BlockRatios.__dataclass_fields__)
    assert_same(by_import(tmp_path / "out"), by_peer(peer))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_without_a_change(dtype: torch.dtype, tmp_path: Path):
    state = {name: tensor.to(dtype) for name, tensor in ema().items()}  # the indices too, as some converters do
    import_published(saved(tmp_path / "half.pth", {"ema": state}), tmp_path / "out", weights="ema")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(weights[name], state[name].float()) for name in without(state, *INDICES))
    assert all(torch.equal(weights[name], ema()[name]) for name in INDICES)


def shapes(**sizes) -> State:
    """The tensors of a network as they would be in a file, one number each."""
    with torch.device("meta"):
        state = HAT(**{"in_chans": 3} | sizes).state_dict()
    return {name: torch.full((1,), 0.01).expand(tensor.shape) for name, tensor in without(state, *INDICES).items()}


def test_the_published_network_comes_in_by_the_command_with_all_that_is_known_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = saved(tmp_path / "Real_HAT_GAN_SRx4.pth", {"params_ema": shapes()})
    out = tmp_path / "zoo" / "published"
    assert main(["import", "superres", str(file), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert read_config(out) == {
        "network": {
            "embed_dim": 180,
            "depths": [6] * 6,
            "num_heads": [6] * 6,
            "window_size": 16,
            "num_feat": 64,
            "bicubic_skip": False,
        },
        "scale": 4,
        "in_chans": 3,
        "ratios": {"overlap_ratio": 0.5, "mlp_ratio": 2.0, "compress_ratio": 3, "squeeze_factor": 30},
        "imported_from": {"file": file.name, "sha256": hash_file(file), "weights": "ema", "entry": "params_ema"},
    }
    card = ModelCard.load(out / "README.md").text
    for fact in ("20,772,507 parameters in 862 tensors", hash_file(file), model_sha256(out), "`params_ema`", "0.01"):
        assert fact in card
    assert "Which images it was trained on is not known here." in card


@pytest.mark.parametrize(
    ("sizes", "million", "words"),
    [
        ({"embed_dim": 144, "compress_ratio": 24, "squeeze_factor": 24}, 9.6, "compress_ratio 24, squeeze_factor 24$"),
        ({"depths": (6,) * 12, "num_heads": (6,) * 12}, 40.8, "compress_ratio 3, squeeze_factor 30$"),
        ({"upscale": 2}, 20.6, r"^HAT ×2 of 3 channels"),
    ],
)
def test_the_other_published_sizes_are_known_by_one_wrong_tensor(
    sizes: dict, million: float, words: str, tmp_path: Path
):
    state = shapes(**sizes) | {"layers.0.residual_group.blocks.0.mlp.fc1.weight": torch.zeros(7, 7)}
    with pytest.raises(ValueError) as refusal:
        import_published(saved(tmp_path / "net.pth", {"params_ema": state}), tmp_path / "out", weights="ema")
    found = re.search(
        r"\(([\d,]+) parameters\) of the (.*), and no others: 1 of a wrong shape: (.*)$", str(refusal.value)
    )
    assert round(int(found[1].replace(",", "")) / 1e6, 1) == million
    assert re.search(words, found[2])
    assert found[3].startswith("layers.0.residual_group.blocks.0.mlp.fc1.weight 7×7 instead of ")


FIRST = "layers.0.residual_group.blocks.0"
TABLE = f"{FIRST}.attn.relative_position_bias_table"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: without(s, "norm.bias"), r"1 missing: norm\.bias$"),
        (lambda s: without(s, "conv_first.weight"), r"1 missing: conv_first\.weight$"),
        (lambda s: without(s, f"{FIRST}.norm1.weight"), r"1 missing: layers\.0\S+norm1\.weight$"),
        (lambda s: without(s, "layers.1.conv.weight", "layers.1.conv.bias"), r"2 missing: layers\.1\.conv\.weight"),
        (lambda s: without(s, "upsample.0.bias"), r"1 missing: upsample\.0\.bias$"),
        (lambda s: s | {"absolute_pos_embed": torch.ones(1, 4)}, r"1 unexpected: absolute_pos_embed$"),
        (lambda s: s | {"mean": torch.ones(1, 3, 1, 1)}, r"1 unexpected: mean$"),
        (lambda s: s | {f"{FIRST}.attn_mask": torch.ones(4, 16, 16)}, r"1 unexpected: layers\.0\S+\.attn_mask$"),
        (lambda s: s | {TABLE: torch.ones(48, 2)}, rf"wrong shape: {re.escape(TABLE)} 48×2 instead of 49×2$"),
        (
            lambda s: s | {"conv_first.weight": torch.ones(36, 4, 3, 3)},
            r"conv_first\.weight 36×4×3×3 instead of 36×3×3",
        ),
        (lambda s: s | {"norm.bias": torch.ones(36, dtype=torch.int64)}, r"plain floats: norm\.bias torch\.int64$"),
        (lambda s: s | {"norm.bias": torch.ones(36).to_sparse()}, r"plain floats: norm\.bias"),
        (lambda s: s | {INDICES[0]: s[INDICES[0]] + 1}, rf"1 not what follows from the sizes: {INDICES[0]}$"),
        (lambda s: s | {INDICES[1]: s[INDICES[1]][:1]}, rf"1 not what follows from the sizes: {INDICES[1]}$"),
        (lambda s: {"conv_last.bias": s["conv_last.bias"]}, r"must hold the 862 tensors .* 861 missing: \S+, \S+, \S+"),
    ],
)
def test_a_network_that_is_not_whole_is_refused_with_what_is_wrong(
    change: Callable[[State], State], match: str, tmp_path: Path
):
    state = change(ema())
    for name, content in {"entry": {"params_ema": state}, "prefix": prefixed("ema.", state)}.items():
        refused(saved(tmp_path / f"{name}.pth", content), match)


def five_heads(state: State) -> State:
    return {name: torch.ones(len(tensor), 5) if "bias_table" in name else tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("sizes", "change", "match"),
    [
        ({"window_size": 12}, copied, r"window_size 12, .* cannot be had here: window_size: .* 4, 8 or 16$"),
        ({"upscale": 1}, copied, r"scale 1, .* upscale must be 3 or a power of 2 above 1, got 1$"),
        ({"embed_dim": 24, "squeeze_factor": 6}, copied, r"embed_dim 24, .* must be at least 30"),
        ({"overlap_ratio": 0.25}, copied, r"overlap_ratio 0\.25, .* must be even, got 4 × 0\.25$"),
        ({}, five_heads, r"num_heads \(5, 5\), .* num_heads must divide embed_dim 36: \[5, 5\]$"),
    ],
)
def test_sizes_that_cannot_be_had_here_are_refused_with_what_they_are(
    sizes: dict, change: Callable[[State], State], match: str, tmp_path: Path
):
    state = change(a_peer(5, **sizes).state_dict())
    refused(saved(tmp_path / "net.pth", {"params_ema": state}), rf"net\.pth, params_ema: a HAT with .*{match}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_no_finite_float32_are_refused(value: float, tmp_path: Path):
    state = {name: tensor.double() for name, tensor in ema().items()}
    state[TABLE][-1, -1] = value
    refused(saved(tmp_path / "net.pth", {"params_ema": state}), rf"finite float32 .* 1 tensors .*{re.escape(TABLE)}")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_not_opened(legacy: bool, tmp_path: Path):
    sprung = tmp_path / "sprung"
    file = saved(tmp_path / "net.pth", {"params_ema": ema(), "opt": Trap(sprung)}, legacy=legacy)
    refused(file, r"pickled code, which can do anything")
    assert not sprung.exists()


@pytest.mark.parametrize("name", ["net.pth", "legacy.pth", "net.safetensors"])
def test_a_file_that_ends_too_soon_is_refused_wherever_it_ends(name: str, tmp_path: Path):
    whole = saved(tmp_path / name, prefixed("ema.", ema()), legacy=name.startswith("legacy")).read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:length])
        refused(tmp_path / name, "get it again")


def test_another_network_is_refused(tmp_path: Path):
    with torch.device("meta"):
        unet = {name: torch.zeros(1).expand(tensor.shape) for name, tensor in UNet(in_chans=3).state_dict().items()}
    refused(saved(tmp_path / "unet.pth", {"ema": unet}), r"does not hold the network.* conv_first\.weight\. .* ema$")
    # SwinIR has many of HAT's names
    swin = {name: tensor for name, tensor in ema().items() if "conv_block" not in name and "overlap" not in name}
    refused(saved(tmp_path / "swinir.pth", {"params_ema": swin}), r"must hold the 862 tensors .* missing: ")
    refused(tmp_path / "none.pth", "there is no file")


def test_what_exists_is_never_written_over(tmp_path: Path):
    file = saved(tmp_path / "net.pth", {"params_ema": ema()})
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for out in (tmp_path / "empty", file):
        with pytest.raises(ValueError, match="exists: name a new folder"):
            import_published(file, out, weights="ema")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_import_draws_no_random_number(tmp_path: Path):
    file = saved(tmp_path / "net.pth", {"params_ema": ema()})
    before = torch.get_rng_state()
    import_published(file, tmp_path / "out", weights="ema")
    assert torch.equal(torch.get_rng_state(), before)


def an_imported_model(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    import_published(saved(folder.parent / "net.pth", {"params_ema": ema()}), folder, weights="ema")
    return folder


def a_trained_model(folder: Path) -> Path:
    """A model folder as the training leaves it."""
    params = HATParams(embed_dim=36, depths=(1,), num_heads=(2,), window_size=4, num_feat=8, bicubic_skip=True)
    network = Restorer(params, 4)
    with torch.no_grad():
        for index, parameter in enumerate(network.hat.conv_last.parameters()):
            parameter.fill_(0.01 * (index + 1))
    save_model(folder, network.hat, {"network": params.model_dump(mode="json"), "scale": 4})
    write_superres_card(folder, origin="Trained.")
    return folder


def test_an_imported_model_of_three_channels_does_the_work_of_the_stages(tmp_path: Path):
    model = an_imported_model(tmp_path / "model")
    images = (low_res(3, 16, 32)[:, 0].numpy() * 255).astype(np.uint8)
    for index, image in enumerate(images):
        write_grey(tmp_path / "low" / f"{index}.png", image, {})
        write_grey(tmp_path / "high" / f"{index}.png", image.repeat(2, axis=0).repeat(2, axis=1))
    pd.DataFrame({"id": [0, 1, 2], "sha256": "unused"}).to_csv(tmp_path / "low" / "rows.csv", index=False)
    params = UpscaleParams(batch_size=2, shard_size=2, tile_size=None, tile_overlap=4)
    stage = SimpleNamespace(params=SimpleNamespace(upscale=params), scratch=tmp_path, check_stop=lambda: None)
    upscale(stage, model, tmp_path / "low", tmp_path / "out")
    assert all(read_grey(tmp_path / "out" / f"{index}.png").shape == (32, 64) for index in range(3))
    paths = {size: sorted((tmp_path / size).glob("*.png")) for size in ("low", "high")}
    columns = restore_all(paths, load_superres(model, CPU), lpips=None, extractors={}, device=CPU).metrics
    assert np.isfinite(columns["psnr_superres"]).all()


def test_the_card_of_a_training_has_its_facts_and_the_hub_reads_it(tmp_path: Path):
    folder = a_trained_model(tmp_path)
    write_superres_card(
        folder,
        origin="Trained by the stage train_superres.",
        settings={"steps": 700, "learning rate": 0.001},
        images=[TrainingImages(source="dentex", number=2000, licence="CC BY-NC-SA 4.0")],
        limits=["It was trained on drawings."],
    )
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "other"
    assert card.data.pipeline_tag == "image-to-image"
    assert {"super-resolution", "medical-imaging"} <= set(card.data.tags)
    lines = card.text.splitlines()
    for line in (
        "# Super-resolution model of panoramic radiographs, ×4",
        "2000 images.",
        "| dentex | 2000 | CC BY-NC-SA 4.0 |",
        "Trained by the stage train_superres.",
        "| learning rate | 0.001 |",
        "- It was trained on drawings.",
        "- **Network:** embed_dim 36; depths 1; num_heads 2; window_size 4; num_feat 8",
        "- **Enlarges:** 4 times; it adds to bicubic enlargement what that misses",
        "- **Images:** 1 channel, from 0 (black) to 1 (white)",
        f"- **Weights:** `model.safetensors`, SHA-256 `{hash_file(folder / 'model.safetensors')}`",
    ):
        assert line in lines
    num_parameters = sum(parameter.numel() for parameter in load_superres(folder, CPU).parameters())
    assert f"{num_parameters:,} parameters" in card.text
    assert "not known here" not in card.text


def test_the_card_of_an_import_says_what_its_network_is(tmp_path: Path):
    card = (an_imported_model(tmp_path / "model") / "README.md").read_text(encoding="utf-8")
    for line in (
        # 36 / 36 channels are as many as 36 / 30.
        "- **Inside its blocks:** overlap_ratio 0.5; mlp_ratio 2.0; compress_ratio 3; squeeze_factor 36",
        "- **Enlarges:** 2 times; it draws all of the image",
        "- **Images:** 3 channels, from 0 (black) to 1 (white), which all get the grey image; their mean is the result",
    ):
        assert line in card.splitlines()


@pytest.mark.parametrize(("make", "size"), [(a_trained_model, (256, 512)), (an_imported_model, (128, 256))])
def test_the_code_in_a_card_enlarges_an_image(
    make: Callable[[Path], Path], size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(make(tmp_path / "model"))
    exec(re.search(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)[1], {})
    image = read_grey(Path("enlarged.png"))
    assert image.shape == size
    assert image.std() > 1
    assert "Not for diagnosis" in read_text_chunks(Path("enlarged.png"))["Description"]
