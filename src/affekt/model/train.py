"""From an experiment to a model: cross-validate, choose, train on all songs, write the bundle.

Scores and intervals come from the folds, that is, from songs that were not trained on; the model itself has then seen
all of them, with the strength or the number of epochs that the folds chose. A comparison that is finished is not run
again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affekt.config import EncoderSection, Experiment
from affekt.contender import Contender, enter
from affekt.data import Dataset
from affekt.data.splits import Fold
from affekt.digest import digest
from affekt.errors import ConfigError
from affekt.evaluation.conformal import COVERAGE, widths
from affekt.evaluation.results import Results
from affekt.evaluation.scores import score_table
from affekt.experiment import common_songs, listen, open_dataset, run_experiment, run_fingerprint
from affekt.features.cluster import Cluster
from affekt.features.store import Store
from affekt.folds import fold_seed
from affekt.model.bundle import Settings, Target, TrainedOn
from affekt.model.predictor import Model, weights_digest
from affekt.model.readout import Readout, RidgeReadout, TrainedReadout
from affekt.paths import cache_home
from affekt.progress import bar
from affekt.record import machine
from affekt.registry import did_you_mean
from affekt.training.ridge import solve
from affekt.training.table import ClipTable, Task
from affekt.versions import versions

#: The share of training songs that count as familiar.
FAMILIAR = 0.99
#: Stands for the fold that all songs are trained in; no split has so many.
WHOLE = 2**31


def train_model(
    experiment: Experiment,
    encoder: str,
    out: Path,
    run: Path | None = None,
    store: Store | None = None,
    quiet: bool = False,
    workers: int | Cluster | None = None,
) -> Model:
    """Train a predictor on all songs of an experiment and write it.

    Args:
        experiment: data, clips, head and training; its folds give scores, intervals and what is chosen.
        encoder: label or name of one of its encoders.
        out: folder of the model.
        run: folder of the comparison; a finished one of the experiment is taken where it is, else the encoder is
            compared alone in `runs/<name>-<fingerprint>`.
        store: where activations lie; the user's cache by default.
        quiet: no progress bars.
        workers: as of `affekt.experiment.run_experiment`.

    Raises:
        AffektError: the experiment has no such encoder, or one that cannot hear a track; or as `run_experiment`.
        KeyboardInterrupt: on Ctrl-C; what is finished is kept in the run folder.
    """
    section = _section(experiment, encoder)
    alone = experiment.model_copy(update={"encoders": [section], "untrained_twins": False})
    _check(alone)
    dataset = open_dataset(experiment, quiet)
    if dataset.dynamic:
        dataset = dataset.thinned(experiment.frames.hop_s)
    contender = enter(alone, dataset, quiet)[0]
    if contender.encoder.spec.sample_rate_hz is None:
        raise ConfigError(
            f"{section.title}: takes no audio, so no track can be predicted with it. Name another encoder."
        )
    place = Store(cache_home() / "store") if store is None else store
    results, folder = _cross_validated(experiment, alone, section.title, dataset, run, place, quiet, workers)
    listen([contender], dataset, place, quiet, workers)
    songs = common_songs([contender], dataset)
    chosen = choose(results, section)
    whole = _whole(
        chosen.section, contender, songs, chosen.alphas, fold_seed(experiment.seeds[0], WHOLE), folder, quiet
    )
    settings = _settings(experiment, chosen, contender, songs, results, whole)
    model = Model(settings, contender.encoder, whole.readout)
    model.save(out)
    return model


class Chosen(NamedTuple):
    """What the folds decided.

    Attributes:
        section: the encoder's settings, with those of a search and the number of epochs.
        alphas: ridge's strengths, one for each target; None for other heads.
        about: the same, for the record.
    """

    section: EncoderSection
    alphas: np.ndarray | None
    about: dict[str, Any]


def choose(results: Results, section: EncoderSection) -> Chosen:
    """What all folds together choose: the geometric mean of strengths; the settings that most folds found best, and the
    median of the epochs that were best with them.
    """
    fits = [fit["chosen"] for fit in results.fits if fit["encoder"] == section.title]
    if section.head == "ridge":
        alphas = np.exp(np.log([fit["alpha"] for fit in fits]).mean(axis=0))
        return Chosen(section, alphas, {"alpha": alphas.tolist()})
    settings, same = _most_frequent(fits)
    epochs = round(float(np.median([fit["epoch"] for fit in same])))
    section = section.tried({**settings, "training.epochs": epochs})
    return Chosen(section, None, {**settings, "epochs": epochs})


def _most_frequent(fits: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    """The settings of a search that most folds chose (of equals those with the lower error), and the fits with them."""
    keys = [key for key in fits[0] if key == "head" or "." in key]
    points = [tuple(fit.get(key) for key in keys) for fit in fits]
    counts = Counter(points)

    def rank(point: tuple[Any, ...]) -> tuple[int, float]:
        errors = [fit.get("validation_mse", math.inf) for fit, at in zip(fits, points, strict=True) if at == point]
        return -counts[point], float(np.mean(errors))

    best = min(counts, key=rank)
    return dict(zip(keys, best, strict=True)), [fit for fit, at in zip(fits, points, strict=True) if at == best]


def _section(experiment: Experiment, encoder: str) -> EncoderSection:
    found = [section for section in experiment.encoders if encoder in (section.title, section.name)]
    if len(found) == 1:
        return found[0]
    titles = [section.title for section in experiment.encoders]
    if found:
        raise ConfigError(
            f'"{encoder}": {len(found)} encoders are called so; name one by its label: {", ".join(titles)}.'
        )
    raise ConfigError(
        f'"{encoder}": the experiment has no such encoder.{did_you_mean(encoder, titles)} It has: {", ".join(titles)}.'
    )


def _check(experiment: Experiment) -> None:
    if experiment.test_dataset is not None:
        raise ConfigError("test_dataset: a model is trained on one data set. Leave it out, and test it afterwards.")
    if experiment.permute_labels:
        raise ConfigError("permute_labels: a control, not a model. Leave it out.")


def _cross_validated(
    experiment: Experiment,
    alone: Experiment,
    title: str,
    dataset: Dataset,
    run: Path | None,
    store: Store,
    quiet: bool,
    workers: int | Cluster | None,
) -> tuple[Results, Path]:
    """Predictions for songs that were not trained on: of a finished comparison, or of this encoder compared now."""
    for one in (experiment, alone):
        fingerprint = run_fingerprint(one, dataset)
        folder = run or Path("runs") / f"{one.name}-{fingerprint[:8]}"
        if (folder / "results.json").is_file():
            results = Results.load(folder / "results.json")
            if results.run.get("fingerprint") == fingerprint and title in results.labels:
                return results, folder
    return run_experiment(alone, run, store, quiet, dataset, workers=workers)


class Whole(NamedTuple):
    """What was trained on all songs."""

    readout: Readout
    distances: np.ndarray  # (n_songs,)


def _whole(
    section: EncoderSection,
    contender: Contender,
    songs: Dataset,
    alphas: np.ndarray | None,
    seed: int,
    folder: Path,
    quiet: bool,
) -> Whole:
    """Train on all songs, none left for validation or test."""
    features = next(iter(contender.features.values()))
    table = ClipTable({song: features.arrays[song] for song in songs.ids})
    labels = {song.id: song.curve.values if song.curve else np.array(song.targets) for song in songs.songs}
    task = Task(table, labels, Fold(tuple(songs.ids), (), ()), seed)
    readout = _ridge(task, section, alphas) if alphas is not None else _suffix(task, section, contender, folder, quiet)
    return Whole(readout, np.array([readout.distance(table.gather(table.rows([song])[0])) for song in songs.ids]))


def _ridge(task: Task, section: EncoderSection, alphas: np.ndarray) -> Readout:
    return RidgeReadout.of(solve(task, section.clip_embeddings, alphas))


def _suffix(task: Task, section: EncoderSection, contender: Contender, folder: Path, quiet: bool) -> Readout:
    from affekt.training.epochs import Recipe
    from affekt.training.fit import train_suffix

    recipe = Recipe.of(section.head, section.training, section.loss, section.clip_embeddings)
    key = digest([section.model_dump(mode="json"), contender.encoder.settings(), task.fold.train, task.seed])
    with bar(f"training {section.title} on all songs", recipe.epochs, quiet, "epochs") as advance:
        place = folder / "checkpoints" / f"whole-{key}"
        trained = train_suffix(task, contender.encoder, contender.cut, recipe, place, lambda history: advance(1))
    return TrainedReadout(trained.model, trained.labels)


def _settings(
    experiment: Experiment, chosen: Chosen, contender: Contender, songs: Dataset, results: Results, whole: Whole
) -> Settings:
    encoder, section = contender.encoder, chosen.section
    return Settings(
        name=f"{experiment.name}-{_plain(section.title)}",
        section=section,
        seed=experiment.seeds[0],
        encoder=asdict(encoder.spec),
        weights_digest=weights_digest(encoder, contender.cut),
        code_version=encoder.code_version,
        over_time=songs.dynamic,
        causal=songs.dynamic and experiment.frames.causal,
        window_s=contender.plan.length_s,
        targets=_targets(results, section.title),
        scale=songs.scale,
        coverage=COVERAGE,
        distance=float(np.quantile(whole.distances, FAMILIAR, method="higher")),
        trained_on=TrainedOn(
            dataset=songs.name,
            labels=songs.labels,
            fingerprint=songs.fingerprint(),
            n_songs=len(songs),
            synthetic=songs.synthetic,
            notes=list(songs.notes),
        ),
        chosen=chosen.about,
        made_by={
            "experiment": experiment.model_dump(mode="json"),
            "comparison": results.run.get("fingerprint"),
            "versions": versions(),
            "machine": machine(),
        },
    )


def _targets(results: Results, title: str) -> list[Target]:
    """Scores and intervals of each target, from the folds."""
    found = widths(results, title)
    table = score_table(results)
    rows = {row["target"]: row for row in table.to_dict("records") if row["encoder"] == title}
    names = ("r2", "rmse", "mae", "pearson", "spearman", "ccc")
    return [
        Target(
            name=target,
            half_width=float(found.half[i]),
            measured_coverage=_number(found.measured[i]),
            scores={
                name: (
                    _number(rows[target][name]),
                    _number(rows[target][f"{name}_low"]),
                    _number(rows[target][f"{name}_high"]),
                )
                for name in names
            },
        )
        for i, target in enumerate(results.targets)
    ]


def _number(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None


def _plain(title: str) -> str:
    return "".join(char if char.isalnum() or char in "_.-" else "-" for char in title)
