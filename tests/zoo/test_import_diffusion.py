"""Import of published weights: every layout that checkpoints come in, and everything that must be refused."""

import json
import re
import resource
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import State, Trap, copied, prefixed, refuses, saved, without
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from panodiff.checkpoint import load_weights, model_sha256, read_config, save_model
from panodiff.cli import main
from panodiff.diffusion.card import TrainingImages, write_model_card
from panodiff.diffusion.unet import UNet
from panodiff.files import hash_file
from panodiff.images import read_grey, read_text_chunks
from panodiff.params import ScheduleParams, UNetParams
from panodiff.zoo.diffusion import import_published

SMALL = {"widths": (8, 16, 24), "attention": (False, True)}


def a_unet(seed: int, **configuration) -> UNet:
    """A network with no weight at zero, nor at a value that training starts from."""
    unet = UNet(**({"in_chans": 3} | SMALL | configuration))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return unet.eval()


RAW, EMA = a_unet(1), a_unet(2)


def both_in_one(ema: State, raw: State) -> State:
    """What an EMA object saves that holds both networks."""
    counters = {"initted": torch.tensor([True]), "step": torch.tensor(7)}
    return counters | prefixed("online_model.", raw) | prefixed("ema_model.", ema)


def published(ema: State, raw: State) -> dict:
    """The layout of the published checkpoints."""
    unet = a_unet(4)
    optimizer = torch.optim.AdamW(unet.parameters())
    for parameter in unet.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return {"model_state": raw, "ema_model_state": ema, "optimizer_state": optimizer.state_dict()}


def averaged_by_torch(ema: State, raw: State) -> dict:
    network = AveragedModel(UNet(in_chans=3, **SMALL))
    network.module.load_state_dict(ema)
    return {"averages": network.state_dict(), "network": raw}


def within_itself(ema: State, raw: State) -> dict:
    content: dict = {"model": raw, "ema": ema}
    content["self"] = content
    return content


LAYOUTS: dict[str, Callable[[State, State], dict]] = {
    "entries": lambda ema, raw: {"epoch": 3, "state_dict": raw, "ema_model_state_dict": ema},
    "entries_short": lambda ema, raw: {"model": raw, "ema": ema},
    "entries_camel_case": lambda ema, raw: {"netG": raw, "ModelEMA": ema},
    "distributed_and_compiled": lambda ema, raw: {
        "model": prefixed("module._orig_mod.", raw),
        "model_ema": prefixed("_orig_mod.module.", ema),
    },
    "ema_object": both_in_one,
    "ema_object_in_an_entry": lambda ema, raw: {"step": 5, "model": raw, "ema": both_in_one(ema, raw)},
    "averaged_by_torch": averaged_by_torch,
    "beside_other_networks": lambda ema, raw: {
        "state_dict": prefixed("model.", raw) | prefixed("model_ema.", ema) | {"vgg.0.weight": torch.ones(3, 3)}
    },
    "moments_by_name": lambda ema, raw: {
        "model": raw,
        "ema": ema,
        "optimizer": {"exp_avg": {name: tensor + 1 for name, tensor in raw.items()}},
    },
    "moments_by_prefix": lambda ema, raw: (
        prefixed("model.", raw) | prefixed("ema.", ema) | prefixed("optimizer.avg.", copied(raw))
    ),
    "counters_beside": lambda ema, raw: {
        "model": raw | {"num_updates": torch.tensor(5)},
        "ema": ema | {"decay": torch.tensor([0.999])},
    },
    "a_network_of_like_names_beside": lambda ema, raw: {
        "model": {"vae": {"conv_out.weight": torch.ones(3, 8)}, "unet": raw},
        "ema": {"vae": {"conv_out.weight": torch.ones(3, 8)}, "unet": ema},
    },
    "within_itself": within_itself,
    "published": published,
}


def loaded(folder: Path) -> UNet:
    config = read_config(folder)
    unet = UNet(in_chans=config["in_chans"], **config["network"])
    load_weights(folder, unet, torch.device("cpu"))
    return unet


def predictions(unet: UNet, in_chans: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    with torch.inference_mode():
        return unet(torch.randn(2, in_chans, 8, 16, generator=generator), torch.tensor([3, 700]))


def refused(file: Path, match: str, weights: str = "ema") -> None:
    refuses(import_published, file, match, weights)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_averaged_network_and_the_raw_one_bit_for_bit(layout: str, tmp_path: Path):
    content = LAYOUTS[layout](copied(EMA.state_dict()), copied(RAW.state_dict()))
    expected = {"ema": predictions(EMA), "raw": predictions(RAW)}
    file = saved(tmp_path / "net.pth", content)
    for weights, noise_pred in expected.items():
        import_published(file, tmp_path / weights, weights=weights)
        assert torch.equal(predictions(loaded(tmp_path / weights)), noise_pred)
    assert not torch.equal(expected["ema"], expected["raw"])


def test_weights_alone_are_the_raw_ones_until_their_file_says_otherwise(tmp_path: Path):
    file = saved(tmp_path / "alone.pt", EMA.state_dict())
    refused(
        file,
        r"no averaged \(EMA\) weights, by its names only: the whole file \(\d+ tensors\)\. `--weights raw` takes those",
    )
    import_published(file, tmp_path / "out", weights="raw")
    assert torch.equal(predictions(loaded(tmp_path / "out")), predictions(EMA))


def test_raw_weights_are_not_made_up_from_averaged_ones(tmp_path: Path):
    refused(saved(tmp_path / "net.pt", {"ema": EMA.state_dict()}), "`--weights ema` takes those", weights="raw")


@pytest.mark.parametrize("legacy", [False, True])
def test_safetensors_and_both_formats_of_torch_give_the_same_model(legacy: bool, tmp_path: Path):
    state = both_in_one(copied(EMA.state_dict()), copied(RAW.state_dict()))
    import_published(saved(tmp_path / "a.safetensors", state), tmp_path / "a", weights="ema")
    import_published(saved(tmp_path / "b.ckpt", state, legacy=legacy), tmp_path / "b", weights="ema")
    assert model_sha256(tmp_path / "a") == model_sha256(tmp_path / "b")
    assert torch.equal(predictions(loaded(tmp_path / "a")), predictions(EMA))


def test_half_precision_is_widened_without_a_change(tmp_path: Path):
    state = {name: tensor.half() for name, tensor in EMA.state_dict().items()}
    import_published(saved(tmp_path / "half.pth", {"ema": state}), tmp_path / "out", weights="ema")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(weights[name], tensor.float()) for name, tensor in state.items())
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    "configuration",
    [
        {"in_chans": 1, "widths": (16, 8), "attention": (False,)},
        {"in_chans": 3, "widths": (8, 16, 8, 24, 32), "attention": (True, False, True, False)},
    ],
)
def test_channels_widths_and_attention_are_taken_from_the_tensors(configuration: dict, tmp_path: Path):
    unet = a_unet(5, **configuration)
    import_published(saved(tmp_path / "net.pth", {"ema": unet.state_dict()}), tmp_path / "out", weights="ema")
    config = read_config(tmp_path / "out")
    assert config["in_chans"] == configuration["in_chans"]
    assert tuple(config["network"]["widths"]) == configuration["widths"]
    assert tuple(config["network"]["attention"]) == configuration["attention"]
    expected = predictions(unet, configuration["in_chans"])
    assert torch.equal(predictions(loaded(tmp_path / "out"), configuration["in_chans"]), expected)


def test_the_published_network_comes_in_by_the_command_with_all_that_is_known_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    unet = UNet(in_chans=3).eval()
    nn.init.normal_(unet.conv_out.weight)
    file = saved(tmp_path / "ddpm-model-ep110.pth", {"ema_model_state": unet.state_dict()})
    out = tmp_path / "zoo" / "published"
    assert main(["import", "diffusion", str(file), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert torch.equal(predictions(loaded(out)), predictions(unet))
    config = read_config(out)
    assert config == {
        "network": {"widths": [64, 128, 256, 512], "attention": [False, True, True], "patch_size": 1},
        "in_chans": 3,
        "schedule": {"kind": "cosine", "num_train_timesteps": 1000, "beta_max": 0.02, "zero_terminal_snr": False},
        "prediction": "epsilon",
        "loss": "l1",
        "size": [128, 256],
        "imported_from": {
            "file": "ddpm-model-ep110.pth",
            "sha256": hash_file(file),
            "weights": "ema",
            "entry": "ema_model_state",
        },
    }
    UNetParams.model_validate(config["network"])
    ScheduleParams.model_validate(config["schedule"])  # as `sample` reads them
    card = ModelCard.load(out / "README.md")
    for fact in ("33,995,395 parameters in 204 tensors", hash_file(file), model_sha256(out), "`ema_model_state`"):
        assert fact in card.text
    assert "Which images it was trained on is not known here." in card.text
    assert "widths 64, 128, 256, 512; attention on the grids, fine to coarse: no, yes, yes" in card.text


def test_an_import_draws_no_random_number(tmp_path: Path):
    before = torch.get_rng_state()
    import_published(saved(tmp_path / "net.pth", {"ema": EMA.state_dict()}), tmp_path / "out", weights="ema")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: without(s, "mid_block1.norm2.bias"), r"1 missing: mid_block1\.norm2\.bias$"),
        (lambda s: without(s, "mid_block1.conv1.weight"), r"missing: "),
        (lambda s: without(s, "init_conv.weight"), r"1 missing: init_conv\.weight$"),
        (lambda s: s | {"extra.weight": torch.ones(2)}, r"1 unexpected: extra\.weight$"),
        (lambda s: s | {"mid_block1.conv3.bias": torch.ones(2)}, r"1 unexpected: mid_block1\.conv3\.bias$"),
        (lambda s: s | {"out_block.norm1.bias": torch.ones(4)}, r"wrong shape: out_block\.norm1\.bias 4 instead of 8$"),
        (lambda s: s | {"init_conv.weight": torch.ones(8, 4, 3, 3)}, r"init_conv\.weight 8×4×3×3 instead of 8×3×3×3$"),
        (
            lambda s: s | {"init_conv.bias": torch.ones(8, dtype=torch.int64)},
            r"plain floats: init_conv\.bias torch\.int64$",
        ),
        (lambda s: s | {"init_conv.bias": torch.ones(8).to_sparse()}, r"plain floats: init_conv\.bias"),
        (
            lambda s: {"conv_out.bias": s["conv_out.bias"]},
            r"must hold the 204 tensors .* 203 missing: \S+, \S+, \S+, …$",
        ),
    ],
)
def test_a_network_that_is_not_whole_is_refused_with_what_is_wrong(
    change: Callable[[State], State], match: str, tmp_path: Path
):
    state = change(copied(EMA.state_dict()))
    for name, content in {"entry": {"ema": state}, "prefix": prefixed("ema_model.", state)}.items():
        refused(saved(tmp_path / f"{name}.pth", content), match)


def test_one_wrong_shape_does_not_make_the_published_network_another_one(tmp_path: Path):
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in UNet(in_chans=3).state_dict().items()}
    shapes["down_blocks.1.0.conv1.weight"] = (64, 128, 3, 3)
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}  # one number each in the file
    match = (
        r"204 tensors \(33,995,395 parameters\) .* widths \(64, 128, 256, 512\).* no others: "
        r"1 of a wrong shape: down_blocks\.1\.0\.conv1\.weight 64×128×3×3 instead of 128×128×3×3$"
    )
    refused(saved(tmp_path / "net.pth", {"ema": state}), match)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path):
    state = copied(EMA.state_dict())
    state["up_blocks.0.1.conv2.weight"].view(-1)[-1] = value
    refused(saved(tmp_path / "net.pth", {"ema": state}), r"finite .* 1 tensors .* up_blocks\.0\.1\.conv2\.weight")


def test_weights_too_large_for_float32_are_refused(tmp_path: Path):
    state = {name: tensor.double() for name, tensor in EMA.state_dict().items()}
    state["init_conv.bias"][0] = 1e300
    refused(saved(tmp_path / "net.pth", {"ema": state}), r"finite float32 .* init_conv\.bias")


def test_of_two_averages_that_differ_none_is_taken_by_chance(tmp_path: Path):
    content = {"ema_0.999": copied(EMA.state_dict()), "ema_0.9999": copied(RAW.state_dict())}
    refused(saved(tmp_path / "net.pth", content), r"differ, ema_0\.999 and ema_0\.9999")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_not_opened(legacy: bool, tmp_path: Path):
    sprung = tmp_path / "sprung"
    content = {"ema": EMA.state_dict(), "config": Trap(sprung)}
    file = saved(tmp_path / "net.pth", content, legacy=legacy)
    refused(file, r"pickled code, which can do anything .* get the weights as \.safetensors, or have its author")
    assert not sprung.exists()


def test_objects_beside_the_weights_are_named_and_refused(tmp_path: Path):
    file = saved(tmp_path / "net.ckpt", {"ema": EMA.state_dict(), "args": Namespace(resolution=128)})
    refused(file, r"needs argparse\.Namespace, pickled code")
    refused(saved(tmp_path / "whole.pth", EMA), "pickled code")


def test_a_file_without_the_network_is_refused_with_what_it_holds(tmp_path: Path):
    other = nn.Sequential(nn.Linear(2, 2)).state_dict()
    refused(
        saved(tmp_path / "a.pth", {"model": other, "epoch": 1}), r"does not hold the network.* holds: model, epoch$"
    )
    refused(saved(tmp_path / "b.safetensors", other), r"does not hold the network.* holds: 0\.bias, 0\.weight$")
    refused(saved(tmp_path / "c.pth", torch.ones(3)), r"does not hold the network.* holds: Tensor$")
    refused(saved(tmp_path / "d.pth", {}), r"does not hold the network.* holds: nothing$")
    refused(saved(tmp_path / "e.pth", {"optimizer": {"exp_avg": EMA.state_dict()}}), r"does not hold the network")


@pytest.mark.parametrize("name", ["net.pth", "legacy.pth", "net.safetensors"])
def test_a_file_that_ends_too_soon_is_refused_wherever_it_ends(name: str, tmp_path: Path):
    state = prefixed("ema.", copied(EMA.state_dict()))
    whole = saved(tmp_path / name, state, legacy=name.startswith("legacy")).read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:length])
        refused(tmp_path / name, "get it again")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>Sign in</html>", b"PK\x03\x04" + b"\0" * 99, b"\x80\x02N."])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path):
    for name in ("net.pth", "net.safetensors"):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, r"not a (whole safetensors|checkpoint)")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    refused(tmp_path / "none.pth", r"there is no file .*none\.pth")
    refused(tmp_path, "there is no file")


def test_what_exists_is_never_written_over(tmp_path: Path):
    file = saved(tmp_path / "net.pth", {"ema": EMA.state_dict()})
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    for out in (tmp_path / "empty", file, tmp_path / "dangling"):
        with pytest.raises(ValueError, match="exists: name a new folder"):
            import_published(file, out, weights="ema")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_leaves_nothing(tmp_path: Path):
    file = saved(tmp_path / "net.pth", {"ema": EMA.state_dict()})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # a larger file cannot be written
    try:
        with pytest.raises(Exception, match=r"File too large|os error 27"):
            import_published(file, tmp_path / "out", weights="ema")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [file]


def test_the_command_says_a_refusal_in_one_message_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = saved(tmp_path / "net.pth", EMA.state_dict())
    assert main(["import", "diffusion", str(file), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "--weights raw" in error and "Traceback" not in error
    assert main(["import", "diffusion", str(file), str(tmp_path / "out"), "--weights", "raw"]) == 0
    assert read_config(tmp_path / "out")["imported_from"]["weights"] == "raw"


def a_trained_model(folder: Path) -> Path:
    """A model folder as the training leaves it."""
    unet = a_unet(6, in_chans=1, patch_size=2)
    config = {
        "network": SMALL | {"patch_size": 2},
        "schedule": {"kind": "linear", "num_train_timesteps": 8, "beta_max": 0.999, "zero_terminal_snr": True},
        "prediction": "v_prediction",
        "loss": "l2",
        "size": [16, 32],
    }
    save_model(folder, unet, config)
    write_model_card(folder, origin="Trained.")
    return folder


def test_the_card_of_a_training_has_its_facts_and_the_hub_reads_it(tmp_path: Path):
    folder = a_trained_model(tmp_path)
    images = [
        TrainingImages(source="dentex", number=2000, licence="CC BY-NC-SA 4.0"),
        TrainingImages(source="a|b", number=34),
    ]
    write_model_card(
        folder,
        origin="Trained by the stage train_diffusion.",
        settings={"steps": 700, "learning rate": 0.001},
        images=images,
        limits=["It was trained on drawings."],
    )
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "other"
    assert card.data.library_name == "panodiff"
    assert {"diffusion", "medical-imaging", "synthetic-data"} <= set(card.data.tags)
    lines = card.text.splitlines()
    for line in (
        "# Diffusion model of panoramic radiographs, 16×32",
        "2034 images.",
        "| dentex | 2000 | CC BY-NC-SA 4.0 |",
        "| a\\|b | 34 | not known |",
        "Trained by the stage train_diffusion.",
        "| learning rate | 0.001 |",
        "- It was trained on drawings.",
        "- **Noise schedule:** linear, 8 timesteps, the last timestep all noise",
        "- **Predicts:** the velocity v, trained with the L2 loss",
        f"- **Weights:** `model.safetensors`, SHA-256 `{hash_file(folder / 'model.safetensors')}`",
    ):
        assert line in lines
    num_parameters = sum(parameter.numel() for parameter in a_unet(6, in_chans=1, patch_size=2).parameters())
    assert f"{num_parameters:,} parameters" in card.text
    assert "not known here" not in card.text
    assert "not for diagnosis" in card.text


def test_a_card_is_the_same_bytes_again(tmp_path: Path):
    cards = []
    for name in ("a", "b"):
        cards.append((a_trained_model(tmp_path / name) / "README.md").read_bytes())
    assert cards[0] == cards[1]


def test_a_file_name_cannot_write_into_the_card(tmp_path: Path):
    file = saved(tmp_path / "a`\n\n# Cured\n.pth", {"ema": EMA.state_dict()})
    import_published(file, tmp_path / "out", weights="ema")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "# Cured" not in card.splitlines()
    assert "from the file `a' # Cured .pth` (SHA-256" in card
    assert json.loads((tmp_path / "out" / "config.json").read_text())["imported_from"]["file"] == file.name


def an_imported_model(folder: Path) -> Path:
    narrow = a_unet(7, widths=(8, 8, 8, 8, 8, 8), attention=(False,) * 5)
    import_published(saved(folder.parent / "net.pth", {"ema": narrow.state_dict()}), folder, weights="ema")
    return folder


@pytest.mark.parametrize(("make", "size"), [(a_trained_model, (16, 32)), (an_imported_model, (128, 256))])
def test_the_code_in_a_card_draws_marked_images(
    make: Callable[[Path], Path], size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(make(tmp_path / "model"))
    card = Path("README.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], {})
    images = [read_grey(Path(f"synthetic-{index}.png")) for index in range(2)]
    assert [image.shape for image in images] == [size, size]
    assert images[0].std() > 1
    assert not np.array_equal(images[0], images[1])
    assert "Not for diagnosis" in read_text_chunks(Path("synthetic-0.png"))["Description"]
