"""`panodiff doctor`: what is wrong is found, named, and comes with what mends it."""

import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from small import ROOT, small_params

from panodiff import doctor
from panodiff.doctor import Check, printed
from panodiff.params import Params


@pytest.fixture
def params(tmp_path: Path) -> Params:
    return small_params(tmp_path)


def of_profile(params: Params, profile: str) -> Params:
    return params.model_copy(update={"profile": profile})


def test_a_missing_dataset_is_named_with_what_mends_it(params: Params, tmp_path: Path):
    checks = list(doctor.check_data(tmp_path, of_profile(params, "paper")))
    assert [check.level for check in checks] == ["problem"] * len(params.sources)
    assert checks[0].found == "data/raw/paper/adld is missing"
    public, _, own = checks[0].mend.partition(". ")
    assert public.startswith("public, Kaggle") and "https://doi.org/10.1186/" in public
    assert own == "Put the dataset into data/raw/paper/adld, or take adld out of `sources` in params.yaml"


def test_only_radiographs_in_their_place_count(params: Params, tmp_path: Path):
    folder = tmp_path / "data/raw/paper/tufts"
    for name in ("Radiographs/1.JPG", "Radiographs/2.JPG", "Segmentation/1.jpg", "Radiographs/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    checks = {check.subject: check for check in doctor.check_data(tmp_path, of_profile(params, "paper"))}
    assert checks["data, tufts"] == Check(
        level="ok", subject="data, tufts", found="2 radiographs in data/raw/paper/tufts"
    )
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("Radiographs/3.JPG", b"")
    checks = {check.subject: check for check in doctor.check_data(tmp_path, of_profile(params, "paper"))}
    assert checks["data, tufts"].found == "3 radiographs in data/raw/paper/tufts"
    (folder / "more.tar.gz").touch()
    checks = {check.subject: check for check in doctor.check_data(tmp_path, of_profile(params, "paper"))}
    assert checks["data, tufts"].found.startswith("more.tar.gz in data/raw/paper/tufts, which ingestion")
    for file in (folder / "more.zip", folder / "more.tar.gz", *folder.glob("*/*.[jJ]*")):
        file.unlink()  # the notes stay
    checks = {check.subject: check for check in doctor.check_data(tmp_path, of_profile(params, "paper"))}
    assert checks["data, tufts"].level == "problem"


def test_phantoms_that_are_not_drawn_yet_are_no_problem(params: Params, tmp_path: Path):
    assert {check.level for check in doctor.check_data(tmp_path, params)} == {"ok"}


def test_weights_that_a_parameter_asks_for_are_missed(params: Params, tmp_path: Path):
    assert doctor.check_weights(tmp_path, params).level == "ok"
    asking = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"lpips_backbone": "alexnet"})})
    check = doctor.check_weights(tmp_path, asking)
    assert (check.level, check.mend) == ("problem", "panodiff weights fetch alexnet")
    loss = params.superres.loss.model_copy(update={"backbone": "vgg16"})
    superres = params.superres.model_copy(update={"loss": loss, "lpips_backbone": "alexnet"})
    (tmp_path / "data/weights").mkdir(parents=True)
    (tmp_path / "data/weights/catalogue.yaml").write_bytes((ROOT / "data/weights/catalogue.yaml").read_bytes())
    check = doctor.check_weights(tmp_path, asking.model_copy(update={"superres": superres}))
    assert check.mend == "panodiff weights fetch alexnet && panodiff weights fetch vgg16"
    assert "alexnet_features" in check.found
    assert "vgg16_features" in check.found
    measuring = params.evaluate.model_copy(update={"backbones": ("encoder", "inception")})
    check = doctor.check_weights(tmp_path, params.model_copy(update={"evaluate": measuring}))
    assert check.mend == "panodiff weights fetch inception"


def test_an_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    assert doctor.check_python().level == "ok"
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 0))
    assert doctor.check_python().level == "problem"


def test_packages_that_differ_from_the_lock_are_named(tmp_path: Path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# made by uv\n"
        f"torch=={torch.__version__.partition('+')[0]} \\\n    --hash=sha256:00\n"
        "pytest==0.1 ; python_full_version >= '3.11' \\\n    --hash=sha256:00\n"
        "no-such-package==1.0\n"
        "colorama==9.9 ; sys_platform == 'nowhere'\n"
    )
    check = doctor.check_packages(lock)
    assert check.level == "note"
    assert "instead of 0.1" in check.found
    assert "no-such-package missing instead of 1.0" in check.found
    assert "torch" not in check.found
    assert "colorama" not in check.found
    assert check.mend == "make setup"


def test_unfinished_work_is_shown_with_its_size_and_stage(tmp_path: Path):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample/lock-0").touch()
    assert [check.level for check in doctor.check_scratch(tmp_path)] == ["ok"]
    (tmp_path / "train_diffusion/0123").mkdir(parents=True)
    (tmp_path / "train_diffusion/0123/step.state").write_bytes(b"0" * 1500)
    (check,) = doctor.check_scratch(tmp_path)
    assert check.level == "note"
    assert check.found == "1 unfinished run of train_diffusion, 1.5 kB"
    assert f"rm -r {tmp_path / 'train_diffusion'}" in check.mend


def test_a_full_disk_is_a_problem(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert doctor.check_disk(tmp_path, params).level in ("ok", "note")
    monkeypatch.setitem(doctor.NEEDED_BYTES, "smoke", 10**18)
    check = doctor.check_disk(tmp_path, params)
    assert check.level == "problem"
    assert "fills about 1e+06 TB" in check.found


def test_uncommitted_changes_are_noted_and_a_missing_repository_too(tmp_path: Path):
    assert doctor.check_git(tmp_path).level == "note"
    commands = [
        ["init", "-q"],
        ["-c", "user.name=t", "-c", "user.email=t@e.org", "commit", "-qm", "x", "--allow-empty"],
    ]
    for command in commands:
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert doctor.check_git(tmp_path).level == "ok"
    (tmp_path / "new.txt").touch()
    check = doctor.check_git(tmp_path)
    assert check.level == "note"
    assert "1 file differs" in check.found


def test_a_wrong_params_file_ends_the_examination_with_its_message(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("profile: huge\n")
    last = list(doctor.examine(tmp_path))[-1]
    assert (last.level, last.subject) == ("problem", "params.yaml")
    assert "profile must be one of" in last.found


@pytest.mark.skipif(torch.cuda.is_available(), reason="the advice is for machines without a GPU")
def test_a_machine_without_gpu_is_advised_by_profile(params: Params):
    found = {
        profile: {check.subject: check for check in doctor.check_torch(of_profile(params, profile))}["device"]
        for profile in ("smoke", "pilot", "paper")
    }
    assert [found[profile].level for profile in ("smoke", "pilot", "paper")] == ["ok", "note", "note"]
    assert "GPU" in found["paper"].mend


def test_a_check_is_one_line_and_its_remedy_another():
    check = Check(level="problem", subject="dvc", found="gone", mend="make setup")
    assert printed(check) == "problem dvc: gone\n        → make setup"
    assert printed(Check(level="ok", subject="dvc", found="here")) == "ok      dvc: here"
