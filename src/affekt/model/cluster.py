"""A music library through a model in many processes, on one machine or a cluster (`affekt.features.cluster`).

    for rows in predicted(Cluster(n_actors=8), load_model("models/deam"), paths):
        ...  # as of `affekt.model.rows`, in whichever order they are finished

`affekt.model.library` does so for whole folders, and writes them down.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from affekt.features.cluster import DEADLY, Cluster, Hearing, Item, torch_threads
from affekt.model.batch import Answer, predict_running
from affekt.model.bundle import Settings
from affekt.model.predictor import Model, assemble
from affekt.model.rows import Row, name_of, row_of


def predicted(cluster: Cluster, model: Model, paths: Sequence[Path], curve: bool = False) -> Generator[Sequence[Row]]:
    """Predict files, and give rows in blocks as they are finished; errors as of `Cluster.run`."""
    settings, tensors = model.settings.model_dump_json(), dict(model.readout.tensors())
    work = Predicting(settings, tensors, model.targets, model.fingerprint, curve)
    items = [Item(name_of(path), os.fsencode(path)) for path in paths]
    with contextlib.closing(cluster.run(work, items)) as blocks:
        for block in blocks:
            yield [json.loads(row) for _, row in block]


@dataclass(frozen=True)
class Predicting:
    """Gives a row for each file, as JSON, which keeps every number as it is.

    Attributes:
        settings: of the model, as JSON.
        tensors: what it learnt.
        targets: what it predicts.
        fingerprint: its name and hash.
        curve: whether to follow songs over time.
    """

    settings: str
    tensors: dict[str, np.ndarray]
    targets: tuple[str, ...]
    fingerprint: str
    curve: bool
    block: ClassVar[int] = 32

    @property
    def n_bytes(self) -> int:
        """How large it is, roughly."""
        return sum(value.nbytes for value in self.tensors.values())

    @contextlib.contextmanager
    def begin(self, threads: int) -> Iterator[Hearing]:
        """Put the model together, and have it run."""
        learnt = {name: value.copy() for name, value in self.tensors.items()}  # what arrived cannot be written to
        model = assemble(Settings.model_validate_json(self.settings), learnt)

        def hear(items: Iterable[Item]) -> Iterator[tuple[str, bytes]]:
            for answer in predict_running(model, map(_path, items), self.curve):
                yield name_of(answer.path), self._row(answer)

        with torch_threads(threads), model.running():
            yield hear

    def deadly(self, item: Item) -> bytes:
        """A row with an error."""
        path = _path(item)
        return self._row(Answer(path, None, f"{path}: {DEADLY}"))

    def _row(self, answer: Answer) -> bytes:
        return json.dumps(row_of(answer, self.targets, self.fingerprint)).encode()


def _path(item: Item) -> Path:
    return Path(os.fsdecode(item.task))
