import numpy as np
import pytest

from affekt.evaluation import metrics
from affekt.report.figures.quadrants import confusion_picture


def test_counts_average_over_seeds(viewed):
    view = viewed()
    picture = confusion_picture(view, "wav2vec2-base", (0, 1))
    runs = view.scores.y_pred["wav2vec2-base"]
    accuracy = np.mean([metrics.quadrant_accuracy(y_true=view.y_true, y_pred=run, centre=5) for run in runs])
    assert picture["title"].startswith(f"Quadrants: {100 * accuracy:.0f} % right [")
    trace = picture["figure"]["data"][0]
    counts = [[float(text.split("<br>")[0]) for text in row] for row in trace["text"]]
    assert np.sum(counts) == pytest.approx(len(view.scores.song_ids))
    sums = np.array(trace["z"]).sum(axis=1)
    np.testing.assert_allclose(sums[np.sum(counts, axis=1) > 0], 1, atol=0.003)


def test_interval_of_the_accuracy_stands_in_title_and_description(viewed):
    view = viewed(n_songs=80)
    picture = confusion_picture(view, "mambavision-s", (0, 1))
    _, low, high = view.scores.quadrant_accuracy("mambavision-s")
    assert f"[{100 * low:.0f} %, {100 * high:.0f} %]" in picture["title"]
    assert f"{100 * low:.0f} %" in picture["alt"]
