"""Comparisons made of seeded random numbers: the shape of a real one, in a hundredth of a second. Pages, read again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt.evaluation.results import PredictedCurve, Prediction, Results
from affekt.evaluation.scores import score
from affekt.report.view import View

TWIN = " (untrained)"
GENRES = ("Rock", "Jazz", "Classical", "Electronic")


def make_results(
    n_songs: int = 40,
    noise: dict[str, float] | None = None,
    targets: tuple[str, ...] = ("valence", "arousal"),
    seeds: tuple[int, ...] = (0, 1),
    n_folds: int = 4,
    synthetic: bool = False,
    ceiling: tuple[float, ...] | None = None,
    seed: int = 0,
    shift: float = 0.0,
    n_frames: int = 0,
) -> Results:
    """A comparison of encoders whose predictions are the annotation, shrunk, plus noise of the given spread.

    An encoder called "mean" predicts the mean of the other folds. One whose name ends in "-closed" has no epochs; one
    that ends in " (untrained)" is the twin of what stands before; "waveform/mamba" is a cell of a 2 x 2. `shift` is
    added to the first target's annotations. With `n_frames`, songs are annotated over time: a sine around each value.
    """
    rng = np.random.default_rng(seed)
    noise = {"wav2vec2-base": 0.7, "mambavision-s": 0.5} if noise is None else noise
    latent = rng.multivariate_normal(
        np.zeros(len(targets)), 0.5 * np.eye(len(targets)) + 0.5 * np.ones((len(targets),) * 2), size=n_songs
    )
    y_true = np.clip(5 + 1.2 * latent, 1, 9)
    y_true[:, 0] += shift * rng.standard_normal(n_songs)
    folds = rng.permutation(np.arange(n_songs) % n_folds)
    songs = [_song(number, rng) for number in range(n_songs)]
    predictions = []
    for label, spread in noise.items():
        for run in seeds:
            y_pred = _predict(label, y_true, folds, spread, rng)
            predictions += [
                Prediction(label, run, int(folds[i]), songs[i]["id"], target, float(y_true[i, t]), float(y_pred[i, t]))
                for i in range(n_songs)
                for t, target in enumerate(targets)
            ]
    trained = [label for label in noise if label != "mean" and not label.endswith("-closed")]
    made = Results(
        dataset={
            "name": "demo" if synthetic else "deam",
            "scale": [1.0, 9.0],
            "synthetic": synthetic,
            "notes": ["Labels: corrected."],
            "ceiling": None if ceiling is None else list(ceiling),
            "n_songs": n_songs,
        },
        targets=list(targets),
        encoders=[_encoder(label) for label in noise],
        songs=songs,
        predictions=predictions,
        history=[
            row for label in trained for run in seeds for f in range(n_folds) for row in _epochs(label, run, f, rng)
        ],
        cost=[_cost(label, number) for number, label in enumerate(noise)],
        fits=[
            {
                **{"encoder": label, "seed": run, "fold": f},
                **{"n_train": n_songs - n_songs // n_folds - 2, "n_validation": 2, "n_test": n_songs // n_folds},
                **{"training_s": 1.5, "chosen": {"epoch": 7}},
            }
            for label in noise
            for run in seeds
            for f in range(n_folds)
        ],
        skipped=[{"song_id": "9999", "path": "audio/9999.mp3", "reason": "decodes to silence"}],
        run={
            "experiment": {"name": "demo", "split": {"kind": "kfold", "folds": n_folds}, "seeds": list(seeds)},
            "splits": {str(run): f"kfold, {n_folds} fold(s), seed {run}" for run in seeds},
            "fingerprint": "0123456789abcdef",
            "versions": {"affekt": "0.1.0", "numpy": np.__version__},
            "machine": {"cpu_count": 2, "platform": "Linux"},
            "started": "2026-11-22T10:00:00+00:00",
        },
    )
    if n_frames:
        _annotate_over_time(made, n_frames, rng)
    return made


def _annotate_over_time(results: Results, n_frames: int, rng: np.random.Generator) -> None:
    """Songs that move around their annotation, and encoders that follow with their own error; "mean" stands still."""
    wave = 0.5 * np.sin(np.linspace(0, 2 * np.pi, n_frames))[:, None]
    results.run["experiment"]["frames"] = {"window_s": 4.0, "hop_s": 0.5, "causal": True}
    whole = {(p.encoder, p.seed, p.song_id, p.target): p for p in results.predictions}
    for song in results.songs:
        true = [whole[results.labels[0], results.seeds[0], song["id"], t].y_true for t in results.targets]
        song["curve"] = {
            "times_s": [15 + 0.5 * i for i in range(n_frames)],
            "y_true": (np.array(true) + wave).tolist(),
        }
        for label in results.labels:
            for seed in results.seeds:
                found = [whole[label, seed, song["id"], t] for t in results.targets]
                moved = 0.0 if label == "mean" else wave + rng.normal(0, 0.2, (n_frames, len(found)))
                course = np.array([p.y_pred for p in found]) + moved + np.zeros((n_frames, 1))
                results.curves.append(PredictedCurve(label, seed, found[0].fold, song["id"], course.tolist()))


def _song(number: int, rng: np.random.Generator) -> dict[str, Any]:
    known = number % 5 != 0
    return {
        "id": str(number + 2),
        "title": f"Song {number}" if known else None,
        "artist": f"Artist {rng.integers(0, 12)}" if known else None,
        "genre": GENRES[int(rng.integers(len(GENRES)))],
        "part": None,
        "attributes": {"decade": ("1980s", "1990s")[int(rng.integers(2))]},
    }


def _predict(label: str, y_true: np.ndarray, folds: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    if label == "mean":
        return np.stack([y_true[folds != fold].mean(axis=0) for fold in folds])
    return 5 + 0.7 * (y_true - 5) + rng.normal(0, spread, y_true.shape)


def _encoder(label: str) -> dict[str, Any]:
    parent = label.removesuffix(TWIN)
    random = "nano" in label or parent != label
    factors = dict(zip(("input", "trunk"), label.split("/"), strict=False)) if "/" in label else None
    return {
        "label": label,
        "name": label.removesuffix("-closed"),
        "twin_of": parent if parent != label else None,
        "factors": factors,
        "input": "none" if label == "mean" else "waveform",
        "weights": "random weights" if random else "none" if label == "mean" else f"{label}@a1b2c3d",
        "licence": "apache-2.0",
        "embedding_dim": 768,
        "n_parameters": 0 if label == "mean" else 94_000_000,
        "n_trainable": 0 if label == "mean" else 1538,
        "sample_rate_hz": 16000,
        "freeze": "all",
        "cut": None,
        "head": "ridge" if label.endswith("-closed") else "mlp",
        "clips": {"count": 6, "length_s": 5.0},
    }


def _epochs(label: str, seed: int, fold: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    n_epochs = int(rng.integers(8, 14))
    train = 0.3 + 0.8 * np.exp(-np.arange(n_epochs) / 4) + rng.normal(0, 0.01, n_epochs)
    validation = 0.5 + 0.5 * np.exp(-np.arange(n_epochs) / 3) + rng.normal(0, 0.03, n_epochs)
    return [
        {
            "encoder": label,
            "seed": seed,
            "fold": fold,
            "epoch": epoch + 1,
            "train_mse": float(train[epoch]),
            "validation_mse": float(validation[epoch]),
            "train_loss": float(train[epoch]) + 0.05,
            "validation_loss": float(validation[epoch]) + 0.05,
            "best": bool(epoch == int(np.argmin(validation))),
        }
        for epoch in range(n_epochs)
    ]


def _cost(label: str, number: int) -> dict[str, Any]:
    return {
        "encoder": label,
        "n_parameters": 0 if label == "mean" else 94_000_000 // (number + 1),
        "extraction_s_per_song": None if label == "mean" else 0.4 * (number + 1),
        "prediction_s_per_song": 0.0001,
        "n_extracted": 30,
        "n_reused": 10,
        "training_s": 12.5 * (number + 1),
    }


@pytest.fixture
def viewed() -> Callable[..., View]:
    return lambda **options: View(score(make_results(**options)))


@pytest.fixture
def comparison() -> Callable[..., Results]:
    return make_results


@pytest.fixture(scope="module")
def make_comparison() -> Callable[..., Results]:
    return make_results


VOID = ("meta", "link", "br", "img", "input", "hr")


class Page(HTMLParser):
    """A page, read as a browser would."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.unclosed: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.scripts.append("")
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed and self.unclosed[-1] == tag, f"</{tag}> after {self.unclosed[-5:]}"
        self.unclosed.pop()

    def handle_data(self, data: str) -> None:
        if self.unclosed and self.unclosed[-1] in ("script", "style"):
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def named(self, tag: str) -> list[dict[str, Any]]:
        """Attributes of all tags of this name."""
        return [attrs for name, attrs in self.tags if name == tag]

    def stored(self, key: str) -> Any:
        """The data that the page keeps under this name."""
        scripts = [attrs.get("id") for name, attrs in self.tags if name in ("script", "style")]
        return json.loads(self.scripts[scripts.index(key)])

    @property
    def words(self) -> str:
        """Everything that can be read, in one line."""
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture
def read_page() -> Callable[[Path], Page]:
    return Page
