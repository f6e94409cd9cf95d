"""What holds for every registered data set: a new one gets these tests through the registry, and a small copy here.

The plug-in that docs/datasets.md shows is one of them.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from affekt.data import DATASETS, Dataset, load_dataset
from affekt.data.inspect import overview
from affekt.data.joined import join
from affekt.data.splits import draw_split, verify
from affekt.errors import AffektError, DataError

PLUG_IN = "my_songs"
PAGE = Path(__file__).parents[2] / "docs/datasets.md"


def small_deam(root, copies):
    copy = copies.make_deam(root)
    copies.write_ratings(copy)
    copies.write_songs_info(
        root, {song: "development" if song % 5 else "evaluation" for song in copy.truth if song < 1000}
    )
    copies.write_audio(root, [2, 1001])
    return {"root": root}


def small_emomusic(root, copies):
    copies.make_emomusic(root)
    return {"root": root}


def small_pmemo(root, copies):
    copies.make_pmemo(root)
    return {"root": root}


def small_demo(root, copies):
    return {"root": root, "n_songs": 8}


def small_folder(root, copies):
    rows = [(f"audio/{i}.wav", 9 - i, 1 + i, "Anna", f"19{i % 3}0s", 1.5, 1.5, 9) for i in range(8)]
    rows.append(("missing.wav", 5, 5, "", "", "", "", ""))
    header = ("file_name", "arousal", "valence", "artist", "decade", "valence_std", "arousal_std", "n_raters")
    copies.write_folder(root, header, rows)
    return {"root": root}


def small_plug_in(root, copies):
    rows = [f"{i},{1 + i % 7},{7 - i % 5},{' Anna  B. ' if i % 2 else ''}" for i in range(12)]
    (root / "ratings.csv").write_text("\n".join(["song,arousal,valence,artist", *rows]) + "\n")
    copies.write_audio(root, range(11), Path("audio"))
    return {"root": root}


SMALL_COPIES = {
    "deam": small_deam,
    "emomusic": small_emomusic,
    "pmemo": small_pmemo,
    "demo": small_demo,
    "folder": small_folder,
    PLUG_IN: small_plug_in,
}
#: The file of a copy that holds the labels, one line a song, a label in its second cell.
LABELS = {
    "deam": "static_annotations_averaged_songs_1_2000.csv",
    "emomusic": "static_annotations.csv",
    "pmemo": "static_annotations.csv",
    "demo": "static_annotations_averaged_songs_1_2000.csv",
    "folder": "metadata.csv",
    PLUG_IN: "ratings.csv",
}
#: Data sets that are annotated over time as well, and those that need no root.
DYNAMIC = ("deam", "emomusic", "pmemo", "demo")
ROOTLESS = ("deam", "demo")


@pytest.fixture(scope="module", autouse=True)
def plug_in(tmp_path_factory):
    """The module that docs/datasets.md shows, written to a file, imported and registered as the page says."""
    blocks = re.findall(r"^```python\n(# my_songs\.py\n.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    code = [line for line in blocks[0].splitlines()[1:] if line.strip()]
    assert len(code) <= 20, "the page promises twenty lines"
    folder = tmp_path_factory.mktemp("plug-in")
    (folder / f"{PLUG_IN}.py").write_text(blocks[0])
    known = dict(DATASETS._entries)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.import_module(PLUG_IN)
        assert PLUG_IN in DATASETS.names()
        yield
    sys.modules.pop(PLUG_IN)
    DATASETS._entries = known


@pytest.fixture(scope="module", params=[*DATASETS.names(), PLUG_IN])
def options(request, tmp_path_factory, copies):
    """The name of a data set, and the options that load a small copy of it."""
    assert request.param in SMALL_COPIES, f'write a maker of a small copy of "{request.param}" in {__file__}'
    return request.param, SMALL_COPIES[request.param](tmp_path_factory.mktemp(request.param), copies)


@pytest.fixture(scope="module")
def dataset(options) -> Dataset:
    name, arguments = options
    return load_dataset(name, **arguments)


def test_it_knows_its_name(dataset, options):
    assert dataset.name == options[0]


def test_ids_are_unique_and_not_empty(dataset):
    assert len(set(dataset.ids)) == len(dataset) > 0
    assert all(dataset.ids)


def test_targets_lie_within_the_scale(dataset):
    targets = dataset.targets()
    assert np.isfinite(targets).all()
    assert targets.shape == (len(dataset), len(dataset.target_names))
    assert (dataset.scale[0] <= targets).all() and (targets <= dataset.scale[1]).all()


def test_every_record_has_a_value_for_each_target(dataset):
    n = len(dataset.target_names)
    assert all(song.target_std is None or len(song.target_std) == n for song in dataset.songs)
    assert dataset.ceiling is None or len(dataset.ceiling) == n


def test_a_ceiling_says_where_it_comes_from(dataset):
    assert (dataset.ceiling is None) == (dataset.ceiling_method is None)
    assert dataset.ceiling_method in (None, "rater deviations", "split-half", "construction")
    assert dataset.ceiling_interval is None or len(dataset.ceiling_interval) == len(dataset.target_names)


def test_single_ratings_average_to_the_labels(dataset):
    for song in dataset.songs:
        if song.ratings is not None:
            assert len(song.ratings) == song.n_raters
            np.testing.assert_allclose(np.mean(song.ratings, axis=0), song.targets, atol=0.051)


def test_what_a_song_says_is_text(dataset):
    for song in dataset.songs:
        said = [song.artist, song.genre, song.part, song.title, *dict(song.attributes).values()]
        assert all(value is None or (isinstance(value, str) and value.strip()) for value in said)
        assert len(dict(song.attributes)) == len(song.attributes)
        tidy = [value for value in (song.artist, song.title, song.genre) if value]
        assert tidy == [" ".join(value.split()) for value in tidy]


def test_every_column_that_songs_share_can_be_left_out(dataset):
    for column, counts in dataset.columns().items():
        if len(counts) > 1 and max(counts.values()) > 1:
            split = draw_split(dataset, "leave-one-out", 0, group=None, by=column)
            assert set(split.tested) == {song.id for song in dataset.songs if counts[song.value(column)] > 1}
            verify(split, dataset)


def test_valence_stands_before_arousal(dataset):
    assert dataset.target_names.index("valence") < dataset.target_names.index("arousal")


def test_one_target_is_the_column_of_both(dataset, options):
    name, arguments = options
    for column, target in enumerate(dataset.target_names):
        alone = load_dataset(name, **arguments, targets=[target])
        assert alone.target_names == (target,)
        assert alone.targets()[:, 0].tolist() == dataset.targets()[:, column].tolist()


def test_audio_is_there_or_none(dataset):
    assert all(song.audio_path is None or song.audio_path.is_file() for song in dataset.songs)
    assert dataset.with_audio


def test_loading_twice_gives_the_same(dataset, options):
    name, arguments = options
    again = load_dataset(name, **arguments)
    assert again == dataset
    assert again.fingerprint() == dataset.fingerprint()
    assert dataset.fingerprint() != dataset.select(dataset.ids[1:]).fingerprint()


def test_what_is_generated_says_so(dataset):
    assert not dataset.synthetic or "ynthetic" in dataset.notes[0]


def test_a_missing_folder_is_one_clear_error(options, tmp_path):
    if options[0] == "demo":
        pytest.skip("the demo makes its folder")
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(options[0], root=tmp_path / "nowhere")


def test_no_folder_is_one_clear_error(options):
    if options[0] in ROOTLESS:
        pytest.skip("made or downloaded without one")
    with pytest.raises(DataError, match="(?s)" + options[0] + ".*[Nn]ame "):
        load_dataset(options[0])


@pytest.mark.parametrize("targets", [["mood"], ["valence", "valence"], []], ids=str)
def test_unknown_targets_are_one_clear_error(options, targets):
    name, arguments = options
    with pytest.raises(DataError, match=r"targets = |no column mood"):
        load_dataset(name, **arguments, targets=targets)


def test_an_unknown_option_is_one_clear_error(options):
    name, arguments = options
    with pytest.raises(DataError, match=f"{name}: takes no colour. Allowed: .*targets"):
        load_dataset(name, **arguments, colour="red")


def test_broken_cells_are_all_named_in_one_error(options, tmp_path, copies):
    name, _ = options
    arguments = SMALL_COPIES[name](tmp_path, copies)
    load_dataset(name, **arguments)
    (path,) = tmp_path.rglob(LABELS[name])
    lines = path.read_text().splitlines()
    for number, cell in ((2, "loud"), (4, "1e99")):
        cells = lines[number - 1].split(",")
        lines[number - 1] = ",".join([cells[0], cell, *cells[2:]])
    path.write_text("\n".join(lines) + "\n")
    scale = {"scale": (1.0, 9.0)} if name == "folder" else {}
    with pytest.raises(DataError) as caught:
        load_dataset(name, **arguments, **scale)
    told = str(caught.value)
    assert "2 problems in " in told
    assert re.search(rf'{path.name}, line 2: \S+ = "loud"; allowed: a number', told)
    assert re.search(rf'{path.name}, line 4: \S+ = "1e99"; allowed: a number', told)


def test_annotations_over_time_where_there_are_any(dataset, options):
    name, arguments = options
    if name not in DYNAMIC:
        with pytest.raises(DataError, match="takes no annotations"):
            load_dataset(name, **arguments, annotations="dynamic")
        return
    over_time = load_dataset(name, **arguments, annotations="dynamic")
    assert over_time.dynamic and not dataset.dynamic
    assert over_time.target_names == dataset.target_names and over_time.fingerprint() != dataset.fingerprint()
    low, high = over_time.scale
    for song in over_time.songs:
        assert song.targets == song.curve.mean
        assert (low <= song.curve.values).all() and (song.curve.values <= high).all()
    shared = [i for i in dataset.ids if i in set(over_time.ids)]
    static, mean = dataset.select(shared).targets(), over_time.select(shared).targets()
    for column in range(2):  # valence is valence in both
        assert np.corrcoef(static[:, column], mean[:, column])[0, 1] > 0.5
    alone = load_dataset(name, **arguments, annotations="dynamic", targets=["arousal"])
    assert np.array_equal(alone.targets()[:, 0], over_time.targets()[:, 1])
    with pytest.raises(AffektError, match="static, dynamic"):
        load_dataset(name, **arguments, annotations="weekly")


def test_an_overview_tells_what_is_there(dataset):
    found = overview(dataset)
    assert found.n_songs == len(dataset) and list(found.targets) == list(dataset.target_names)
    assert f"{dataset.name}: {len(dataset)} songs" in found.summary_lines()[0]


def test_it_is_never_tested_on_its_own_recordings(dataset):
    with pytest.raises(AffektError, match="must not test what was trained"):
        join(dataset, dataset)
