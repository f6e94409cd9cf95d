import numpy as np
import pytest

from affekt.report.figures.losses import loss_picture

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.7}


def test_averages_runs_and_keeps_each(viewed):
    view = viewed(noise=NOISE)
    picture = loss_picture(view, "wav2vec2-base")
    thin, mean = picture["figure"]["data"][2:]
    rows = [row for row in view.scores.results.history if row["encoder"] == "wav2vec2-base"]
    first = [row["validation_mse"] for row in rows if row["epoch"] == 1]
    assert mean["y"][0] == pytest.approx(np.mean(first), abs=1e-4)
    assert sum(v is None for v in thin["y"]) == len(first) == 8
    assert sum(v is not None for v in thin["y"]) == len(rows)
    assert "8 runs" in picture["caption"]
    n_by_epoch = [sum(row["epoch"] == e + 1 for row in rows) for e in range(len(mean["y"]))]
    assert min(n_by_epoch) >= 4  # half of the runs at least


def test_an_encoder_without_epochs_has_no_loss_picture(viewed):
    assert loss_picture(viewed(noise=NOISE), "handcrafted-closed") is None


def test_a_run_without_validation_still_has_its_training_curve(viewed):
    view = viewed(noise={"only": 0.5})
    for row in view.scores.results.history:
        row["validation_mse"] = None
    traces = loss_picture(view, "only")["figure"]["data"]
    assert traces[1]["y"] and not traces[3]["y"]
