"""results.json, written and read: what somebody has changed by hand is told, all of it at once."""

import json

import pytest

from affekt.errors import DataError
from affekt.evaluation.results import Results


@pytest.fixture
def saved(noisy, make_results, tmp_path):
    path = tmp_path / "results.json"
    make_results(*noisy(12, good=0.3)).save(path)
    return path


def test_what_is_written_is_read(saved, tmp_path):
    Results.load(saved).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("run", None, "run: not a mapping"),
        ("dataset", [], "dataset: not a mapping"),
        ("targets", "valence", "targets: not a list of names"),
        ("songs", [{"title": "x"}], "songs: 1 row(s) without id"),
        ("encoders", [{}, 3], "encoders: 2 row(s) without label"),
        ("history", [{"encoder": "good", "seed": 0, "fold": 0}], "history: 1 row(s) without encoder or seed or fold"),
        ("cost", None, "cost: 1 row(s) without encoder"),
    ],
)
def test_a_damaged_part_is_named(saved, part, value, told):
    damaged = {**json.loads(saved.read_text()), part: value}
    saved.write_text(json.dumps(damaged))
    with pytest.raises(DataError, match=r"results\.json") as error:
        Results.load(saved)
    assert told in str(error.value) and "Run `affekt compare` again." in str(error.value)


@pytest.mark.parametrize(("key", "value"), [("y_pred", "high"), ("seed", "first"), ("fold", None)])
def test_a_prediction_that_is_no_number(saved, key, value):
    damaged = json.loads(saved.read_text())
    damaged["predictions"][3][key] = value
    saved.write_text(json.dumps(damaged))
    with pytest.raises(DataError, match="1 row"):
        Results.load(saved)
