"""What does an epoch of a head on stored embeddings cost, against a plain PyTorch loop, and one that reads pickles?

Ours is `fit_suffix` itself, an epoch of it with validation and whatever it saves. The plain loop has the same head,
batch size, AdamW and squared error behind a `DataLoader` over tensors, clips gradients and validates; it has no other
loss, keeps no best epoch and cannot be resumed. The founding notebooks read one pickle for each song in each epoch: the
same loop, behind a `Dataset` which does so. Embeddings are random numbers, a row of 768 for each of 1744 songs, a tenth
as many for validation. "One thread" gives the plain loop what ours chooses by itself; nothing else differs there. Run
from anywhere:

    python benchmarks/epoch.py --rounds 7 --json epoch.json
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from affekt.config import LossSection, TrainingSection
from affekt.data.splits import Fold
from affekt.encoders.baselines import PrecomputedEncoder
from affekt.training.epochs import Recipe
from affekt.training.fit import fit_suffix
from affekt.training.heads import build_head
from affekt.training.table import ClipTable, Task
from common import (
    GEMM_FLOP,
    EpochByEpoch,
    Row,
    gemm_job,
    gemm_rate,
    machine,
    median_times,
    parse_options,
    table,
    write_json,
)

N_TRAIN, N_VALIDATION, DIM, BATCH = 1744, 174, 768, 64
WANTED_S = 0.050


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time an epoch of a head on stored embeddings against plain loops.")
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for head in ("mlp", "seed", "linear") for row in _rows(Path(folder) / head, head, options.rounds)]
    print(table(rows, "affekt", "loop"))
    print(f"\nWanted for mlp: below {1e3 * WANTED_S:g} ms; found {1e3 * rows[0].candidate_s:.0f} ms.")
    if options.json:
        write_json(options.json, rows)


def _rows(folder: Path, head: str, rounds: int) -> list[Row]:
    """Ours against each of the loops, all in the same turns."""
    x, y = _songs()
    ours = _fit(x, y, head, folder / "fit", rounds + 1)
    tensors = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    whole = Songs(*tensors)
    pickled = PickledSongs(folder / "pickles", *tensors)
    loops = {
        "plain loop": PlainLoop(head, whole),
        "plain loop, one thread": PlainLoop(head, whole, n_threads=1),
        "a pickle a song": PlainLoop(head, pickled),
    }
    times = median_times({"ours": ours, **loops, "gemm": gemm_job()}, rounds)
    ours.finish()
    n_weights = sum(p.numel() for p in build_head(head, DIM, 2).parameters())
    flop = 2 * n_weights * (2 * N_TRAIN + N_VALIDATION)  # embeddings take no gradient: weights twice, not three times
    share = (flop / times["ours"]) / (GEMM_FLOP / times["gemm"])
    return [
        Row(f"{head}, against {name}", times["ours"], times[name], times[name] / times["ours"], share) for name in loops
    ]


def _songs() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (n_songs, DIM) in half precision, and labels (n_songs, 2) that follow from them in part."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_TRAIN + N_VALIDATION, DIM))
    y = 5 + 0.05 * x @ rng.standard_normal((DIM, 2)) + rng.standard_normal((len(x), 2))
    return x.astype(np.float16), y


class Songs(Dataset[tuple[Tensor, Tensor]]):
    """Rows of two tensors."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self._x, self._y = x, y

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._x[index], self._y[index]


class PickledSongs(Dataset[tuple[Tensor, Tensor]]):
    """A file for each song, read whenever it is asked for."""

    def __init__(self, folder: Path, x: Tensor, y: Tensor) -> None:
        folder.mkdir(parents=True)
        self._paths = [folder / f"{i}.pkl" for i in range(len(x))]
        for path, row in zip(self._paths, x.numpy(), strict=True):
            path.write_bytes(pickle.dumps(row))
        self._y = y

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        # Our own files of a minute ago: nothing else may be unpickled.
        return torch.from_numpy(pickle.loads(self._paths[index].read_bytes())), self._y[index]


class PlainLoop:
    """What one writes without a library: an epoch for each call."""

    def __init__(self, head: str, songs: Dataset[tuple[Tensor, Tensor]], n_threads: int | None = None) -> None:
        self._model = build_head(head, DIM, 2)
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=1e-4, weight_decay=1e-4)
        self._train = DataLoader(Subset(songs, range(N_TRAIN)), BATCH, shuffle=True)
        rest = range(N_TRAIN, N_TRAIN + N_VALIDATION)
        self._validation = DataLoader(Subset(songs, rest), BATCH)
        self._n_threads = n_threads

    def __call__(self) -> None:
        """Train on all songs once, then validate."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._n_threads or before)
        self._model.train()
        for x, y in self._train:
            loss = nn.functional.mse_loss(self._model(x), y)
            self._optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimizer.step()
        self._model.eval()
        with torch.no_grad():
            sum(nn.functional.mse_loss(self._model(x), y).item() for x, y in self._validation)
        torch.set_num_threads(before)


def _fit(x: np.ndarray, y: np.ndarray, head: str, folder: Path, n_epochs: int) -> EpochByEpoch:
    """A fit that waits between its epochs."""
    ids = tuple(map(str, range(len(x))))
    encoder = PrecomputedEncoder("precomputed:drawn", dict(zip(ids, x, strict=True)))
    songs = ClipTable({song: row[None] for song, row in zip(ids, x, strict=True)})
    task = Task(songs, dict(zip(ids, y, strict=True)), Fold(ids[:N_TRAIN], ids[N_TRAIN:], ids[-5:]), seed=0)
    recipe = Recipe.of(head, TrainingSection(epochs=n_epochs, batch_size=BATCH, accelerator="cpu"), LossSection())
    return EpochByEpoch(lambda wait: fit_suffix(task, encoder, encoder.cut("all"), recipe, folder, wait))


if __name__ == "__main__":
    main()
