import pytest

from affekt.report.figures.ladder import Difference, differences, ladder, shared_limits

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.7, "mambavision-s": 0.5}
TWINS = {**NOISE, "mambavision-s (untrained)": 1.3, "wav2vec2-base (untrained)": 1.2}


def by_name(picture):
    return {trace["name"]: trace for trace in picture["figure"]["data"]}


def test_values_intervals_and_ceiling(viewed):
    view = viewed(noise=NOISE, ceiling=(0.8, 0.7))
    picture = ladder(view, "arousal")
    for label, trace in by_name(picture).items():
        value, low, high = view.scores.r2(label, "arousal")
        assert trace["x"][0] == pytest.approx(value, abs=6e-4)
        assert trace["text"] == [f"{value:z.2f}"]
        assert trace["x"][0] + trace["error_x"]["array"][0] == pytest.approx(high, abs=2e-3)
        assert trace["x"][0] - trace["error_x"]["arrayminus"][0] == pytest.approx(low, abs=2e-3)
    (line,) = picture["figure"]["layout"]["shapes"]
    assert line["x0"] == line["x1"] == 0.7 and line["line"]["dash"] == "dash"
    start, end = picture["figure"]["layout"]["xaxis"]["range"]
    assert start < 0 and end > max(0.7, view.scores.r2("mambavision-s", "arousal")[2])
    assert "ceiling" not in str(ladder(viewed(noise=NOISE), "arousal")["figure"])


def test_best_stands_on_top_and_twins_below_their_parents(viewed):
    view = viewed(noise=TWINS)
    at = {name: trace["y"][0] for name, trace in by_name(ladder(view, "valence")).items()}
    own = [label for label in view.scores.ranking("valence") if not label.endswith("(untrained)")]
    assert sorted(own, key=at.__getitem__) == own
    for label in ("mambavision-s", "wav2vec2-base"):
        assert 0 < at[f"{label} (untrained)"] - at[label] < 1
        assert not any(at[label] < other < at[f"{label} (untrained)"] for other in at.values())


def test_reference_points_are_hollow_and_what_competes_is_filled(viewed):
    view = viewed(noise=TWINS)
    symbols = {name: trace["marker"]["symbol"] for name, trace in by_name(ladder(view, "valence")).items()}
    assert symbols["mean"] == symbols["handcrafted-closed"] == "diamond-open"
    assert symbols["mambavision-s (untrained)"] == "circle-open"
    assert symbols["mambavision-s"] == symbols["wav2vec2-base"] == "circle"
    assert view.colours["mambavision-s (untrained)"] == view.colours["mambavision-s"]


def test_a_twin_whose_parent_has_no_score_keeps_its_name(viewed):
    view = viewed(noise={"mean": 0.0, "a": 0.5, "a (untrained)": 1.0})
    constant = view.scores.encoders.index("a")
    view.scores.intervals.value[constant] = float("nan")
    names = ladder(view, "valence")["figure"]["layout"]["yaxis"]["ticktext"]
    assert any(name.startswith("a (untrained)<br>") and "untrained twin" in name for name in names)


def test_who_is_not_told_from_the_best_is_said_beside_the_name(viewed):
    view = viewed(noise={"mean": 0.0, "a": 0.5, "b": 0.51, "c": 3.0})
    best = view.scores.ranking("valence")[0]
    names = ladder(view, "valence")["figure"]["layout"]["yaxis"]["ticktext"]
    tied = {name.split("<br>")[0] for name in names if "no difference to best" in name}
    assert tied == {"a", "b"} - {best}


def test_hopeless_encoder_is_drawn_at_the_edge_with_its_number(viewed):
    view = viewed(noise={"good": 0.3, "hopeless": 30.0})
    picture = ladder(view, "valence")
    trace = by_name(picture)["hopeless"]
    assert picture["figure"]["layout"]["xaxis"]["range"][0] > -1.1
    assert trace["x"][0] > -1.1 and "error_x" not in trace and trace["marker"]["symbol"] == "triangle-left"
    assert float(trace["text"][0]) == pytest.approx(view.scores.r2("hopeless", "valence")[0], abs=0.06)


def test_targets_share_their_axis(viewed):
    view = viewed(noise=NOISE, ceiling=(0.8, 0.9))
    low, high = shared_limits([view])
    triples = [view.scores.r2(label, target) for label in NOISE for target in view.targets]
    assert low < min(t[1] for t in triples) and high > 0.9
    ranges = [ladder(view, target, (low, high))["figure"]["layout"]["xaxis"]["range"] for target in view.targets]
    assert ranges == [[low, high]] * 2


def test_differences_show_zero_and_whether_it_is_left_out(viewed):
    rows = [Difference("more", "", "#000000", 0.2, 0.1, 0.3), Difference("none", "x", "#000000", 0.1, -0.1, 0.3)]
    picture = differences(viewed(), "key-0", "title", "alt", rows)
    low, high = picture["figure"]["layout"]["xaxis"]["range"]
    assert low < -0.1 and high > 0.3 and picture["figure"]["layout"]["xaxis"]["zeroline"]
    assert [trace["marker"]["symbol"] for trace in picture["figure"]["data"]] == ["circle", "circle-open"]
    assert [row[-1] for row in picture["table"]["rows"]] == ["better", "no difference shown"]
