"""What a comparison leaves behind: every prediction for every song, and what made it.

`results.json` is the only thing a report needs. Any number in a report can be recomputed from it, on a machine
without torch and without the data set.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from affekt.errors import DataError, problems
from affekt.files import write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


class Prediction(NamedTuple):
    """One song, one target, one model: scored when the song was in the test fold. On the data set's own scale."""

    encoder: str
    seed: int
    fold: int
    song_id: str
    target: str
    y_true: float
    y_pred: float


class PredictedCurve(NamedTuple):
    """One song over time, by one model: at the moments that the song's own `curve` names."""

    encoder: str
    seed: int
    fold: int
    song_id: str
    y_pred: list[list[float]]  # (n_frames, n_targets), on the data set's own scale


@dataclass
class Results:
    """A whole comparison.

    Attributes:
        dataset: name, scale, synthetic, notes, ceiling per target, ceiling_method, counts of songs used and left out.
            Of two joined runs also `runs`: the `dataset` of each, by the run's name.
        targets: in the data set's order.
        encoders: one mapping for each: label, name, input, weights, licence, embedding_dim, n_parameters, n_trainable,
            sample_rate_hz, freeze, cut, head, clips. Where they apply: `layer`; `engine`; `factors`, what a controlled
            design varies ({"input": "waveform", "trunk": "mamba"}); `twin_of`, the label of the pretrained encoder
            whose untrained twin this is. Of two joined runs also `run`, the run's name, and `own_label`, the label
            there.
        songs: id, title, artist, genre, part, audio (file name), attributes (further columns): what a picture needs to
            name a point. Over time also `curve`: times_s (n_frames) and y_true (n_frames, n_targets).
        predictions: every song once for each encoder, seed and target; over time, means over the song's frames.
        history: one mapping for each encoder, seed, fold and epoch: train_mse, validation_mse, train_loss,
            validation_loss, lr, and `best` for the epoch that was kept. MSE in units of the standardised label.
        cost: per encoder: n_parameters, extraction_s_per_song, prediction_s_per_song, n_extracted,
            n_reused, training_s.
        fits: one mapping for each encoder, seed and fold: n_train, n_validation, n_test, training_s, and `chosen`: what
            validation songs decided, such as the epoch, ridge's strengths, or the settings of a search.
        skipped: songs that could not be used: song_id, path, reason.
        curves: over time, every song once for each encoder and seed; empty where each song has one annotation.
        run: experiment, fingerprint, versions, machine, times. Of two joined runs: `joined`, a list of both, and
            `names`, what they are called here.
    """

    dataset: dict[str, Any]
    targets: list[str]
    encoders: list[dict[str, Any]]
    songs: list[dict[str, Any]]
    predictions: list[Prediction]
    history: list[dict[str, Any]] = field(default_factory=list)
    cost: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    fits: list[dict[str, Any]] = field(default_factory=list)
    curves: list[PredictedCurve] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The encoders' labels, in the order of the experiment."""
        return [encoder["label"] for encoder in self.encoders]

    def describe(self, label: str) -> dict[str, Any]:
        """What `encoders` says of one encoder.

        Raises:
            DataError: there is none of this label.
        """
        for encoder in self.encoders:
            if encoder["label"] == label:
                return encoder
        raise DataError(f'"{label}": no such encoder in these results. They hold: {", ".join(self.labels)}.')

    def run_of(self, label: str) -> str | None:
        """The name of the run that an encoder comes from, where two runs were joined; else None."""
        return self.describe(label).get("run")

    def dataset_of(self, label: str | None = None) -> dict[str, Any]:
        """`dataset` as the encoder's own run recorded it: of joined runs, the labels and the ceiling may differ."""
        run = None if label is None else self.run_of(label)
        return self.dataset if run is None else self.dataset["runs"][run]

    def ceiling(self, label: str | None = None) -> dict[str, float]:
        """The highest R2 that a perfect model could reach, for each target with a known one, in the encoder's own run.

        Without a label: of the whole comparison; empty where two joined runs have different ceilings.
        """
        recorded = self.dataset_of(label).get("ceiling") or {}
        by_target = recorded if isinstance(recorded, dict) else dict(zip(self.targets, recorded, strict=False))
        return {target: float(value) for target, value in by_target.items() if value is not None}

    @property
    def seeds(self) -> list[int]:
        """The seeds that occur, ascending."""
        return sorted({prediction.seed for prediction in self.predictions})

    def frame(self) -> pd.DataFrame:
        """All predictions as a table, a row for each encoder, seed, song and target."""
        import pandas as pd

        return pd.DataFrame(self.predictions, columns=Prediction._fields)

    def arrays(self, encoder: str, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Song ids, annotations and predictions of one encoder and seed.

        Returns:
            ids, y_true (n_songs, n_targets), y_pred (n_songs, n_targets); songs in the order of `songs`, so that
            two encoders' rows are paired.
        """
        rows = {(p.song_id, p.target): p for p in self.predictions if p.encoder == encoder and p.seed == seed}
        ids = [song["id"] for song in self.songs if (song["id"], self.targets[0]) in rows]
        pairs = [[rows[i, target] for target in self.targets] for i in ids]
        y_true = np.array([[p.y_true for p in row] for row in pairs]).reshape(-1, len(self.targets))
        y_pred = np.array([[p.y_pred for p in row] for row in pairs]).reshape(-1, len(self.targets))
        return ids, y_true, y_pred

    def table(self) -> pd.DataFrame:
        """The scores with their intervals, a row for each encoder and target."""
        from affekt.evaluation.scores import score_table

        return score_table(self)

    def save(self, path: Path) -> None:
        """Write `results.json`, whole or not at all."""
        value = {"schema": SCHEMA, **asdict(self)}
        value["predictions"] = [prediction._asdict() for prediction in self.predictions]
        value["curves"] = [curve._asdict() for curve in self.curves]
        write_json(path, value, indent=None)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read `results.json`.

        Raises:
            DataError: the file is missing, is not JSON, or has another schema.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path}: not there. `affekt compare` writes it when a run ends.") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as results ({error}). Run `affekt compare` again.") from None
        if not isinstance(value, dict) or value.pop("schema", None) != SCHEMA:
            raise DataError(f"{path}: not a results file of schema {SCHEMA}. Run `affekt compare` again.")
        try:
            value["predictions"] = [Prediction(**row) for row in value["predictions"]]
            value["curves"] = [PredictedCurve(**row) for row in value.get("curves", [])]
            found = cls(**value)
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: a results file with missing or unknown parts ({error}).") from None
        mistakes = _mistakes(found)
        if mistakes:
            raise DataError(problems(str(path), [*mistakes, "Run `affekt compare` again."]))
        return found


#: What each row of a part must have for a report to be made of it.
_ROWS = {
    "encoders": ("label",),
    "songs": ("id",),
    "history": ("encoder", "seed", "fold", "epoch"),
    "cost": ("encoder",),
    "skipped": ("song_id", "reason"),
    "fits": ("encoder",),
}


def _mistakes(results: Results) -> list[str]:
    """Parts of a file that somebody has changed by hand, one line each."""
    found = [f"{name}: not a mapping." for name in ("dataset", "run") if not isinstance(getattr(results, name), dict)]
    if not isinstance(results.targets, list) or not all(isinstance(target, str) for target in results.targets):
        found.append("targets: not a list of names.")
    for name, keys in _ROWS.items():
        rows = getattr(results, name)
        rows = rows if isinstance(rows, list) else [None]
        bad = [row for row in rows if not isinstance(row, dict) or any(row.get(key) is None for key in keys)]
        if bad:
            found.append(f"{name}: {len(bad)} row(s) without {' or '.join(keys)}.")
    odd = [p for p in results.predictions if not (_whole(p.seed) and _whole(p.fold) and _number(p.y_true, p.y_pred))]
    if odd:
        found.append(f"predictions: {len(odd)} row(s) whose seed, fold, y_true or y_pred is not a number.")
    return found


def _whole(value: object) -> bool:
    return isinstance(value, int)


def _number(*values: object) -> bool:
    return all(value is None or isinstance(value, int | float) for value in values)  # None is told where it is scored
