"""What a comparison writes down of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affekt.config import parse_experiment
from affekt.evaluation.results import Results
from affekt.experiment import run_experiment
from affekt.features.store import Store
from affekt.record import machine, versions

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
