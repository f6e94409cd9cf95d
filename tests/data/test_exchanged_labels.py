"""The script behind docs/exchanged-labels.md tells what is in the copy that it is given, and nothing else."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "docs/make_exchanged_labels.py"
Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function (options) -> what the script prints."""
    spec = importlib.util.spec_from_file_location("make_exchanged_labels", SCRIPT)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def call(*options: object) -> str:
        monkeypatch.setattr(sys, "argv", [SCRIPT.name, *map(str, options)])
        script.main()
        return capsys.readouterr().out

    return call


def row(printed: str, *start: str) -> list[str]:
    """The cells of the table row that begins with these ones."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in printed.splitlines()]
    (found,) = (cells for cells in rows if tuple(cells[: len(start)]) == start)
    return found[len(start) :]


def test_a_copy_as_distributed(run: Run, small_deam: Any) -> None:
    printed = run("--root", small_deam.root)
    truth = np.array(list(small_deam.truth.values()))
    written = np.array([small_deam.as_written(song) for song in small_deam.truth])
    r2 = 1 - ((truth - written) ** 2).sum(axis=0) / ((written - written.mean(axis=0)) ** 2).sum(axis=0)
    assert row(printed, "R2") == [f"{value:.3f}" for value in r2] and (r2 < 0.95).all()
    assert row(printed, "RMSE") == [f"{value:.3f}" for value in np.sqrt(((truth - written) ** 2).mean(axis=0))]
    moved = ((truth >= 5) != (written >= 5)).any(axis=1).sum()
    changed = (truth != written).any(axis=1).sum()
    assert f"{changed} songs have other labels; {moved} of them change their quadrant." in printed
    for part, n_songs in {"2013": 30, "2014": 30, "2015": 12}.items():
        n, vv, va, aa, av, contrast, _, against = map(float, row(printed, part))
        assert (n, against) == (n_songs, 0)
        assert (va > 0.95 > vv and av > 0.95 > aa) if part == "2013" else (vv > 0.95 > va and aa > 0.95 > av)
        assert np.sign(contrast) == (-1 if part == "2013" else 1)


def test_a_copy_that_was_mended(run: Run, copies: Any, tmp_path: Path) -> None:
    copies.make_deam(tmp_path / "mended", exchanged=lambda song: False)
    printed = run("--root", tmp_path / "mended")
    assert row(printed, "R2") == ["1.000", "1.000"]
    assert "0 songs have other labels; 0 of them change their quadrant." in printed
    assert all(float(row(printed, part)[5]) > 0.8 for part in ("2013", "2014", "2015"))


@pytest.mark.slow
def test_features_and_picture(run: Run, small_deam: Any, tmp_path: Path) -> None:
    """Loudness that follows arousal shows the exchange; ridge predicts arousal from it where labels are put right."""
    rng = np.random.default_rng(99)  # not the one that the labels were drawn with
    features = tmp_path / "features.csv"
    with features.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["song_id", "loudness", "other"])
        for song, (_, arousal) in small_deam.truth.items():
            writer.writerow([song, round(arousal + rng.normal(0, 0.1), 4), round(rng.normal(), 4)])
    picture = tmp_path / "picture.png"
    printed = run("--root", small_deam.root, "--features", features, "--seeds", 1, "--picture", picture)
    loud = [line for line in printed.partition("loudness with the labels")[2].splitlines() if line.startswith("| 20")]
    n, valence, arousal = map(float, loud[0].strip("| ").split("|")[1:])
    assert n == 30 and valence > 0.95 > arousal
    for folds in ("artist-disjoint", "artists may be shared"):
        (file_v, file_a), (true_v, true_a) = (
            [float(re.match(r"-?\.?\d+(\.\d+)?", cell)[0]) for cell in row(printed, labels, folds)]  # type: ignore[index]
            for labels in ("as distributed", "put right")
        )
        assert true_a > 0.9 > file_a and true_v < file_a and file_v > true_v
    assert picture.read_bytes().startswith(b"\x89PNG") and f"Picture: {picture}" in printed


def test_features_without_loudness_say_so(run: Run, small_deam: Any, tmp_path: Path) -> None:
    features = tmp_path / "features.csv"
    lines = ["song_id,x", *(f"{song},{song % 7}" for song in small_deam.truth)]
    features.write_text("\n".join(lines) + "\n")
    assert "features.csv has no column" in run("--root", small_deam.root, "--features", features, "--seeds", 1)
