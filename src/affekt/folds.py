"""One encoder on one fold: trained, or read where an earlier run finished it.

A finished fold lies in the run folder under the hash of all that determines it. A search trains the fold once for each
trial, every trial kept like a fold of its own, and takes the one with the lowest validation error. A trial that
diverges has an infinite one, and is kept as well: a run that was stopped comes to the same choice.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affekt.config import EncoderSection
from affekt.contender import Contender
from affekt.digest import digest
from affekt.encoders import Encoder
from affekt.errors import DataError, DivergedError
from affekt.features.keys import prefix_settings
from affekt.files import write_json
from affekt.training import TRAINING_VERSION
from affekt.training.table import Fitted, Task


def fold_seed(seed: int, fold: int) -> int:
    """The seed of every random draw of one fold."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


@dataclass(frozen=True)
class Fit:
    """One encoder on one fold of one seed.

    Attributes:
        contender: the encoder with its settings.
        seed: of the run, which has chosen the encoder's weights where those are drawn.
        task: clips, labels, fold.
        folder: of the run.
        watch: called whenever an epoch is finished, with the figures of all epochs so far and the number of the trial.
    """

    contender: Contender
    seed: int
    task: Task
    folder: Path
    watch: Callable[[Sequence[Mapping[str, Any]], int | None], None] = lambda history, trial: None

    def best_of(self, trials: Sequence[Mapping[str, Any]]) -> Fitted:
        """Train with the settings of every trial and keep the best by validation error; with the file's without any.

        Raises:
            DivergedError: no trial has a validation error, because all of them diverged.
        """
        section = self.contender.section
        if not trials or self.contender.closed_form:
            return self.once(section)
        fits = [self._tried(section.tried(trial), number) for number, trial in enumerate(trials, 1)]
        errors = [_validation_mse(fit) for fit in fits]
        n_diverged = errors.count(math.inf)
        if n_diverged == len(trials):
            raise DivergedError(
                f"{section.title}: all {len(trials)} trials of the search diverged, so none can be chosen. "
                f"Give search.space gentler values. The last one: {fits[-1].chosen['diverged']}"
            )
        best = int(np.argmin(errors))
        chosen = {**fits[best].chosen, **trials[best], "trials": len(trials), "validation_mse": errors[best]}
        if n_diverged:
            chosen["diverged"] = n_diverged
        return replace(fits[best], chosen=chosen, training_s=sum(fit.training_s for fit in fits))

    def once(self, section: EncoderSection, trial: int | None = None) -> Fitted:
        """Train with the settings of `section`, or read what an earlier run kept."""
        key = self._key(section)
        path = self._path(key)
        if path.is_file():
            return _read(path)
        if self.contender.closed_form:
            from affekt.training.ridge import fit_ridge

            fitted = fit_ridge(self.task, section.clip_embeddings)
        else:
            from affekt.training.fit import fit_suffix

            fitted = fit_suffix(
                self.task,
                self._encoder,
                self.contender.cut,
                _recipe(section),
                self._checkpoints(key),
                lambda history: self.watch(history, trial),
            )
        _write(path, fitted)
        return fitted

    def _tried(self, section: EncoderSection, trial: int) -> Fitted:
        """One trial of a search; a fit that diverged is kept as one without epochs and predictions."""
        start = time.perf_counter()
        try:
            return self.once(section, trial)
        except DivergedError as error:
            lost = Fitted({}, training_s=time.perf_counter() - start, chosen={"diverged": str(error)})
        key = self._key(section)
        _write(self._path(key), lost)
        shutil.rmtree(self._checkpoints(key), ignore_errors=True)  # its epochs before that serve nobody any more
        return lost

    def _path(self, key: str) -> Path:
        return self.folder / "folds" / f"{key}.json"

    def _checkpoints(self, key: str) -> Path:
        return self.folder / "checkpoints" / key

    @property
    def _encoder(self) -> Encoder:
        return self.contender.encoders[self.seed]

    def _key(self, section: EncoderSection) -> str:
        """Hash of all that determines a fold's predictions."""
        prefix = prefix_settings(self._encoder, self.contender.cut, self.contender.plan)
        whole = self._encoder.settings()  # a trained suffix starts from its weights
        recipe = section.model_dump(mode="json", include={"head", "clip_embeddings"})
        if section.head != "ridge":
            recipe |= section.model_dump(mode="json", include={"training", "loss"})
        fold = self.task.fold
        songs = (*fold.train, *fold.validation, *fold.test)
        labels = {song: self.task.labels[song].tolist() for song in songs}
        keys = self.contender.features[self.seed].keys
        audio = {song: keys.get(song, "") for song in songs}
        return digest([TRAINING_VERSION, prefix, whole, recipe, vars(fold), self.task.seed, labels, audio])


def _validation_mse(fitted: Fitted) -> float:
    """Of the epoch that was kept; infinite for a fit that diverged."""
    return next((float(epoch["validation_mse"]) for epoch in fitted.history if epoch["best"]), math.inf)


def _recipe(section: EncoderSection) -> Any:
    from affekt.training.fit import Recipe

    return Recipe.of(section.head, section.training, section.loss, section.clip_embeddings)


def _write(path: Path, fitted: Fitted) -> None:
    value = asdict(fitted)
    value["predictions"] = {song: np.asarray(y).tolist() for song, y in fitted.predictions.items()}
    write_json(path, value, indent=None)


def _read(path: Path) -> Fitted:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value["predictions"] = {song: np.array(y) for song, y in value["predictions"].items()}
        return Fitted(**value)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}). Delete it and run again.") from None
