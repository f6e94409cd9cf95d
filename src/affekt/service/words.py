"""A prediction in plain words. How sure it is stands beside how it is: an interval across the middle says "or"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from affekt.data.base import VALENCE_AROUSAL
from affekt.evaluation.metrics import QUADRANTS, quadrants
from affekt.model.emotion import Emotion, Interval

#: What the two ends of a target are called, lower first.
ENDS = {"valence": ("unpleasant", "pleasant"), "arousal": ("calm", "excited")}
#: What music in a quadrant is called.
QUADRANT_WORDS = {
    "V+ A+": "joyful, lively",
    "V- A+": "tense, angry",
    "V- A-": "sad, gloomy",
    "V+ A-": "serene, tender",
}
#: How far from the middle a value lies, as a share of the way to the end, and what that is called.
DEGREES = ((0.1, ""), (0.3, "slightly"), (0.6, "clearly"), (float("inf"), "very"))


def dimension(target: str) -> str | None:
    """Which of valence and arousal a target stands for: by its name, or its name's beginning, as "valence_proxy"."""
    return next((name for name in VALENCE_AROUSAL if target == name or target.startswith(f"{name}_")), None)


def plane_targets(targets: Sequence[str]) -> tuple[int, int] | None:
    """Where valence and arousal stand among targets; None where one of them is not there, or is there twice."""
    found = [[i for i, target in enumerate(targets) if dimension(target) == name] for name in VALENCE_AROUSAL]
    return (found[0][0], found[1][0]) if [len(places) for places in found] == [1, 1] else None


def headline(emotion: Emotion) -> str:
    """All targets in one line, such as "Slightly pleasant, clearly calm"."""
    if _in_the_middle(emotion):
        return "In the middle"
    line = ", ".join(degree(target, unit) for target, unit in zip(emotion.targets, emotion.unit, strict=True))
    return line[:1].upper() + line[1:]


def mood(emotion: Emotion) -> str:
    """What music of this quadrant is called; empty in the middle, and without valence or arousal."""
    places = plane_targets(emotion.targets)
    if places is None or _in_the_middle(emotion):
        return ""
    place = np.array([[emotion.values[i] for i in places]])
    return QUADRANT_WORDS[QUADRANTS[int(quadrants(place, centre=sum(emotion.scale) / 2)[0])]]


def mood_line(emotion: Emotion) -> str:
    """The same as a sentence, which says where other quadrants are within the intervals."""
    places = plane_targets(emotion.targets)
    if places is None:
        return ""
    if _in_the_middle(emotion):
        return "Too close to the middle for one corner of the plane."
    centre = sum(emotion.scale) / 2
    sure = all(not emotion.intervals[i].low < centre < emotion.intervals[i].high for i in places)
    called = mood(emotion).replace(", ", " or ")
    return f"Music of this corner is often called {called}." + ("" if sure else " Other corners are within its range.")


def degree(target: str, unit: float) -> str:
    """Where a value lies, in words.

    Args:
        target: its name.
        unit: the value, from -1 to 1.
    """
    low, high = _ends(target)
    word = next(word for at_most, word in DEGREES if abs(unit) < at_most)
    return f"{word} {high if unit > 0 else low}" if word else f"neither {high} nor {low}"


def target_words(emotion: Emotion) -> list[dict[str, Any]]:
    """A record for each target: its name, value, interval and words, and where they lie between the ends in percent."""
    low, high = emotion.scale
    return [
        {
            "name": target.replace("_", " "),
            "ends": list(_ends(target)),
            "value": f"{value:.1f}",
            "interval": f"{interval.low:.1f} to {interval.high:.1f}",
            "words": degree(target, unit),
            "doubt": _doubt(target, unit, interval, (low + high) / 2),
            "at": [round(100 * (part - low) / (high - low), 2) for part in (value, *interval)],
        }
        for target, value, interval, unit in zip(
            emotion.targets, emotion.values, emotion.intervals, emotion.unit, strict=True
        )
    ]


def scale_words(emotion: Emotion) -> str:
    """How to read the numbers."""
    low, high = emotion.scale
    return (
        f"From {low:g} to {high:g}. About {emotion.coverage:.0%} of songs that were new to the model were rated within "
        "such a range."
    )


def _doubt(target: str, unit: float, interval: Interval, centre: float) -> str:
    if not interval.low < centre < interval.high:
        return ""
    low, high = _ends(target)
    if abs(unit) < DEGREES[0][0]:
        return "could be either"
    return f"could be {low if unit > 0 else high} as well"


def _in_the_middle(emotion: Emotion) -> bool:
    return all(abs(unit) < DEGREES[0][0] for unit in emotion.unit)


def _ends(target: str) -> tuple[str, str]:
    plain = target.replace("_", " ")
    return ENDS.get(dimension(target) or "", (f"low in {plain}", f"high in {plain}"))
