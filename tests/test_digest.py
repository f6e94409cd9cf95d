"""Equal values give equal hashes, in every process; others give others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.audio.clips import ClipPlan
from affekt.digest import digest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@dataclass(frozen=True)
class Setting:
    count: int
    plan: ClipPlan


@given(PLAIN)
def test_sixteen_bytes_of_hex(value: Any) -> None:
    assert len(digest(value)) == 32
    assert int(digest(value), 16) >= 0


@given(st.dictionaries(st.text(), PLAIN, min_size=2))
def test_the_order_of_keys_does_not_count(value: dict[str, Any]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


@given(st.lists(st.integers(), min_size=1), st.integers())
def test_one_value_more_is_another_hash(values: list[int], one_more: int) -> None:
    assert digest([*values, one_more]) != digest(values)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (ClipPlan(6, 5.0), ClipPlan(6, 5.1)),
        (Setting(1, ClipPlan(2)), Setting(1, ClipPlan(3))),
        (0.1, 0.1 + 1e-16 * 2),
        ("1", 1),
        (None, "None"),
        ([1, [2]], [[1], 2]),
        (Path("a/b"), Path("a/c")),
    ],
)
def test_what_differs_differs(left: Any, right: Any) -> None:
    assert digest(left) != digest(right)


def test_dataclasses_count_by_their_fields() -> None:
    assert digest(Setting(1, ClipPlan(2, 5.0))) == digest({"count": 1, "plan": {"count": 2, "length_s": 5.0}})


def test_another_process_finds_the_same() -> None:
    code = "from affekt.digest import digest; print(digest({'b': [1, 2.5, 'ä'], 'a': None}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest({"a": None, "b": [1, 2.5, "ä"]})
