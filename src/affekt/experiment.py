"""READ THIS FIRST: a whole comparison, from songs to results, as a story.

    songs -> activations at the cut (stored) -> folds -> suffix and heads (trained) -> predictions -> results.json

Every finished fold is kept in the run folder under the hash of what determines it, so a run that was stopped goes on
where it was, and a changed setting never meets an old number. The parts: who takes part (`affekt.contender`), one
encoder on one fold (`affekt.folds`), what is written down (`affekt.record`).
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affekt.audio.silence import native_stderr_silenced
from affekt.config import DatasetSection, Experiment, SplitSection, parse_experiment
from affekt.contender import Contender, enter
from affekt.data import Dataset, load_dataset
from affekt.data.base import named
from affekt.data.joined import join
from affekt.data.splits import Split, draw_split, read_split, verify
from affekt.digest import digest
from affekt.encoders import Encoder
from affekt.errors import ConfigError, DataError
from affekt.evaluation.results import Results
from affekt.features.cluster import Cluster
from affekt.features.extract import Features, extract
from affekt.features.keys import prefix_settings
from affekt.features.remote import Remote
from affekt.features.store import Store
from affekt.files import write_json
from affekt.folds import Fit, fold_seed
from affekt.paths import cache_home
from affekt.progress import bar
from affekt.record import Key, gather
from affekt.training.table import ClipTable, Fitted, Task

if TYPE_CHECKING:
    from affekt.tracking import Trackers

#: Fewer songs than this cannot be split into anything that deserves a score.
MIN_SONGS = 10


def run_experiment(
    experiment: Experiment,
    out: Path | None = None,
    store: Store | None = None,
    quiet: bool = False,
    dataset: Dataset | None = None,
    trackers: Trackers | None = None,
    workers: int | Cluster | None = None,
) -> tuple[Results, Path]:
    """Run a comparison, or finish one that was stopped.

    Args:
        experiment: what to run.
        out: the run folder; `runs/<name>-<fingerprint>` by default.
        store: where activations lie; the user's cache by default.
        quiet: no progress bars.
        dataset: songs that are already loaded; `experiment.dataset` says which to load otherwise.
        trackers: told of every epoch; from `affekt.tracking.open_trackers`.
        workers: processes that decode ahead of the encoders, as of `extract`; or a cluster that hears the songs.
            Changes no number.

    Returns:
        the results, and the run folder with run.json, split.json, results.json, folds/ and checkpoints/.

    Raises:
        AffektError: a mistake in the experiment, the data or the weights; found as early as possible.
        KeyboardInterrupt: on Ctrl-C; finished songs and folds are kept.
    """
    started = time.time()
    dataset = open_dataset(experiment, quiet) if dataset is None else dataset
    if dataset.dynamic:
        dataset = dataset.thinned(experiment.frames.hop_s)
    if experiment.permute_labels:
        dataset = permuted(dataset, experiment.seeds[0])
    contenders = enter(experiment, dataset, quiet)
    folder = claim_folder(experiment, dataset, out)
    listen(contenders, dataset, Store(cache_home() / "store") if store is None else store, quiet, workers)
    scored = common_songs(contenders, dataset)
    splits = {seed: draw(experiment, scored, seed) for seed in experiment.seeds}
    write_json(folder / "split.json", {str(seed): split.as_dict() for seed, split in splits.items()})
    if trackers:
        trackers.begin(folder)
    fitted = train_all(experiment, contenders, scored, splits, folder, quiet, trackers)
    fingerprint = run_fingerprint(experiment, dataset)
    results = gather(experiment, fingerprint, contenders, dataset, scored, splits, fitted, started)
    keep(results, folder)
    return results, folder


def compare(
    dataset: Dataset,
    encoders: Sequence[str | dict[str, Any]],
    folds: int = 5,
    seeds: int = 1,
    out: Path | None = None,
    store: Store | None = None,
    quiet: bool = False,
    workers: int | Cluster | None = None,
    **settings: Any,
) -> Results:
    """Compare encoders on songs that are already loaded.

    Args:
        dataset: from `load_dataset`, or made of your own `Song` records.
        encoders: names, or mappings as in the experiment file.
        folds: how many; two data sets that were joined (`affekt.data.joined.join`) have a single one.
        seeds: how many; 0, 1, 2, ...
        out: the run folder; `runs/<name>-<fingerprint>` by default, named after the data set.
        store: where activations lie; the user's cache by default.
        quiet: no progress bars.
        workers: as of `run_experiment`.
        settings: further keys of the experiment file, such as `freeze="last1"` or `head="mlp"`.

    Raises:
        AffektError: as `run_experiment`.
    """
    value = {"name": _allowed_name(dataset.name), "split": {"folds": folds}, "seeds": list(range(seeds)), **settings}
    if dataset.dynamic:
        value["dataset"] = {"annotations": "dynamic"}
    experiment = parse_experiment({**value, "encoders": list(encoders)})
    if dataset.test_ids:
        experiment = experiment.model_copy(update={"split": SplitSection(kind="cross-corpus")})
    results, folder = run_experiment(experiment, out, store, quiet, dataset, workers=workers)
    results.run["experiment"]["dataset"] = {"name": dataset.name, "root": None, "loaded": "by the calling program"}
    keep(results, folder)
    return results


def _allowed_name(name: str) -> str:
    """A data set's name as the name of an experiment: what is not allowed there becomes "-"."""
    # By category and not by \w, which Python and the pattern of `Experiment.name` read differently, as for "R²".
    kinds = {char: unicodedata.category(char) for char in name}
    kept = {char for char, kind in kinds.items() if kind[0] in "LM" or kind == "Nd" or char in "_.-"}
    return "".join(char if char in kept else "-" for char in name) or Experiment.model_fields["name"].default


def keep(results: Results, folder: Path) -> None:
    """Write what a finished run leaves: `results.json` and `run.json`."""
    results.save(folder / "results.json")
    write_json(folder / "run.json", results.run)


def open_dataset(experiment: Experiment, quiet: bool = False) -> Dataset:
    """Load the songs that the experiment names: one data set, or one to train on and one to test on."""
    dataset = _opened(experiment.dataset, quiet)
    if experiment.test_dataset is None:
        return dataset
    return join(dataset, _opened(experiment.test_dataset, quiet))


def _opened(section: DatasetSection, quiet: bool) -> Dataset:
    options: dict[str, Any] = {"root": section.root.expanduser() if section.root else None}
    if section.labels != "corrected":
        options["labels"] = section.labels
    if section.name == "demo":
        options["progress"] = not quiet
    if section.targets is not None:
        options["targets"] = section.targets
    if section.scale is not None:
        options["scale"] = section.scale
    if section.n_songs is not None:
        options["n_songs"] = section.n_songs
    if section.annotations != "static":
        options["annotations"] = section.annotations
    dataset = load_dataset(section.name, **options)
    return dataset if section.parts is None else dataset.of_parts(section.parts)


def permuted(dataset: Dataset, seed: int) -> Dataset:
    """The same songs with labels dealt out at random: a control that no honest pipeline can predict."""
    order = np.random.default_rng([seed, len(dataset)]).permutation(len(dataset))
    donors = [dataset.songs[i] for i in order]
    songs = tuple(
        replace(
            song,
            targets=donor.targets,
            target_std=donor.target_std,
            n_raters=donor.n_raters,
            ratings=donor.ratings,
            curve=donor.curve.given_to(song.curve.times_s) if donor.curve and song.curve else None,
        )
        for song, donor in zip(dataset.songs, donors, strict=True)
    )
    return replace(dataset, songs=songs, notes=(*dataset.notes, f"CONTROL: labels permuted with seed {seed}."))


def claim_folder(experiment: Experiment, dataset: Dataset, out: Path | None) -> Path:
    """The run folder: new, or the one of an earlier run of the same experiment.

    Raises:
        ConfigError: the folder holds another experiment.
    """
    fingerprint = run_fingerprint(experiment, dataset)
    folder = out or Path("runs") / f"{experiment.name}-{fingerprint[:8]}"
    mark = folder / "run.json"
    found = _read_fingerprint(mark)
    if found not in (None, fingerprint):
        raise ConfigError(
            f"{folder}: holds another experiment (fingerprint {found[:8] if found else '?'}, this one is "
            f"{fingerprint[:8]}). Name another folder with --out, or delete this one."
        )
    if found is None:
        write_json(mark, {"fingerprint": fingerprint, "status": "unfinished"})
    return folder


def run_fingerprint(experiment: Experiment, dataset: Dataset) -> str:
    """Hash of the settings and the labels, and of the split where a file says it."""
    path = experiment.split.path
    named_split = [path.expanduser().read_text(encoding="utf-8")] if path and path.expanduser().is_file() else []
    return digest([experiment.fingerprint(), dataset.fingerprint(), *named_split])


def listen(
    contenders: Sequence[Contender],
    dataset: Dataset,
    store: Store,
    quiet: bool = False,
    workers: int | Cluster | None = None,
) -> None:
    """Run every prefix over every song, or find its activations in the store."""
    for contender in contenders:
        heard: dict[str, Features] = {}
        for seed, encoder in contender.encoders.items():
            key = digest(prefix_settings(encoder, contender.cut, contender.plan))
            if key not in heard:
                title = f"listening: {contender.title}" + (f", weights of seed {seed}" if heard else "")
                who = Remote(workers, contender.section, seed) if isinstance(workers, Cluster) else workers
                heard[key] = _listened(contender, encoder, title, dataset, store, quiet, who)
            contender.features[seed] = heard[key]


def _listened(
    contender: Contender,
    encoder: Encoder,
    title: str,
    dataset: Dataset,
    store: Store,
    quiet: bool,
    workers: int | Remote | None,
) -> Features:
    silent = quiet or not encoder.needs_audio
    with (
        native_stderr_silenced(),
        bar(title, len(dataset), silent, "songs") as advance,
        encoder.on_fastest_device(lambda text: advance(0, text)),
    ):
        return extract(encoder, contender.cut, dataset.songs, contender.plan, store, advance, workers)


def common_songs(contenders: Sequence[Contender], dataset: Dataset) -> Dataset:
    """The songs that every encoder could serve: all are scored on the same ones."""
    everything = [features for contender in contenders for features in contender.distinct_features]
    served = set(dataset.ids).intersection(*(features.arrays for features in everything))
    if len(served) < MIN_SONGS:
        reasons = sorted({reason for features in everything for reason in features.skipped.values()})
        raise DataError(
            f"{dataset.name}: {len(served)} of {len(dataset)} songs can be used by every encoder, at least {MIN_SONGS} "
            f"are needed. Reasons: {named(reasons, 3) or 'the data set is too small'}."
        )
    return dataset.select(served)


def draw(experiment: Experiment, dataset: Dataset, seed: int) -> Split:
    """The split of one seed, checked for leaks."""
    section = experiment.split
    if section.kind == "file":
        assert section.path is not None  # the experiment file was checked
        return read_split(section.path.expanduser(), dataset, seed)
    validation = experiment.training.validation
    split = draw_split(dataset, section.kind, seed, section.folds, section.group, validation, section.by)
    verify(split, dataset)
    return split


def train_all(
    experiment: Experiment,
    contenders: Sequence[Contender],
    dataset: Dataset,
    splits: Mapping[int, Split],
    folder: Path,
    quiet: bool = False,
    trackers: Trackers | None = None,
) -> dict[Key, Fitted]:
    """Train every encoder on every fold of every seed, or find what an earlier run finished."""
    labels = {song.id: song.curve.values if song.curve else np.array(song.targets) for song in dataset.songs}
    trials = experiment.search.draw(experiment.seeds[0])
    n_folds = sum(len(split.folds) for split in splits.values())
    fitted = {}
    with bar("training", n_folds * len(contenders), quiet) as advance:
        for contender in contenders:
            tables: dict[int, ClipTable] = {}
            for seed, split in splits.items():
                features = contender.features[seed]
                if id(features) not in tables:  # one table at a time: it may fill the memory
                    tables = {id(features): ClipTable({song: features.arrays[song] for song in dataset.ids})}
                for number, fold in enumerate(split.folds):
                    key = contender.title, seed, number
                    watch = Watch(key, len(split.folds), advance, trackers)
                    task = Task(tables[id(features)], labels, fold, fold_seed(seed, number))
                    fitted[key] = Fit(contender, seed, task, folder, watch).best_of(trials)
                    watch(fitted[key].history)
                    advance(1)
    return fitted


@dataclass(frozen=True)
class Watch:
    """Tells the progress bar, and trackers where there are any, how far a fit is."""

    key: Key
    n_folds: int
    advance: Callable[..., None]
    trackers: Trackers | None

    def __call__(self, history: Sequence[Mapping[str, Any]], trial: int | None = None) -> None:
        """Called with the figures of all epochs so far, and the number of the trial in a search."""
        title, seed, fold = self.key
        words = [title, f"seed {seed}", f"fold {fold + 1}/{self.n_folds}"]
        words += [f"trial {trial}"] if trial else []
        self.advance(0, ", ".join([*words, f"epoch {len(history)}"] if history else words))
        if self.trackers and history:
            self.trackers.epochs(title, seed, fold, history, trial)


def _read_fingerprint(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["fingerprint"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: not the record of a run. Name another folder with --out.") from None


__all__ = ["compare", "open_dataset", "run_experiment"]
