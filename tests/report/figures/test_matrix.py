import pytest

from affekt.report.figures.matrix import matrix
from affekt.report.figures.style import NEUTRAL

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.5, "mambavision-s": 0.49}


def cells(view, target):
    picture = matrix(view, target)
    ranking = view.scores.ranking(target)
    trace = picture["figure"]["data"][0]
    return {
        (ranking[i], ranking[j + 1]): (trace["z"][i][j], trace["text"][i][j], trace["customdata"][i][j])
        for i in range(len(ranking) - 1)
        for j in range(len(ranking) - 1)
    }


def test_every_pair_stands_once_with_the_better_encoder_in_the_row(viewed):
    view = viewed(noise=NOISE)
    found = {pair: cell for pair, cell in cells(view, "valence").items() if cell[0] is not None}
    expected = {(r["first"], r["second"]): r for r in view.pairs if r["target"] == "valence"}
    assert found.keys() == expected.keys()
    for pair, (_, text, hover) in found.items():
        row = expected[pair]
        assert text == f"{row['difference']:+z.2f}<br>[{row['low']:z.2f}, {row['high']:z.2f}]"
        assert f"{row['p_songs_holm']:.4f}" in hover and "Holm" in hover


def test_a_difference_that_was_not_shown_is_neutral_and_a_larger_one_darker(viewed):
    view = viewed(noise=NOISE)
    rows = {(r["first"], r["second"]): r for r in view.pairs if r["target"] == "valence"}
    shades = {pair: cell[0] for pair, cell in cells(view, "valence").items() if cell[0] is not None}
    assert {pair for pair, shade in shades.items() if shade == 0} == {
        pair for pair, row in rows.items() if row["verdict"] == "no difference shown"
    }
    shown = sorted((pair for pair in shades if shades[pair]), key=lambda pair: rows[pair]["difference"])
    assert [shades[pair] for pair in shown] == sorted(shades[pair] for pair in shown) and len(shown) >= 3
    assert matrix(view, "valence")["figure"]["data"][0]["colorscale"][0] == [0, NEUTRAL]


def test_twins_are_left_out_and_one_encoder_needs_no_matrix(viewed):
    view = viewed(noise={**NOISE, "mambavision-s (untrained)": 2.0})
    assert "untrained" not in str(matrix(view, "arousal"))
    assert matrix(viewed(noise={"only": 0.5}), "arousal") is None


@pytest.mark.parametrize(("n", "lines"), [(9, 2), (10, 1)])
def test_many_encoders_have_no_room_for_intervals(viewed, n, lines):
    view = viewed(noise={f"e{i}": 0.3 + 0.1 * i for i in range(n)}, n_songs=20)
    assert len(matrix(view, "valence")["figure"]["data"][0]["text"][0][0].split("<br>")) == lines
