"""Words and pictures of a prediction: where things lie, what is said, that nothing that was sent gets into them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from affekt.model.emotion import Course, Emotion, Interval
from affekt.service import pictures, words


def emotion(
    valence: float = 7.0,
    arousal: float = 3.0,
    half: float = 1.0,
    targets: tuple[str, ...] = ("valence", "arousal"),
    n_moments: int = 3,
) -> Emotion:
    values = (valence, arousal, 5.0)[: len(targets)]
    course = Course(np.linspace(1, 9, n_moments), np.tile(values, (n_moments, 1)))
    intervals = tuple(Interval(max(1.0, value - half), min(9.0, value + half)) for value in values)
    return Emotion(targets, values, intervals, 0.9, (1.0, 9.0), 10.0, course)


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_the_plane_is_well_formed_and_names_its_corners() -> None:
    text = "".join(drawn(pictures.plane().replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')).itertext())
    for word in (*words.QUADRANT_WORDS.values(), "unpleasant", "pleasant", "calm", "excited"):
        assert word in text


@pytest.mark.parametrize(("valence", "arousal", "x", "y"), [(5, 5, 220, 220), (9, 9, 406, 34), (1, 1, 34, 406)])
def test_pleasant_lies_to_the_right_and_excited_above(valence: float, arousal: float, x: float, y: float) -> None:
    circle = drawn(pictures.mark([emotion(valence, arousal)])).find(".//circle")
    assert circle is not None and (float(circle.attrib["cx"]), float(circle.attrib["cy"])) == (x, y)


def test_a_cross_is_as_wide_as_its_intervals() -> None:
    cross = drawn(pictures.mark([emotion(5, 5, half=2)])).find(".//path[@class='cross']")
    assert cross is not None and cross.attrib["d"].startswith("M127.0 220.0H313.0M220.0 313.0V127.0")


def test_two_models_are_two_shapes_that_are_joined() -> None:
    found = drawn(pictures.mark([emotion(), emotion(3.0)]))
    assert [part.attrib["class"] for part in found] == ["joint", "second", "first"]  # the first on top
    assert pictures.mark([emotion(), emotion(targets=("tension",))]) == ""


def test_a_course_spans_the_track() -> None:
    svg = drawn(pictures.course([emotion()], np.linspace(0, 1, 240)))
    lines = [path.attrib["d"] for path in svg if path.attrib["class"].startswith("line")]
    assert lines[0].split("L")[0] == "M100.0 50.0" and lines[0].split("L")[-1] == "900.0 50.0"
    assert lines[1].startswith("M100.0 150.0")
    (still,) = [path.attrib["d"] for path in drawn(pictures.course([emotion(n_moments=1)], np.zeros(240)))][2:3]
    assert still == "M0.0 50.0L1000.0 50.0"  # one window: it does not move


def test_names_of_targets_are_never_markup() -> None:
    evil = "<script>alert(1)</script>"
    found = emotion(targets=("valence", "arousal", evil))
    text = pictures.course([found], np.ones(240)) + pictures.mark([found]) + pictures.trail(found)
    assert "script" not in text and len(drawn(pictures.course([found], np.ones(240)))) == 5


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        (0.05, "neither pleasant nor unpleasant"),
        (0.2, "slightly pleasant"),
        (-0.2, "slightly unpleasant"),
        (0.5, "clearly pleasant"),
        (-1.0, "very unpleasant"),
    ],
)
def test_degrees(unit: float, told: str) -> None:
    assert words.degree("valence", unit) == told == words.degree("valence_proxy", unit)


def test_headlines_and_moods() -> None:
    assert words.headline(emotion()) == "Clearly pleasant, clearly calm"
    assert words.mood(emotion()) == "serene, tender"
    assert words.mood_line(emotion()) == "Music of this corner is often called serene or tender."
    assert "Other corners" in words.mood_line(emotion(half=3))
    assert words.headline(emotion(5.1, 4.9)) == "In the middle" and words.mood(emotion(5.1, 4.9)) == ""
    assert words.mood_line(emotion(5.1, 4.9)).startswith("Too close to the middle")
    assert words.mood(emotion(targets=("tension", "arousal"))) == ""


def test_doubt_is_said_where_the_interval_crosses_the_middle() -> None:
    sure, unsure = emotion(7, 5.1, half=1.5), emotion(6, 5.1, half=1.5)
    assert [told["doubt"] for told in words.target_words(sure)] == ["", "could be either"]
    assert words.target_words(unsure)[0]["doubt"] == "could be unpleasant as well"
    assert words.target_words(sure)[0]["at"] == [75, 56.25, 93.75]
    assert words.target_words(sure)[0] | {"interval": "5.5 to 8.5", "value": "7.0"} == words.target_words(sure)[0]


@pytest.mark.parametrize(
    ("targets", "places"),
    [
        (("arousal", "valence"), (1, 0)),
        (("tension", "valence_proxy", "arousal_proxy"), (1, 2)),
        (("valence", "valence_2", "arousal"), None),
        (("valence",), None),
        (("valenced", "arousal"), None),
    ],
)
def test_which_targets_span_the_plane(targets: tuple[str, ...], places: tuple[int, int] | None) -> None:
    assert words.plane_targets(targets) == places
