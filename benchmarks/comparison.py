"""What does a whole frozen-probe comparison cost on stored features, against scikit-learn fitting the same folds alone?

Four encoders, 1744 songs, five artist-disjoint folds, three seeds: 60 ridge fits. Ours is `affekt.compare` and the
scores with all their intervals, from loaded features to results.json; scikit-learn's side is `RidgeCV` behind a
`StandardScaler` on the same folds, without scores, checks or files. Embeddings are random numbers that know a part of
the labels, as wide as those of wav2vec2-base. Run from anywhere:

    python benchmarks/comparison.py --rounds 5 --json comparison.json
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import affekt
from affekt.data.base import Dataset, Song
from affekt.data.splits import draw_split
from affekt.encoders.base import EncoderSpec, LookupEncoder
from affekt.evaluation.scores import score
from affekt.registry import ENCODERS
from affekt.training.ridge import ALPHAS
from common import Row, compare, gemm_rate, machine, parse_options, table, write_json

N_SONGS, N_ENCODERS, N_SEEDS, N_FOLDS, DIM = 1744, 4, 3, 5, 768
#: Of the comparison, in seconds, on two cores. Five turns of both sides take about twelve minutes there.
WANTED_S = 60.0


class Drawn(LookupEncoder):
    """Embeddings of songs as random numbers that know a part of the labels."""

    def __init__(self, name: str) -> None:
        self.spec = EncoderSpec(name, "embeddings", None, DIM, "random numbers", "none")
        self._rng = np.random.default_rng(int(name[-1]))
        self._map = self._rng.standard_normal((2, DIM)).astype(np.float32)
        self._known: dict[str, np.ndarray] = {}

    def lookup(self, song: Song) -> np.ndarray:
        """Shape (1, DIM)."""
        if song.id not in self._known:
            noise = self._rng.standard_normal(DIM).astype(np.float32)
            self._known[song.id] = np.array(song.targets, np.float32) @ self._map + 8 * noise
        return self._known[song.id][None]


def drawn(name: str, weights: str, seed: int) -> Drawn:
    """One for each name, so that embeddings are drawn once."""
    del weights, seed
    return _ENCODERS.setdefault(name, Drawn(name))


_ENCODERS: dict[str, Drawn] = {}


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time a comparison on stored features against scikit-learn's fits alone.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        row = _row(Path(folder), options.rounds)
    print(table([row], "affekt.compare and score", "scikit-learn, fits alone"))
    print(f"\nWanted: below {WANTED_S:g} s; found {row.candidate_s:.1f} s.")
    if options.json:
        write_json(options.json, [row])


def _row(folder: Path, rounds: int) -> Row:
    names = [f"drawn-{number}" for number in range(N_ENCODERS)]
    for name in names:
        ENCODERS.register(name, "__main__:drawn")
    dataset = _songs()
    number = itertools.count()

    def ours() -> object:
        out = folder / str(next(number))  # a run folder that is there holds finished folds
        return score(affekt.compare(dataset, names, folds=N_FOLDS, seeds=N_SEEDS, out=out, quiet=True)).table()

    return compare(
        f"{N_ENCODERS} encoders x {N_FOLDS} folds x {N_SEEDS} seeds, {N_SONGS} songs, {DIM} dimensions",
        candidate=ours,
        baseline=lambda: list(_fits(dataset, names)),
        rounds=rounds,
    )


def _songs() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.clip(rng.normal(5, 1.2, (N_SONGS, 2)), 1, 9)
    songs = (Song(str(i), None, tuple(y), artist=f"artist {i // 2}") for i, y in enumerate(labels.tolist()))
    return Dataset("drawn", tuple(songs))


def _fits(dataset: Dataset, names: list[str]) -> Iterator[np.ndarray]:
    place, y = {song: i for i, song in enumerate(dataset.ids)}, dataset.targets()
    splits = [draw_split(dataset, "kfold", seed, N_FOLDS) for seed in range(N_SEEDS)]
    for name in names:
        x = np.concatenate([drawn(name, "", 0).lookup(song) for song in dataset.songs]).astype(np.float64)
        for fold in (fold for split in splits for fold in split.folds):
            train, test = ([place[song] for song in side] for side in ((*fold.train, *fold.validation), fold.test))
            model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=True)).fit(x[train], y[train])
            yield model.predict(x[test])


if __name__ == "__main__":
    main()
