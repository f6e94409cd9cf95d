"""What the doctor finds on a machine where things work, and on one where they do not."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt import doctor
from affekt.audio import decode as decoding
from affekt.doctor import BROKEN, MISSING, OK, examine
from affekt.encoders import base


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that is not there yet."""
    monkeypatch.setenv("AFFEKT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def row_of(check: str) -> dict[str, Any]:
    """The result of one check alone."""
    (row,) = [doctor._run(name, function) for name, function in doctor.CHECKS if name == check]
    return row


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a package is not installed, even where it is loaded already."""
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named '{package}'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(doctor.importlib, "import_module", refuse)


def test_a_machine_where_everything_works(home: Path) -> None:
    rows = examine()
    assert [row["check"] for row in rows] == [name for name, _ in doctor.CHECKS]
    assert all(row.keys() == {"check", "state", "found", "mend"} for row in rows)
    assert all(row["found"] for row in rows)
    assert [row for row in rows if row["state"] == BROKEN] == []
    assert all(row["mend"] for row in rows if row["state"] != OK)
    found = {row["check"]: row["found"] for row in rows}
    assert all(kind in found["decoding"] for kind in ("wav", "flac", "ogg", "mp3"))
    assert str(home) in found["store"] and "GB free" in found["store"]
    assert list(home.iterdir()) == [], "something was left behind"


def test_a_store_that_cannot_be_written(home: Path) -> None:
    home.write_text("a file where a folder belongs")
    row = row_of("store")
    assert row["state"] == BROKEN
    assert "FileExistsError" in row["found"] and str(home) in row["found"]


def test_a_store_in_a_folder_that_cannot_be_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("")
    monkeypatch.setenv("AFFEKT_HOME", str(home / "below"))
    assert row_of("store")["state"] == BROKEN


def test_one_broken_check_does_not_hide_the_others(home: Path) -> None:
    home.write_text("")
    states = {row["check"]: row["state"] for row in examine()}
    assert len(states) == len(doctor.CHECKS)
    assert [check for check, state in states.items() if state == BROKEN] == ["store"]


def test_without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    row = row_of("more formats")
    assert row["state"] == MISSING and row["mend"] == "install the program ffmpeg"


def test_a_format_that_cannot_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    original = decoding.decode

    def deaf(path: Path, rate_hz: int) -> np.ndarray:
        if path.suffix == ".mp3":
            raise RuntimeError("no mp3 in this libsndfile")
        return original(path, rate_hz) * (0 if path.suffix == ".ogg" else 1)

    monkeypatch.setattr(decoding, "decode", deaf)
    row = row_of("decoding")
    assert row["state"] == BROKEN
    assert row["found"].startswith("wav, flac;")
    assert row["mend"].startswith("no ogg, mp3: pip install")


@pytest.mark.parametrize(
    ("check", "package", "extra"),
    [
        ("neural encoders", "torch", "models"),
        ("hub models", "transformers", "models"),
        ("handcrafted", "librosa", "handcrafted"),
        ("engines", "nncf", "openvino"),
        ("exported models", "onnxruntime", "onnx"),
        ("exporting models", "onnxscript", "export"),
        ("page and API", "gradio", "web"),
        ("Parquet tables", "pyarrow", "parquet"),
        ("many machines", "ray", "ray"),
        ("beets", "beets", "beets"),
        ("DEAM download", "kagglehub", "kaggle"),
    ],
)
def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, check: str, package: str, extra: str) -> None:
    without(package, monkeypatch)
    row = row_of(check)
    assert row["state"] == MISSING
    assert package in row["found"]
    assert f"pip install 'affekt[{extra}]'" in row["mend"]


def test_a_machine_without_any_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is broken on a machine that has the core alone."""
    for package in ("torch", "transformers", "librosa", "kagglehub", "openvino", "nncf"):
        without(package, monkeypatch)
    states = {row["check"]: row["state"] for row in examine()}
    assert BROKEN not in states.values(), states


def test_an_encoder_that_gives_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    from affekt.encoders.staged import StagedEncoder

    def nonsense(self: base.Encoder, clips: np.ndarray, cut: base.Cut) -> np.ndarray:
        return np.full((len(clips), 3), np.nan, np.float32)

    monkeypatch.setattr(StagedEncoder, "activations", nonsense)
    assert row_of("neural encoders")["state"] == BROKEN
