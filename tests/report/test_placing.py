import pytest

from affekt.report.placing import PLACES, name_places


def places(x, y, names=None, path=()):
    names = names or {label: label for label in x}
    return name_places(names, x, {label: (v, v, v) for label, v in y.items()}, path, (0.0, 1.0))


def test_a_lone_name_stands_to_the_right_and_one_at_the_edge_to_the_left():
    assert places({"a": 0.0}, {"a": 0.5}) == {"a": "middle right"}
    found = places({"a": 0.0, "b": 3.0}, {"a": 0.5, "b": 0.5}, {"a": "a", "b": "a rather long name"})
    assert found["b"].endswith("left")


def test_names_of_neighbours_do_not_stand_on_each_other():
    found = places({"a": 0.0, "b": 0.05}, {"a": 0.5, "b": 0.5}, {"a": "first name", "b": "second name"})
    assert found["a"] != "middle right" and found["b"] == "middle right"


def test_names_keep_off_the_stairs():
    x, y = {"a": 0.0, "b": 1.0}, {"a": 0.3, "b": 0.7}
    assert places(x, y)["a"] == "middle right"
    assert places(x, y, path=["a", "b"])["a"] != "middle right"


@pytest.mark.parametrize("n", [1, 5, 40])
def test_every_point_has_a_place(n):
    x = {str(i): float(i % 3) for i in range(n)}
    found = places(x, dict.fromkeys(x, 0.5))
    assert found.keys() == x.keys() and set(found.values()) <= set(PLACES)


def test_undefined_bars_are_no_obstacle():
    nan = float("nan")
    assert name_places({"a": "a"}, {"a": 0.0}, {"a": (0.5, nan, nan)}, [], (0.0, 1.0)) == {"a": "middle right"}
