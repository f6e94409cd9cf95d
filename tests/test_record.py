"""What a comparison writes down of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from affekt.config import parse_experiment
from affekt.data import load_dataset
from affekt.evaluation.results import Results
from affekt.experiment import compare, run_experiment
from affekt.features.store import Store
from affekt.record import machine
from affekt.versions import versions

FACTORS = {"input": "waveform", "trunk": "transformer"}


@pytest.fixture(scope="module")
def results(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("record")
    value = {
        "dataset": {"name": "folder", "root": str(song_folder)},
        "split": {"folds": 2},
        "seeds": [0, 3],
        "clips": {"count": 1, "length_s": 1.0},
        "encoders": ["mean", {"name": "wav2vec2-nano", "factors": FACTORS}],
    }
    return run_experiment(parse_experiment(value), folder / "run", Store(folder / "store"), quiet=True)[0]


def test_encoders_say_what_they_are(results: Results) -> None:
    nothing, heard = results.encoders
    assert (heard["weights"], heard["factors"], heard["layer"]) == ("random weights (seeds 0, 3)", FACTORS, "last")
    assert nothing["weights"] == "none" and nothing["factors"] is None and nothing["twin_of"] is None
    assert heard["n_parameters"] > 0 and heard["freeze"] == "all" and heard["head"] == "ridge"


def test_costs_are_measured(results: Results) -> None:
    nothing, heard = results.cost
    assert nothing["extraction_s_per_song"] is None and heard["extraction_s_per_song"] > 0
    assert heard["prediction_s_per_song"] > 0
    assert heard["n_extracted"] == 2 * 16, "each seed has weights of its own"


def test_everything_goes_into_json(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results


def test_versions_and_machine_name_no_one() -> None:
    assert {"python", "affekt", "numpy"} <= versions().keys()
    assert set(machine()) <= {"system", "processor", "cores", "threads", "gpus"}
    assert json.dumps(machine())


def test_columns_that_sort_songs_are_kept_and_measures_are_not(song_folder: Path, tmp_path: Path) -> None:
    songs = load_dataset("folder", root=song_folder)
    given = tuple(
        replace(song, attributes=(("decade", f"{60 + 10 * (i % 3)}s"), ("tempo", f"{60 + i}.{i}")))
        for i, song in enumerate(songs.songs * 2)
    )
    many = replace(songs, songs=tuple(replace(song, id=f"{song.id}-{i}") for i, song in enumerate(given)))
    results = compare(many, ["mean"], folds=2, out=tmp_path / "run", quiet=True)
    assert all(set(song["attributes"]) == {"decade"} for song in results.songs)
