import numpy as np
import pytest

from affekt.report.figures.songs import scatter_picture, song_names, target_picture

LABEL = "wav2vec2-base"


def test_holds_every_song_twice_and_in_order(viewed):
    view = viewed()
    annotated, predicted = scatter_picture(view, LABEL, (0, 1))["figure"]["data"]
    y_pred = view.scores.y_pred[LABEL].mean(axis=0)
    np.testing.assert_allclose(np.array([annotated["x"], annotated["y"]]).T, view.y_true, atol=0.006)
    np.testing.assert_allclose(np.array([predicted["x"], predicted["y"]]).T, y_pred, atol=0.006)
    assert len(song_names(view)) == len(view.scores.song_ids) == len(annotated["x"])


def test_furthest_songs_come_first(viewed):
    view = viewed()
    rows = scatter_picture(view, LABEL, (0, 1))["table"]["rows"]
    distances = [float(row[-1]) for row in rows]
    assert len(rows) == 20 and distances == sorted(distances, reverse=True)
    error = view.scores.y_pred[LABEL].mean(axis=0) - view.y_true
    assert distances[0] == pytest.approx(np.sqrt((error**2).sum(axis=1)).max(), abs=0.006)


def test_a_single_target_stands_against_its_annotation(viewed):
    view = viewed(targets=("tension", "calm"))
    (trace,) = target_picture(view, LABEL, 1)["figure"]["data"]
    np.testing.assert_allclose(trace["x"], view.y_true[:, 1], atol=0.006)
    np.testing.assert_allclose(trace["y"], view.predictions[LABEL][:, 1], atol=0.006)


def test_axes_hold_the_whole_scale_and_every_prediction_beyond_it(viewed):
    view = viewed(noise={LABEL: 6.0})
    low, high = scatter_picture(view, LABEL, (0, 1))["figure"]["layout"]["xaxis"]["range"]
    assert low <= min(1, view.predictions[LABEL].min()) and high >= max(9, view.predictions[LABEL].max())
