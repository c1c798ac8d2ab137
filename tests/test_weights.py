import hashlib
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from panodiff.files import hash_file
from panodiff.weights import WEIGHTS, WeightsError, fetch, locate, read_catalogue


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    shapes = {"features.0.weight": (4, 3, 3, 3), "features.0.bias": (4,), "classifier.weight": (5, 4)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def original(tmp_path, tensors):
    """The publisher's file, in a folder of its own."""
    path = tmp_path / "publisher" / "net-1234.pth"
    path.parent.mkdir()
    torch.save(tensors, path)
    return path


@pytest.fixture
def wanted(tmp_path, tensors):
    """The catalogued file, in a folder of its own."""
    path = tmp_path / "brought" / "net_features.safetensors"
    path.parent.mkdir()
    save_file({name: tensor for name, tensor in tensors.items() if name.startswith("features.")}, path)
    return path


@pytest.fixture
def folder(tmp_path, original, wanted):
    """data/weights with a catalogue of one downloadable and one other entry."""
    folder = tmp_path / "weights"
    folder.mkdir()
    facts = {"licence": "none", "source": "drawn", "used_for": "a test"}
    facts |= {"file": wanted.name, "sha256": hash_file(wanted), "bytes": wanted.stat().st_size}
    download = {"url": original.as_uri(), "sha256": hash_file(original), "bytes": original.stat().st_size}
    catalogue = {"net": facts | {"download": download | {"keep": "features."}}, "private": facts}
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(catalogue))
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_missing_weights_name_the_command_that_fetches_them(folder):
    with pytest.raises(WeightsError, match="run `panodiff weights fetch net`"):
        locate("net", folder)


def test_unknown_weights_name_the_known_ones(folder):
    for function in (locate, fetch):
        with pytest.raises(WeightsError, match="knows no weights 'nett', only net, private"):
            function("nett", folder)


def test_a_brought_file_is_installed_as_it_is(folder, wanted):
    installed = fetch("net", folder, wanted.parent)
    assert installed == locate("net", folder) and installed.read_bytes() == wanted.read_bytes()


def test_a_download_is_converted_to_the_catalogued_bytes_and_leaves_nothing_else(folder, wanted, tensors):
    installed = fetch("net", folder)
    assert installed.read_bytes() == wanted.read_bytes()
    assert torch.equal(load_file(installed)["features.0.bias"], tensors["features.0.bias"])
    assert files_in(folder) == ["catalogue.yaml", wanted.name]


def test_the_publishers_file_can_be_brought_too(folder, original, wanted):
    assert fetch("net", folder, original.parent).read_bytes() == wanted.read_bytes()
    assert original.exists()


def test_a_brought_file_with_a_flipped_bit_is_refused(folder, wanted):
    content = bytearray(wanted.read_bytes())
    content[-1] ^= 1
    wanted.write_bytes(content)
    with pytest.raises(WeightsError, match="not the catalogued file"):
        fetch("net", folder, wanted.parent)
    assert files_in(folder) == ["catalogue.yaml"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"!", lambda data: data[:-1], lambda data: data + b"!"])
def test_a_damaged_cut_or_longer_download_is_refused_before_it_is_read(folder, original, damage):
    original.write_bytes(damage(original.read_bytes()))
    with pytest.raises(WeightsError, match=r"not the catalogued file|larger than"):
        fetch("net", folder)
    assert files_in(folder) == ["catalogue.yaml"]


def test_an_address_that_fails_says_what_to_do_instead(folder, original):
    original.unlink()
    with pytest.raises(WeightsError, match=r"cannot be had .* add `--from FOLDER`"):
        fetch("net", folder)


def test_a_pickle_that_would_run_code_is_not_opened(folder, original, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"features.0.weight": Trap()}, original)
    catalogue = yaml.safe_load((folder / "catalogue.yaml").read_text())
    catalogue["net"]["download"] |= {"sha256": hash_file(original), "bytes": original.stat().st_size}
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(catalogue))
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        fetch("net", folder)
    assert not (tmp_path / "sprung").exists()


def test_weights_without_an_address_ask_for_a_folder(folder, tmp_path):
    with pytest.raises(WeightsError, match="fetch private --from FOLDER"):
        fetch("private", folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"does not hold net_features\.safetensors"):
        fetch("private", folder, tmp_path / "empty")


def test_an_installed_file_that_was_changed_is_noticed_and_not_replaced_in_silence(folder, wanted):
    installed = fetch("net", folder, wanted.parent)
    installed.write_bytes(b"other")
    for function in (locate, fetch):
        with pytest.raises(WeightsError, match="Delete it and run"):
            function("net", folder)


def test_the_catalogue_of_the_project_is_complete():
    catalogue = read_catalogue(WEIGHTS)
    assert {"alexnet", "squeezenet", "vgg16"} <= set(catalogue)
    for entry in catalogue.values():
        assert len(bytes.fromhex(entry.sha256)) == hashlib.sha256().digest_size and entry.bytes > 0
        assert entry.licence and entry.source and entry.used_for
        if entry.download:  # torchvision writes the first eight digits into the name
            assert entry.download.url.startswith("https://") and entry.download.sha256[:8] in entry.download.file
