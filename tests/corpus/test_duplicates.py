"""Which files repeat a radiograph, and which images must stay together."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import Corpus
from corpora import data_params, picture, run_source, run_split
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from panodiff.corpus import duplicates
from panodiff.corpus.duplicates import NEAR_CORRELATION, SIGNATURE_SIZE, group_near, mark_duplicates, signature
from panodiff.images import Grey

LENGTH = SIGNATURE_SIZE[0] * SIGNATURE_SIZE[1]


def rows(hashes: list[str], statuses: list[str] | None = None) -> pd.DataFrame:
    ids = [f"id-{number}" for number in range(len(hashes))]
    table = pd.DataFrame(
        {"id": ids, "pixel_sha256": hashes, "status": statuses or ["kept"] * len(hashes)}, dtype="string"
    )
    return table.assign(reason=pd.Series(pd.NA, table.index, dtype="string"))


def test_of_equal_pixels_the_first_row_is_kept_and_the_others_name_it():
    marked = mark_duplicates(rows(["a", "b", "a", "c", "a", "b"]))
    assert marked["status"].tolist() == ["kept", "kept", "duplicate", "kept", "duplicate", "duplicate"]
    assert marked["reason"].dropna().tolist() == [f"same pixels as id-{number}" for number in (0, 0, 1)]


def test_a_rejected_file_is_no_first_copy():
    marked = mark_duplicates(rows(["a", "a", "a"], ["rejected", "kept", "kept"]))
    assert marked["status"].tolist() == ["rejected", "kept", "duplicate"]
    assert marked["reason"].tolist()[2] == "same pixels as id-1"


def test_the_rows_given_are_not_changed():
    given_rows = rows(["a", "a"])
    mark_duplicates(given_rows)
    assert given_rows["status"].tolist() == ["kept", "kept"]


def test_a_signature_has_mean_0_and_length_1_and_that_of_a_flat_image_is_0():
    vector = signature(picture(1, 32, 64))
    assert vector.shape == (LENGTH,)
    assert abs(vector.mean()) < 1e-6
    assert np.isclose(np.linalg.norm(vector), 1)
    assert not signature(np.full((32, 64), 200, np.uint8)).any()


@pytest.mark.parametrize("size", [(16, 32), (32, 64), (128, 256)])
def test_signatures_do_not_depend_on_brightness_and_contrast(size: tuple[int, int]):
    image = picture(2, *size)
    changed = np.round(0.6 * image + 40).astype(np.uint8)
    assert signature(image) @ signature(changed) > 0.99
    assert signature(image) @ signature(picture(3, *size)) < 0.5


def random_signatures(draw: list[tuple[int, float, bool]]) -> np.ndarray:
    """Signatures near one of few centres each: (centre, distance, whether mirrored)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, LENGTH))
    vectors = [centres[centre] + distance * rng.normal(size=LENGTH) for centre, distance, _ in draw]
    turned = [
        vector.reshape(SIGNATURE_SIZE)[:, ::-1].ravel() if mirrored else vector
        for vector, (_, _, mirrored) in zip(vectors, draw, strict=True)
    ]
    return np.stack([vector / np.linalg.norm(vector) for vector in turned]).astype(np.float32)


NEAR_AND_FAR = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.6), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(NEAR_AND_FAR, st.integers(1, 9))
def test_groups_are_the_connected_parts_of_the_graph_of_near_pairs(draw: list, block: int):
    signatures = random_signatures(draw)
    mirrored = signatures.reshape(-1, *SIGNATURE_SIZE)[:, :, ::-1].reshape(signatures.shape)
    near = np.maximum(signatures @ signatures.T, signatures @ mirrored.T) >= NEAR_CORRELATION
    _, parts = connected_components(near, directed=False)
    ids = [f"id-{-number}" for number in range(len(draw))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BLOCK", block)  # the pairs of different blocks count as well
        groups = group_near(ids, signatures)
    firsts = {part: ids[parts.tolist().index(part)] for part in set(parts)}
    assert groups == {name: firsts[part] for name, part in zip(ids, parts, strict=True)}


@settings(max_examples=40, deadline=None)
@given(NEAR_AND_FAR, NEAR_AND_FAR)
def test_images_added_at_the_end_rename_a_group_only_if_they_join_it_to_an_earlier_one(first: list, more: list):
    signatures = random_signatures([*first, *more])
    ids = [f"z-{number}" for number in range(len(first))] + [f"a-{number}" for number in range(len(more))]
    before = group_near(ids[: len(first)], signatures[: len(first)])
    after = group_near(ids, signatures)
    for name, group in before.items():
        assert after[name] == group or ids.index(after[name]) < ids.index(group)
        assert after[name].startswith("z-")
        assert after[name] == after[group]


def test_flat_images_share_no_group():
    assert group_near(["a", "b"], np.zeros((2, LENGTH), np.float32)) == {"a": "a", "b": "b"}


def planted(phantoms: Path) -> dict[tuple[str, str], dict]:
    truth = json.loads((phantoms / "truth.json").read_text(encoding="utf-8"))
    return {(source, path): record for source, records in truth.items() for path, record in records.items()}


def by_path(corpus: Corpus) -> pd.DataFrame:
    return corpus.rows.set_index(["source", "path"]).sort_index()


def test_all_planted_exact_copies_become_duplicates_and_all_originals_but_one_a_radiograph_stay(
    corpus: Corpus, phantoms: Path
):
    found = by_path(corpus)
    exact = {key for key, record in planted(phantoms).items() if record["copy_kind"] == "exact"}
    families = {key: (key[0], record["copy_of"] or key[1]) for key, record in planted(phantoms).items()}
    assert {source for source, _ in exact} >= {"tsxk", "uspforp"}
    whole = [key for key in families if key in exact or planted(phantoms)[key]["truth"]]
    kept = [families[key] for key in whole if found.at[key, "status"] == "kept"]
    assert sorted(kept) == sorted({families[key] for key in whole})  # one of each family
    assert {found.at[key, "status"] for key in whole} == {"kept", "duplicate"}
    for key in whole:
        if found.at[key, "status"] == "duplicate":
            first = found.at[key, "reason"].removeprefix("same pixels as ")
            ((source, path),) = found.index[found["id"] == first]
            assert families[source, path] == families[key]


def test_all_planted_broken_files_are_rejected_and_the_wrong_extension_is_not(corpus: Corpus, phantoms: Path):
    found = by_path(corpus)
    broken = {key: record["broken"] for key, record in planted(phantoms).items() if record["broken"]}
    assert set(broken.values()) == {"empty", "truncated", "text", "wrong extension"}
    for key, kind in broken.items():
        assert (found.at[key, "status"] == "rejected") == (kind != "wrong extension")
    assert (found["status"] == "rejected").sum() == sum(kind != "wrong extension" for kind in broken.values())


@pytest.mark.parametrize("kind", ["recompressed", "resized", "brightness", "mirrored"])
def test_planted_near_copies_share_the_group_of_their_original(corpus: Corpus, phantoms: Path, kind: str):
    found = by_path(corpus)
    groups = found["group"]
    copies = {key: record["copy_of"] for key, record in planted(phantoms).items() if record["copy_kind"] == kind}
    assert len(copies) >= 2
    for (source, path), original in copies.items():
        if found.at[(source, original), "status"] == "kept":
            assert groups[source, path] == groups[source, original]
        else:  # another exact copy of it was kept
            first = found.at[(source, original), "reason"].removeprefix("same pixels as ")
            assert groups[source, path] == found.loc[found["id"] == first, "group"].item()


def test_two_patients_never_share_a_group(corpus: Corpus, phantoms: Path):
    records = planted(phantoms)
    kept = corpus.rows[corpus.rows["status"] == "kept"]
    patients = [
        (source, records[source, path]["patient"]) for source, path in zip(kept["source"], kept["path"], strict=True)
    ]
    assert pd.Series(patients, kept.index).groupby(kept["group"]).nunique().eq(1).all()


def slightly_cropped(image: Grey) -> Grey:
    height, width = image.shape
    return image[height // 100 : height - height // 100, width // 100 : width - width // 100]


def turned(image: Grey) -> Grey:
    height, width = image.shape
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), 1, 1), (width, height)).astype(
        np.uint8
    )


@pytest.mark.real
def test_real_radiographs_share_a_group_with_their_copies_and_with_no_other_patient(test_data: Path, tmp_path: Path):
    params = data_params(sources=("abdi", "brahmi", "congo", "copies"))
    originals = sorted((test_data / "radiographs").glob("*/*.png"))
    changes = {
        "resized": lambda image: cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
        "brightness": lambda image: cv2.convertScaleAbs(image, alpha=1.12, beta=9),
        "mirrored": lambda image: image[:, ::-1],
        "cropped": slightly_cropped,
        "turned": turned,
    }
    (tmp_path / "copies").mkdir()
    for number, path in enumerate(originals[::9]):
        name = list(changes)[number % len(changes)]
        image = changes[name](cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        cv2.imwrite(str(tmp_path / "copies" / f"{path.stem} {name}.jpg"), image)
    work = tmp_path / "work"
    for source, folder in zip(params.sources, ("abdi", "brahmi", "tsxk"), strict=False):
        run_source(source, test_data / "radiographs" / folder, work, params)
    run_source("copies", tmp_path / "copies", work, params)
    corpus = run_split(params, work)
    patient = corpus["path"].str.extract(r"(\w+?)(?: \w+)?\.\w+$")[0].replace("abdi_032", "abdi_002")
    assert corpus.loc[corpus["status"] != "kept", "path"].tolist() == ["abdi_032.png"]  # published twice
    assert patient.groupby(corpus["group"]).nunique().eq(1).all()
    assert corpus["group"].groupby(patient).nunique().eq(1).all()
    assert corpus["group"].value_counts().max() <= 3
