import numpy as np
import pytest

from affekt.report.figures.cost import cost_pictures, front

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.7, "mambavision-s": 0.5}


@pytest.mark.parametrize(
    ("costs", "r2", "expected"),
    [
        ({"a": 1, "b": 2, "c": 3}, {"a": 0.1, "b": 0.3, "c": 0.2}, ["a", "b"]),
        ({"a": 1, "b": 1, "c": 2}, {"a": 0.1, "b": 0.3, "c": 0.3}, ["b"]),
        ({"a": 0, "b": 0}, {"a": 0.2, "b": 0.2}, ["a", "b"]),
        ({"a": 5}, {"a": -3.0}, ["a"]),
    ],
)
def test_nothing_as_cheap_is_more_accurate_than_what_stands_on_the_front(costs, r2, expected):
    assert front(costs, r2) == expected


def test_front_of_random_encoders_is_what_the_definition_says():
    rng = np.random.default_rng(0)
    costs = {str(i): float(rng.integers(1, 8)) for i in range(30)}
    r2 = {i: float(rng.integers(0, 8)) for i in costs}
    for i in costs:
        beaten = any(
            (costs[j] < costs[i] and r2[j] >= r2[i]) or (costs[j] <= costs[i] and r2[j] > r2[i]) for j in costs
        )
        assert (i in front(costs, r2)) == (not beaten)


def test_both_costs_are_drawn_with_the_front_named(viewed):
    view = viewed(noise=NOISE)
    seconds, parameters = cost_pictures(view)
    points = {t["name"]: t for t in seconds["figure"]["data"] if "name" in t}
    assert points.keys() == NOISE.keys() - {"mean"}
    for label, trace in points.items():
        cost = view.cost(label)
        total = cost["extraction_s_per_song"] + cost["prediction_s_per_song"]
        assert trace["x"][0] == pytest.approx(np.log10(total), abs=1e-3)
        assert trace["y"][0] == pytest.approx(view.mean_r2(label)[0], abs=6e-4)
    best = front({n: t["x"][0] for n, t in points.items()}, {n: t["y"][0] for n, t in points.items()})
    assert ", ".join(best) in seconds["caption"] and ", ".join(best) in seconds["alt"]
    filled = {name for name, trace in points.items() if not trace["marker"]["symbol"].endswith("-open")}
    assert filled == set(best)
    stairs = seconds["figure"]["data"][0]
    assert stairs["mode"] == "lines" and len(stairs["x"]) == 2 * len(best) - 1
    assert "parameters" in parameters["figure"]["layout"]["xaxis"]["title"]["text"]


def test_no_parameters_at_all_has_a_place_of_its_own(comparison, viewed):
    view = viewed(noise=NOISE)
    view.cost("handcrafted-closed")["n_parameters"] = 0
    parameters = cost_pictures(view)[1]
    axis = parameters["figure"]["layout"]["xaxis"]
    assert axis["ticktext"][0] == "0"
    points = {t["name"]: t["x"][0] for t in parameters["figure"]["data"] if "name" in t}
    assert points["handcrafted-closed"] == axis["tickvals"][0] == min(points.values())


def test_what_was_not_measured_is_named_and_one_encoder_is_no_picture(viewed):
    view = viewed(noise=NOISE)
    view.cost("mambavision-s").update(extraction_s_per_song=None, prediction_s_per_song=None)
    assert "Not measured: mambavision-s" in cost_pictures(view)[0]["caption"]
    assert cost_pictures(viewed(noise={"mean": 0.0, "only": 0.5})) == []
