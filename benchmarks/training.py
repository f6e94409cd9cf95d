"""What does an epoch of fine-tuning cost from the stored prefix, against the loop that decodes and runs every layer?

Both sides are `fit_suffix` itself, with its validation and checkpoints. They differ in the table alone that clips come
from: stored activations, or the songs, decoded in each epoch, and the frozen layers, run for each batch without
gradients. As in most loops, each clip decodes its song; "decoded once" is the kindest that an uncached loop can be, a
song's clips sharing one decoding per epoch. Both use our own decoder. Songs are as in DEAM: 45 s, 44.1 kHz stereo, MP3,
six clips of 5 s. Weights are random, which costs the same. Run from anywhere:

    python benchmarks/training.py --rounds 5 --json training.json
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode

from affekt.audio.clips import ClipPlan
from affekt.audio.decode import decode
from affekt.config import LossSection, TrainingSection
from affekt.data.base import Song
from affekt.data.splits import Fold
from affekt.encoders import Cut, build_encoder
from affekt.encoders.staged import StagedEncoder
from affekt.features.extract import extract
from affekt.features.store import Store
from affekt.training.epochs import Recipe
from affekt.training.fit import fit_suffix
from affekt.training.table import ClipTable, Task
from common import EpochByEpoch, Row, compare, gemm_rate, machine, parse_options, table, write_json

RATE_HZ = 44_100
DURATION_S = 45
PLAN = ClipPlan(6, 5.0)
WANTED_RATIO = 10
#: Encoder, freeze, training songs, and whether the uncached loop decodes a song once per epoch.
CASES = [
    ("wav2vec2-nano", "last1", 12, False),
    ("wav2vec2-nano", "last1", 12, True),
    ("wav2vec2-base", "last2", 2, False),
]


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time an epoch from the stored prefix against an uncached one.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    rows = []
    for name, freeze, n_train, once in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(Path(folder), name, freeze, n_train, once, options.rounds))
    print(table(rows, "stored prefix", "uncached loop"))
    print(f"\nWanted: {WANTED_RATIO}. " + "; ".join(f"{row.job}: {row.ratio:.1f}" for row in rows))
    if options.json:
        write_json(options.json, rows)


def _row(folder: Path, name: str, freeze: str, n_train: int, once: bool, rounds: int) -> Row:
    """Compare an epoch over `n_train` songs, a quarter as many for validation."""
    encoder = build_encoder(name, "random")
    assert isinstance(encoder, StagedEncoder)
    cut = encoder.cut(freeze)
    songs = _songs(folder, n_train + max(1, n_train // 4) + 1)
    ids = [song.id for song in songs]
    fold = Fold(tuple(ids[:n_train]), tuple(ids[n_train:-1]), tuple(ids[-1:]))
    labels = {song.id: np.array(song.targets) for song in songs}
    stored = ClipTable(extract(encoder, cut, songs, PLAN, Store(folder / "store")).arrays)
    tasks = [Task(table, labels, fold, seed=0) for table in (stored, UncachedTable(encoder, cut, songs, once))]
    fits = [_fit(task, encoder, cut, folder / f"fit{i}", rounds + 1) for i, task in enumerate(tasks)]
    title = f"{name}, {freeze}: {n_train} songs x {PLAN.count} clips" + ", decoded once" * once
    row = compare(title, fits[0], fits[1], rounds, flop=_count_flop(encoder, cut, tasks[0]))
    for fit in fits:
        fit.finish()
    return row


def _songs(folder: Path, n_songs: int) -> list[Song]:
    """Tones with noise, another for each song, with random labels."""
    rng = np.random.default_rng(0)
    time_s = np.arange(DURATION_S * RATE_HZ) / RATE_HZ
    songs = []
    for number in range(n_songs):
        tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in rng.uniform(100, 5000, size=6))
        stereo = 0.1 * tones[:, None] + rng.normal(scale=0.02, size=(len(time_s), 2))
        path = folder / f"{number}.mp3"
        soundfile.write(path, stereo, RATE_HZ)
        songs.append(Song(str(number), path, tuple(rng.uniform(1, 9, size=2))))
    return songs


class UncachedTable(ClipTable):
    """A table that keeps no activations: every clip is decoded and runs through the frozen layers.

    Args:
        encoder: whose prefix to run.
        cut: where the prefix ends.
        songs: in the order of rows.
        once: keep the audio until `forget` is called.
    """

    def __init__(self, encoder: StagedEncoder, cut: Cut, songs: list[Song], once: bool) -> None:
        super().__init__({song.id: np.zeros((PLAN.count, 1), np.int16) for song in songs})
        self._encoder = encoder
        self._cut = cut
        self._songs = songs
        self._once = once
        self._decoded: dict[int, np.ndarray] = {}

    def forget(self) -> None:
        """Begin another epoch."""
        self._decoded.clear()

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Activations of `rows`, (n_rows, ...), from the files."""
        clips = np.stack([self._clips(row // PLAN.count)[row % PLAN.count] for row in rows])
        return self._encoder.activations(clips, self._cut)

    def _clips(self, number: int) -> np.ndarray:
        if number in self._decoded:
            return self._decoded[number]
        path, rate_hz = self._songs[number].audio_path, self._encoder.spec.sample_rate_hz
        assert path is not None and rate_hz is not None
        clips = PLAN.cut(decode(path, rate_hz), rate_hz)
        if self._once:
            self._decoded[number] = clips
        return clips


def _fit(task: Task, encoder: StagedEncoder, cut: Cut, folder: Path, n_epochs: int) -> EpochByEpoch:
    """A fit that waits between its epochs, with the founding heads."""
    recipe = Recipe.of("seed", TrainingSection(epochs=n_epochs, accelerator="cpu"), LossSection())

    def fit(wait: Callable[[object], None]) -> None:
        def between(history: object) -> None:
            if isinstance(task.table, UncachedTable):
                task.table.forget()
            wait(history)

        fit_suffix(task, encoder, cut, recipe, folder, between)

    return EpochByEpoch(fit)


def _count_flop(encoder: StagedEncoder, cut: Cut, task: Task) -> int:
    """Operations of an epoch behind the cut: products of a forward pass, twice as many for the one back."""
    suffix = encoder.suffix(cut)
    assert suffix is not None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        suffix(torch.from_numpy(task.table.gather(np.arange(1))).float())
    n_trained, n_validated = len(task.fold.train) * PLAN.count, len(task.fold.validation) * PLAN.count
    return int(counter.get_total_flops()) * (3 * n_trained + n_validated)


if __name__ == "__main__":
    main()
