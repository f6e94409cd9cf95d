"""Names: what they resolve to, and what is said of those that do not exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.encoders.catalogue import catalogue
from affekt.errors import AffektError, DataError, EncoderError
from affekt.registry import DATASETS, ENCODERS, Registry, did_you_mean

REGISTRIES = {"encoder": ENCODERS, "data set": DATASETS}
ENTRIES = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry.names()]


@pytest.mark.parametrize(("kind", "name"), ENTRIES, ids=[name for _, name in ENTRIES])
def test_every_entry_is_something_to_call(kind: str, name: str) -> None:
    assert callable(REGISTRIES[kind].load(f"{name}x" if name.endswith(":") else name))


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("wav2vec", "wav2vec2-"),
        ("wav2vec2_base", "wav2vec2-base"),
        ("Mambavision-s", "mambavision-s"),
        ("handcraft", "handcrafted"),
        ("hubert", "hubert-base"),
        ("precomputed", "precomputed:"),
        ("precompute:a.csv", "precomputed:"),
    ],
)
def test_did_you_mean(wrong: str, meant: str) -> None:
    with pytest.raises(EncoderError, match=rf'^"{wrong}": unknown encoder\. Did you mean "{meant}[^"]*"\? `affekt enc'):
        ENCODERS.load(wrong)


def test_nothing_near() -> None:
    with pytest.raises(EncoderError, match=r'^"zzzzzz": unknown encoder\. `affekt encoders` lists all\.$'):
        ENCODERS.key("zzzzzz")
    with pytest.raises(DataError, match=r'^"demmo": unknown data set\. Did you mean "demo"\? `affekt data --help`'):
        DATASETS.key("demmo")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hf:owner/name@revision", "hf:"),
        ("hf:/a/folder:with a colon", "hf:"),
        ("precomputed:C:\\embeddings.csv", "precomputed:"),
        ("mean", "mean"),
    ],
)
def test_names_that_take_an_argument(name: str, key: str) -> None:
    assert ENCODERS.key(name) == key


def test_a_missing_argument() -> None:
    with pytest.raises(
        EncoderError, match=r'^"hf:": the argument is missing\. .* as in "hf:facebook/wav2vec2-base"\. `'
    ):
        ENCODERS.key("hf:")
    with pytest.raises(EncoderError, match=r'as in "precomputed:embeddings\.csv"'):
        ENCODERS.key("precomputed:")
    registry = Registry("thing", {"table:": "json:dumps"}, AffektError, "See there.")
    with pytest.raises(
        AffektError, match=r'^"table:": the argument is missing\. .* as in "table:<argument>"\. See there'
    ):
        registry.load("table:")


@pytest.mark.parametrize("name", ["hf", ":", "", "mean:", "mean:x", "demo:hf:", " mean"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(EncoderError, match="unknown encoder"):
        ENCODERS.key(name)


@given(st.text())
def test_any_text_is_a_name_or_an_error_of_ours(name: str) -> None:
    try:
        assert ENCODERS.key(name) in ENCODERS.names()
    except EncoderError as error:
        assert "`affekt encoders` lists all." in str(error)


def test_a_plug_in() -> None:
    registry = Registry("thing", {"a": "json:dumps"}, AffektError, "See there.")
    registry.register("path", "pathlib:Path")
    assert registry.load("path") is Path
    assert registry.names() == ["a", "path"]
    with pytest.raises(AffektError, match=r'^"pth": unknown thing\. Did you mean "path"\? See there\.$'):
        registry.load("pth")


def test_did_you_mean_is_empty_where_nothing_is_near() -> None:
    assert did_you_mean("x", ["wav2vec2-base"]) == ""
    assert did_you_mean("x", []) == ""


def test_the_catalogue_shows_every_encoder() -> None:
    rows = catalogue()
    shown = [row["name"] for row in rows]
    assert [name.partition("<")[0] for name in shown] == ENCODERS.names()
    assert all(row["input"] and row["weights"] and row["licence"] and row["needs"] for row in rows)
    assert all("<" in name for name in shown if ":" in name)


def test_a_plug_in_in_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is claimed of it, whatever its name begins with."""
    names = ("whisper-tiny", "mel-own", "mean2", "own:")
    monkeypatch.setattr(ENCODERS, "_entries", {**ENCODERS._entries, **dict.fromkeys(names, "json:dumps")})
    rows = {row.pop("name"): row for row in catalogue()}
    for shown in ("whisper-tiny", "mel-own", "mean2", "own:<argument>"):
        assert set(rows[shown].values()) == {"unknown"}


def test_listing_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom affekt.encoders.catalogue import catalogue\ncatalogue()\n"
        "print([name for name in ('torch', 'transformers', 'librosa', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
