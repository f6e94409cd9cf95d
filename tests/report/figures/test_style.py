import json

import plotly.graph_objects as go
import pytest

from affekt.report import page
from affekt.report.figures import style

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.7, "wav2vec2-base (untrained)": 2.0}
DESIGN = {"waveform/a": 0.9, "waveform/b": 1.4, "log-mel/a": 0.7, "log-mel/b": 0.6}


@pytest.mark.parametrize("targets", [("valence", "arousal"), ("tension", "power", "interest", "wonder", "calm")])
@pytest.mark.parametrize("synthetic", [True, False])
def test_plotly_accepts_every_figure(viewed, targets, synthetic):
    view = viewed(noise={**NOISE, **DESIGN, "hopeless": 20.0}, targets=targets, synthetic=synthetic, ceiling=(0.9,) * 2)
    data = page.page_data(view)
    for drawing in data["drawings"].values():
        names = {"customdata": data["song_names"]}
        traces = [{**t, **names} if t.get("customdata") == style.SONG_NAMES else t for t in drawing["data"]]
        go.Figure(data=traces, layout=drawing["layout"])  # raises on an unknown property


@pytest.mark.parametrize("synthetic", [True, False])
def test_every_picture_says_itself_that_its_music_is_synthetic(viewed, synthetic):
    drawings = page.page_data(viewed(noise={**NOISE, **DESIGN}, synthetic=synthetic))["drawings"]
    assert len(drawings) > 20
    said = ["synthetic music" in d["layout"]["xaxis"]["title"]["text"] for d in drawings.values()]
    assert all(said) if synthetic else not any(said)


def test_every_picture_with_random_weights_says_so(viewed):
    drawings = page.page_data(viewed(noise={"mean": 0.0, "a-nano": 0.5, "b": 0.6}))["drawings"]
    with_it = {key for key, d in drawings.items() if "a-nano" in json.dumps(d)}
    assert len(with_it) > 8
    assert all("random weights" in json.dumps(drawings[key]) for key in with_it)
    assert "random weights" not in json.dumps(drawings["scatter-2"])


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("short", "short"),
        ("mambavision-nano", "mambavision-<br>nano"),
        ("a<b>-and-something", "a&lt;b&gt;-and-<br>something"),
        ("abcdefghijklmnopq", "abcdefgh<br>ijklmnopq"),
    ],
)
def test_long_names_go_over_two_lines(name, lines):
    assert style.wrapped(name) == lines


def test_shortened_names_keep_both_ends_and_cut_ones_their_beginning():
    assert style.shortened("precomputed:song_level_features") == "precompute…el_features"
    assert len(style.shortened("x" * 50)) <= 22 and style.shortened("x" * 22) == "x" * 22
    assert style.cut("A very long title of a song indeed") == "A very long title of a so…"


def test_colours_differ_and_stay_the_same_in_every_picture(viewed):
    view = viewed(noise={**{f"e{i}": 0.5 + i / 10 for i in range(11)}, "mean": 0.0, "handcrafted": 0.9}, n_songs=20)
    assert len(set(view.colours.values())) == 13
    drawings = page.page_data(view)["drawings"]
    for k, label in enumerate(view.scores.results.labels):
        assert drawings[f"scatter-{k}"]["data"][1]["marker"]["color"] == view.colours[label]
        assert drawings[f"confusion-{k}"]["data"][0]["colorscale"][1][1] == view.colours[label]


def test_every_colour_can_be_seen_on_white():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    from affekt.report.view import BASELINE_COLOURS, PALETTE

    for colour in (*PALETTE, *BASELINE_COLOURS.values()):
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour


def test_a_comparison_without_valence_has_a_picture_for_each_target(viewed):
    data = page.page_data(viewed(noise={"only": 0.5}, targets=("arousal", "tension", "valence")))
    titles = [picture["title"] for picture in data["sections"][0]["pictures"]]
    assert titles[0] == "Loss against epochs" and titles[1] == "Predictions over annotations"
    assert titles[3:] == ["tension: predicted against annotated"]
    scatter = data["drawings"]["scatter-0"]["layout"]
    assert scatter["xaxis"]["title"]["text"].startswith("valence")
    assert scatter["yaxis"]["title"]["text"] == "arousal"
