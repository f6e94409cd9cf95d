import pytest

from affekt.evaluation.factorial import factorial
from affekt.report.figures.factors import effects_picture, interaction_picture

DESIGN = {"waveform/transformer": 0.9, "waveform/mamba": 1.4, "log-mel/transformer": 0.7, "log-mel/mamba": 0.6}


def test_the_four_cells_stand_where_their_levels_are(viewed):
    view = viewed(noise={"mean": 0.0, **DESIGN})
    design = factorial(view.scores)
    picture = interaction_picture(view, design, "valence")
    for trace in picture["figure"]["data"]:
        for at, level in enumerate(("waveform", "log-mel")):
            value, low, high = view.scores.r2(f"{level}/{trace['name']}", "valence")
            assert trace["y"][at] == pytest.approx(value, abs=6e-4) and round(trace["x"][at]) == at
            assert trace["error_y"]["array"][at] == pytest.approx(high - value, abs=2e-3)
            assert trace["error_y"]["arrayminus"][at] == pytest.approx(value - low, abs=2e-3)
    assert {row[2] for row in picture["table"]["rows"]} == set(DESIGN)


def test_effects_are_those_of_the_analysis(viewed):
    view = viewed(noise={"mean": 0.0, **DESIGN}, targets=("valence",))
    design = factorial(view.scores)
    rows = effects_picture(view, design)["table"]["rows"]
    effects = [e for e in design.effects if e.kind in ("main", "interaction")]
    assert [row[1] for row in rows] == [f"{effect.value:z.3f}" for effect in effects]
    assert rows[0][0].startswith("waveform − log-mel") and rows[2][0].startswith("input x trunk")
