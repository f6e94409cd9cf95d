"""A scored comparison as a report sees it: who is who, in which order, in which colour, and under which name.

Conventions: a *baseline* is a reference point that everybody knows (`mean`, `handcrafted`); a *twin* is an encoder's
own architecture with random weights; an encoder is *untrained* where its weights were drawn at random. Everything is
derived from the scores once and asked for by all pictures, tables and sentences, so that they never disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from affekt.evaluation import metrics
from affekt.evaluation.metrics import QUADRANT_SCORES
from affekt.evaluation.scores import REFERENCE, Scores, Twin, with_ends
from affekt.evaluation.statistics import SCORES

BASELINES = (REFERENCE, "handcrafted")
#: How `weights` of an encoder begins where they were drawn at random.
RANDOM_WEIGHTS = "random weights"
#: What is said of them where every one of them was trained.
FROM_SCRATCH = "trained from scratch"
#: Stands behind the name of an untrained encoder in a picture, which also says what it means.
RANDOM_SIGN = "°"

# Told apart with any common colour blindness as far as twelve colours can be, and at 3:1 on white (WCAG 1.4.11): from
# Okabe & Ito (2008), "Color Universal Design", and the dark half of Paul Tol's "muted" scheme.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#B5548A", "#332288", "#A66F00"),
    *("#882255", "#117733", "#3B8EA5", "#8A8A1F", "#AA4499", "#E0453A"),
)
#: The two baselines keep out of the palette: dark grey and brown.
BASELINE_COLOURS = {REFERENCE: "#3d3d42", "handcrafted": "#7f5539"}


@dataclass(frozen=True)
class View:
    """What pictures, tables and sentences ask of a comparison.

    Attributes:
        scores: the comparison.
        run: of two joined runs the one that is looked at; None for a comparison as it is.
    """

    scores: Scores
    run: str | None = None

    @cached_property
    def order(self) -> list[str]:
        """Encoders by R2 averaged over targets; those without a defined one last, in the experiment's order."""
        mean_r2 = self.scores.averaged.value[:, SCORES.index("r2")]
        rank = np.argsort(np.where(np.isnan(mean_r2), np.inf, -mean_r2), kind="stable")
        return [label for label in (self.scores.encoders[i] for i in rank) if self._seen(label)]

    @cached_property
    def contenders(self) -> list[str]:
        """`order` without the twins."""
        return [label for label in self.order if self.parent(label) is None]

    @cached_property
    def described(self) -> dict[str, dict[str, Any]]:
        """What the results say of each encoder, by label."""
        return {encoder["label"]: encoder for encoder in self.scores.results.encoders}

    @cached_property
    def colours(self) -> dict[str, str]:
        """A colour for each encoder; a twin has its parent's, and the same encoder has the same in joined runs."""
        keys = {label: self._own(self.parent(label) or label) for label in self.scores.results.labels}
        drawn = dict.fromkeys(key for label, key in keys.items() if self.baseline(self.parent(label) or label) is None)
        chosen = {key: PALETTE[i % len(PALETTE)] for i, key in enumerate(drawn)}
        fixed = {keys[label]: BASELINE_COLOURS[name] for label in keys if (name := self.baseline(label))}
        return {label: (chosen | fixed)[key] for label, key in keys.items()}

    @cached_property
    def songs(self) -> list[dict[str, Any]]:
        """The scored songs, in the order of `Scores.song_ids`."""
        by_id = {song["id"]: song for song in self.scores.results.songs}
        return [by_id[i] for i in self.scores.song_ids]

    @property
    def y_true(self) -> np.ndarray:
        """Annotations that the encoders are scored against, (n_songs, n_targets)."""
        return self.scores.y_true if self.run is None else self.scores.truth[self.order[0]]

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """Predictions averaged over seeds, (n_songs, n_targets) for each encoder; NaN where no seed tested a song."""
        return {label: metrics.mean_over_seeds(self.scores.y_pred[label]) for label in self.order}

    @cached_property
    def ceiling(self) -> dict[str, float]:
        """The highest possible R2 of each target, as far as the data set records it."""
        return self.scores.results.ceiling(None if self.run is None else self.order[0])

    @cached_property
    def pairs(self) -> list[dict[str, Any]]:
        """Every two encoders on every target, as `Scores.pairs` gives them."""
        return [{str(key): value for key, value in row.items()} for row in self.scores.pairs().to_dict("records")]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The scores with their intervals, as `Scores.table` gives them."""
        return [{str(key): value for key, value in row.items()} for row in self.scores.table().to_dict("records")]

    @cached_property
    def twins(self) -> list[Twin]:
        """What pretraining adds, as `Scores.twins` gives it."""
        return self.scores.twins()

    @cached_property
    def ceilings(self) -> dict[str, dict[str, float]]:
        """The known ceilings by what to call them: one, or of two joined runs that of each."""
        runs = self.scores.results.run.get("names") if self.run is None else None
        if not runs:
            return {"ceiling": self.ceiling} if self.ceiling else {}
        found = {f"ceiling ({run})": View(self.scores, run).ceiling for run in runs}
        return {name: ceiling for name, ceiling in found.items() if ceiling}

    @property
    def targets(self) -> list[str]:
        """In the data set's order."""
        return self.scores.results.targets

    @property
    def synthetic(self) -> bool:
        """Whether the music was generated."""
        return bool(self.scores.results.dataset.get("synthetic"))

    @property
    def experiment(self) -> dict[str, Any]:
        """The resolved experiment; empty where the results do not record it."""
        return self.scores.results.run.get("experiment") or {}

    @property
    def name(self) -> str:
        """Of the experiment, or of the data set where no experiment is recorded."""
        results = self.scores.results
        return str(self.experiment.get("name") or results.run.get("name") or results.dataset.get("name") or "results")

    @property
    def about(self) -> str:
        """What the songs are called. "folder" is how they were read; the experiment's name says more."""
        dataset = self.scores.results.dataset.get("name")
        return self.name if dataset in (None, "folder") else str(dataset)

    @property
    def centre(self) -> float:
        """The middle of the data set's scale."""
        return self.scores.centre

    @property
    def scale(self) -> Sequence[float] | None:
        """Lowest and highest value an annotation can take, where it is recorded."""
        return self.scores.results.dataset.get("scale") or None

    @property
    def places(self) -> int:
        """Decimals of a single annotation: one on a scale of 1 to 9, two on one of -1 to 1."""
        return 1 if self.scale is None or self.scale[1] - self.scale[0] > 4 else 2

    def ranking(self, target: str) -> list[str]:
        """Encoders by R2, best first; those without a defined R2 are left out."""
        return [label for label in self.scores.ranking(target) if self._seen(label)]

    def best(self, target: str) -> str | None:
        """The encoder with the highest R2; None where it is undefined, and for two runs: annotations may differ."""
        two_runs = self.run is None and "joined" in self.scores.results.run
        return None if two_runs else next(iter(self.ranking(target)), None)

    def title(self, label: str) -> str:
        """What an encoder is called: its label, in its own run where that is what one looks at."""
        return label if self.run is None else self._own(label)

    def parent(self, label: str) -> str | None:
        """The encoder whose untrained twin this is."""
        parent = self.described[label].get("twin_of")
        return parent if parent in self.described and parent != label else None

    def twin(self, label: str) -> str | None:
        """The untrained twin of this encoder, if it was scored."""
        return next((other for other in self.order if self.parent(other) == label), None)

    def baseline(self, label: str) -> str | None:
        """Which baseline this is, if it is one."""
        if self.scores.is_reference(label):
            return REFERENCE
        name = self.described[label].get("name")
        return name if name in BASELINES else None

    def untrained(self, label: str) -> bool:
        """Whether the encoder's weights were drawn at random."""
        return str(self.described[label].get("weights") or "").startswith(RANDOM_WEIGHTS)

    def roles(self, label: str) -> list[str]:
        """What a reader must know of this encoder before comparing it."""
        return [
            *(["baseline"] if self.baseline(label) else []),
            *(["untrained twin"] if self.parent(label) else [self._start(label)] if self.untrained(label) else []),
        ]

    def _start(self, label: str) -> str:
        """What became of weights that were drawn at random: all of them trained, or some left as they were."""
        return FROM_SCRATCH if self.described[label].get("freeze") == "none" else RANDOM_WEIGHTS

    def seconds_per_song(self, label: str) -> float | None:
        """Extraction and prediction together; None where neither was measured."""
        cost = self.cost(label)
        parts = [cost.get(key) for key in ("extraction_s_per_song", "prediction_s_per_song")]
        known = [float(part) for part in parts if part is not None]
        return sum(known) if known else None

    def n_parameters(self, label: str) -> int | None:
        """All weights of the encoder, trained or not."""
        return self.cost(label).get("n_parameters", self.described[label].get("n_parameters"))

    def mean_r2(self, label: str) -> tuple[float, float, float]:
        """R2 averaged over targets, with its interval."""
        at = self.scores.encoders.index(label), SCORES.index("r2")
        value, low, high = (float(values[at]) for values in self.scores.averaged)
        return value, low, high

    def averaged_row(self, label: str) -> dict[str, float]:
        """A row like those of `rows` for the mean over targets."""
        k = self.scores.encoders.index(label)
        row = {
            key: float(values[k, s])
            for s, name in enumerate(SCORES)
            for key, values in zip(with_ends(name), self.scores.averaged, strict=True)
        }
        reference = self.scores.reference(label)
        if reference not in (None, label):
            row |= dict(zip(with_ends("r2_minus_mean"), self.scores.difference(label, reference), strict=True))
        if self.scores.quadrants is not None:
            row |= self._quadrant_row(label)
        return row | dict(zip(with_ends("spearman"), self.scores.spearman(label), strict=True))

    def cost(self, label: str) -> dict[str, Any]:
        """What was measured of this encoder; empty where nothing was."""
        return next((row for row in self.scores.results.cost if row["encoder"] == label), {})

    def _quadrant_row(self, label: str) -> dict[str, float]:
        found = {f"quadrant_{name}": self.scores.quadrant_score(label, name) for name in QUADRANT_SCORES}
        return {key: v for name, triple in found.items() for key, v in zip(with_ends(name), triple, strict=True)}

    def _own(self, label: str) -> str:
        """Its label before runs were joined."""
        return str(self.described[label].get("own_label") or label)

    def _seen(self, label: str) -> bool:
        return self.run is None or self.scores.results.run_of(label) == self.run


def song_name(song: dict[str, Any]) -> str:
    """Id, title and artist of a song, as far as they are known."""
    known = [str(song[key]) for key in ("title", "artist") if song.get(key)]
    return f"{song['id']}: {' – '.join(known)}" if known else str(song["id"])
