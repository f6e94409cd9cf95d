import numpy as np
import plotly.graph_objects as go
import pytest

from affekt.evaluation import metrics
from affekt.evaluation.scores import score
from affekt.report import figures, report_data

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.7, "mambavision-s": 0.5}


@pytest.fixture
def scores(comparison):
    return score(comparison(noise=NOISE, ceiling=(0.8, 0.7)))


@pytest.mark.parametrize("targets", [("valence", "arousal"), ("tension", "power", "interest", "wonder", "calm")])
@pytest.mark.parametrize("synthetic", [True, False])
def test_plotly_accepts_every_figure(comparison, targets, synthetic):
    data = report_data(comparison(noise={**NOISE, "hopeless": 20.0}, targets=targets, synthetic=synthetic))
    for drawing in data["drawings"].values():
        traces = [{**t, "customdata": data["song_names"]} if "customdata" in t else t for t in drawing["data"]]
        go.Figure(data=traces, layout=drawing["layout"])  # raises on an unknown property


def test_r2_picture_shows_values_intervals_and_ceiling(scores):
    picture = figures.r2_picture(scores, "arousal", NOISE, 0.7)
    for trace, label in zip(picture["figure"]["data"], NOISE, strict=True):
        value, low, high = scores.r2(label, "arousal")
        assert trace["x"][0] == pytest.approx(value, abs=6e-4)
        assert trace["x"][0] + trace["error_x"]["array"][0] == pytest.approx(high, abs=2e-3)
        assert trace["x"][0] - trace["error_x"]["arrayminus"][0] == pytest.approx(low, abs=2e-3)
    (line,) = picture["figure"]["layout"]["shapes"]
    assert line["x0"] == line["x1"] == 0.7
    start, end = picture["figure"]["layout"]["xaxis"]["range"]
    assert start < 0 and end > max(0.7, scores.r2("mambavision-s", "arousal")[2])
    assert "ceiling" not in str(figures.r2_picture(scores, "arousal", NOISE, None)["figure"])


def test_hopeless_encoder_is_drawn_at_the_edge_with_its_number(comparison):
    scores = score(comparison(noise={"good": 0.3, "hopeless": 30.0}))
    layout, traces = (
        figures.r2_picture(scores, "valence", ["good", "hopeless"], None)["figure"][k] for k in ("layout", "data")
    )
    assert layout["xaxis"]["range"][0] > -1.1
    assert traces[1]["mode"] == "markers+text" and traces[1]["x"][0] > -1.1
    assert float(traces[1]["text"][0]) == pytest.approx(scores.r2("hopeless", "valence")[0], abs=0.06)


def test_scatter_holds_every_song_twice_and_in_order(scores):
    picture = figures.scatter_picture(scores, "wav2vec2-base", (0, 1))
    annotated, predicted = picture["figure"]["data"]
    y_pred = scores.y_pred["wav2vec2-base"].mean(axis=0)
    np.testing.assert_allclose(np.array([annotated["x"], annotated["y"]]).T, scores.y_true, atol=0.006)
    np.testing.assert_allclose(np.array([predicted["x"], predicted["y"]]).T, y_pred, atol=0.006)
    assert len(figures.song_names(scores)) == len(scores.song_ids) == len(annotated["x"])


def test_furthest_songs_come_first(scores):
    rows = figures.scatter_picture(scores, "wav2vec2-base", (0, 1))["table"]["rows"]
    distances = [float(row[-1]) for row in rows]
    assert len(rows) == 20 and distances == sorted(distances, reverse=True)
    error = scores.y_pred["wav2vec2-base"].mean(axis=0) - scores.y_true
    assert distances[0] == pytest.approx(np.sqrt((error**2).sum(axis=1)).max(), abs=0.006)


def test_confusion_counts_average_over_seeds(scores):
    picture = figures.confusion_picture(scores, "wav2vec2-base", (0, 1))
    runs = scores.y_pred["wav2vec2-base"]
    accuracy = np.mean([metrics.quadrant_accuracy(y_true=scores.y_true, y_pred=run, centre=5) for run in runs])
    assert picture["title"] == f"Quadrants: {100 * accuracy:.0f} % right"
    trace = picture["figure"]["data"][0]
    counts = [[float(text.split("<br>")[0]) for text in row] for row in trace["text"]]
    assert np.sum(counts) == pytest.approx(len(scores.song_ids))
    shares = np.array(trace["z"])
    sums = shares.sum(axis=1)
    np.testing.assert_allclose(sums[np.sum(counts, axis=1) > 0], 1, atol=0.003)


def test_loss_picture_averages_runs_and_keeps_each(scores):
    picture = figures.loss_picture(scores, "wav2vec2-base")
    thin, mean = picture["figure"]["data"][2:]
    rows = [row for row in scores.results.history if row["encoder"] == "wav2vec2-base"]
    first = [row["validation_mse"] for row in rows if row["epoch"] == 1]
    assert mean["y"][0] == pytest.approx(np.mean(first), abs=1e-4)
    assert sum(v is None for v in thin["y"]) == len(first) == 8
    assert sum(v is not None for v in thin["y"]) == len(rows)
    assert "8 runs" in picture["caption"]
    n_by_epoch = [sum(row["epoch"] == e + 1 for row in rows) for e in range(len(mean["y"]))]
    assert min(n_by_epoch) >= 4  # half of the runs at least


def test_an_encoder_without_epochs_has_no_loss_picture(scores):
    assert figures.loss_picture(scores, "handcrafted-closed") is None


def test_a_run_without_validation_still_has_its_training_curve(comparison):
    results = comparison(noise={"only": 0.5})
    results.history = [{**row, "validation_mse": None} for row in results.history]
    picture = figures.loss_picture(score(results), "only")
    assert picture["figure"]["data"][1]["y"] and not picture["figure"]["data"][3]["y"]


def test_targets_that_are_not_valence_and_arousal_get_a_scatter_each(comparison):
    data = report_data(comparison(noise={"only": 0.5}, targets=("arousal", "tension", "valence")))
    titles = [picture["title"] for picture in data["sections"][0]["pictures"]]
    assert titles[0] == "Loss against epochs" and titles[1] == "Predictions over annotations"
    assert titles[3:] == ["tension: predicted against annotated"]
    scatter = data["drawings"]["scatter-0"]["layout"]
    assert scatter["xaxis"]["title"]["text"] == "valence" and scatter["yaxis"]["title"]["text"] == "arousal"


def test_an_encoder_keeps_its_colour_and_no_two_share_one(comparison):
    labels = [f"e{i}" for i in range(11)] + ["mean"]
    chosen = figures.colours(labels)
    assert len(set(chosen.values())) == 12
    data = report_data(comparison(noise=NOISE))
    for label, colour in data["colours"].items():
        k = list(NOISE).index(label)
        assert data["drawings"][f"scatter-{k}"]["data"][1]["marker"]["color"] == colour
        assert data["drawings"][f"confusion-{k}"]["data"][0]["colorscale"][1][1] == colour


def test_cost_is_drawn_where_two_encoders_have_one(scores):
    seconds = {"mean": None, "wav2vec2-base": 0.5, "mambavision-s": 0.25}
    picture = figures.cost_picture(scores, list(NOISE), seconds)
    assert [trace["x"] for trace in picture["figure"]["data"]] == [[0.5], [0.25]]
    expected = np.mean([scores.r2("wav2vec2-base", target)[0] for target in ("valence", "arousal")])
    assert picture["figure"]["data"][0]["y"][0] == pytest.approx(expected, abs=6e-4)
    assert figures.cost_picture(scores, list(NOISE), {"wav2vec2-base": 0.5}) is None


@pytest.mark.parametrize(
    ("song", "name"),
    [
        ({"id": "7"}, "7"),
        ({"id": "7", "title": "So What", "artist": None}, "7: So What"),
        ({"id": "7", "title": "So What", "artist": "Miles"}, "7: So What – Miles"),
    ],
)
def test_a_song_is_named_as_far_as_it_is_known(song, name):
    assert figures.song_name(song) == name
