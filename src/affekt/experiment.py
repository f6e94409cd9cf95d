"""READ THIS FIRST: a whole comparison, from songs to results, as a story.

    songs -> activations at the cut (stored) -> folds -> suffix and heads (trained) -> predictions -> results.json

Every finished fold is kept in the run folder under the hash of what determines it, so a run that was stopped goes on
where it was, and a changed setting never meets an old number.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from affekt.audio.clips import ClipPlan
from affekt.audio.silence import native_stderr_silenced
from affekt.config import EncoderSection, Experiment, parse_experiment
from affekt.data import Dataset, load_dataset
from affekt.data.base import named
from affekt.data.splits import Split, draw_split, verify
from affekt.digest import digest
from affekt.encoders import Cut, Encoder, build_encoder
from affekt.errors import AffektError, ConfigError, DataError, MissingExtraError, problems
from affekt.evaluation.results import Prediction, Results
from affekt.features.extract import Features, extract, prefix_settings
from affekt.features.store import Store
from affekt.files import write_json
from affekt.paths import cache_home
from affekt.progress import bar
from affekt.training import TRAINING_VERSION
from affekt.training.table import ClipTable, Fitted, Task

#: Fewer songs than this cannot be split into anything that deserves a score.
MIN_SONGS = 10
#: Packages whose version can change a number.
PACKAGES = (
    "affekt",
    "numpy",
    "scipy",
    "scikit-learn",
    "soundfile",
    "soxr",
    "torch",
    "transformers",
    "lightning",
    "librosa",
)


@dataclass
class Contender:
    """One encoder on its way through a comparison."""

    section: EncoderSection
    encoder: Encoder
    cut: Cut
    plan: ClipPlan
    features: Features

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.section.title


def run_experiment(
    experiment: Experiment,
    out: Path | None = None,
    store: Store | None = None,
    quiet: bool = False,
    dataset: Dataset | None = None,
) -> tuple[Results, Path]:
    """Run a comparison, or finish one that was stopped.

    Args:
        experiment: what to run.
        out: the run folder; `runs/<name>-<fingerprint>` by default.
        store: where activations lie; the user's cache by default.
        quiet: no progress bars.
        dataset: songs that are already loaded; `experiment.dataset` says which to load otherwise.

    Returns:
        the results, and the run folder with run.json, split.json, results.json, folds/ and checkpoints/.

    Raises:
        AffektError: a mistake in the experiment, the data or the weights; found as early as possible.
        KeyboardInterrupt: on Ctrl-C; finished songs and folds are kept.
    """
    started = time.time()
    given = dataset is not None
    dataset = open_dataset(experiment, quiet) if dataset is None else dataset
    if experiment.permute_labels:
        dataset = permuted(dataset, experiment.seeds[0])
    contenders = enter(experiment, dataset, quiet)
    folder = claim_folder(experiment, dataset, out)
    listen(contenders, dataset, Store(cache_home() / "store") if store is None else store, quiet)
    scored = common_songs(contenders, dataset)
    splits = {seed: draw(experiment, scored, seed) for seed in experiment.seeds}
    write_json(folder / "split.json", {str(seed): split.as_dict() for seed, split in splits.items()})
    fitted = train_all(contenders, scored, splits, folder, quiet)
    results = gather(experiment, contenders, dataset, scored, splits, fitted, started)
    if given:
        results.run["experiment"]["dataset"] = {"name": dataset.name, "root": None, "loaded": "by the calling program"}
    results.save(folder / "results.json")
    write_json(folder / "run.json", results.run)
    return results, folder


def compare(
    dataset: Dataset,
    encoders: Sequence[str | dict[str, Any]],
    folds: int = 5,
    seeds: int = 1,
    out: Path | None = None,
    store: Store | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Results:
    """Compare encoders on songs that are already loaded.

    Args:
        dataset: from `load_dataset`, or made of your own `Song` records.
        encoders: names, or mappings as in the experiment file.
        folds: how many.
        seeds: how many; 0, 1, 2, ...
        out: the run folder; `runs/<name>-<fingerprint>` by default.
        store: where activations lie; the user's cache by default.
        quiet: no progress bars.
        settings: further keys of the experiment file, such as `freeze="last1"` or `head="mlp"`.

    Raises:
        AffektError: as `run_experiment`.
    """
    value = {"name": dataset.name, "split": {"folds": folds}, "seeds": list(range(seeds)), **settings}
    experiment = parse_experiment({**value, "encoders": list(encoders)})
    return run_experiment(experiment, out, store, quiet, dataset)[0]


def open_dataset(experiment: Experiment, quiet: bool = False) -> Dataset:
    """Load the songs that the experiment names."""
    section = experiment.dataset
    options: dict[str, Any] = {"root": section.root.expanduser() if section.root else None}
    if section.name in ("deam", "demo"):
        options["labels"] = section.labels
    if section.name == "demo":
        options["progress"] = not quiet
    if section.targets is not None:
        options["targets"] = section.targets
    if section.scale is not None:
        options["scale"] = section.scale
    if section.n_songs is not None:
        options["n_songs"] = section.n_songs
    return load_dataset(section.name, **options)


def permuted(dataset: Dataset, seed: int) -> Dataset:
    """The same songs with labels dealt out at random: a control that no honest pipeline can predict."""
    order = np.random.default_rng([seed, len(dataset)]).permutation(len(dataset))
    donors = [dataset.songs[i] for i in order]
    songs = tuple(
        replace(song, targets=donor.targets, target_std=donor.target_std)
        for song, donor in zip(dataset.songs, donors, strict=True)
    )
    return replace(dataset, songs=songs, notes=(*dataset.notes, f"CONTROL: labels permuted with seed {seed}."))


def enter(experiment: Experiment, dataset: Dataset, quiet: bool = False) -> list[Contender]:
    """Build every encoder and find its cut, collecting all mistakes before any work starts."""
    contenders, found = [], []
    with bar("loading encoders", len(experiment.encoders), quiet) as advance:
        for section in experiment.encoders:
            advance(0, section.title)
            try:
                encoder = build_encoder(section.name, section.weights, experiment.seeds[0])
                plan = ClipPlan(section.clips.count, section.clips.length_s)
                cut = encoder.cut(section.freeze)
                contenders.append(Contender(section, encoder, cut, plan, Features()))
                if section.head == "ridge" and not cut.frozen:
                    found.append(f'{section.title}: head "ridge" needs freeze: all.')
                if section.head != "ridge" and importlib.util.find_spec("lightning") is None:
                    raise MissingExtraError(f'head "{section.head}"', "models")
            except AffektError as error:
                found.append(f"{section.title}: {error}")
            advance()
    if any(c.encoder.needs_audio for c in contenders) and not dataset.with_audio:
        found.append(f"{dataset.name}: no audio file was found, and at least one encoder needs audio.")
    if found:
        raise ConfigError(found[0] if len(found) == 1 else problems(f"experiment {experiment.name}", found))
    return contenders


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
    """Hash of the settings and the labels."""
    return digest([experiment.fingerprint(), dataset.fingerprint()])


def listen(contenders: Sequence[Contender], dataset: Dataset, store: Store, quiet: bool = False) -> None:
    """Run every prefix over every song, or find its activations in the store."""
    for contender in contenders:
        title = f"listening: {contender.title}"
        silent = quiet or not contender.encoder.needs_audio
        with (
            native_stderr_silenced(),
            contender.encoder.on_fastest_device(),
            bar(title, len(dataset), silent) as advance,
        ):
            contender.features = extract(
                contender.encoder, contender.cut, dataset.songs, contender.plan, store, advance
            )


def common_songs(contenders: Sequence[Contender], dataset: Dataset) -> Dataset:
    """The songs that every encoder could serve: all are scored on the same ones."""
    served = set(dataset.ids).intersection(*(contender.features.arrays for contender in contenders))
    if len(served) < MIN_SONGS:
        reasons = sorted({reason for c in contenders for reason in c.features.skipped.values()})
        raise DataError(
            f"{dataset.name}: {len(served)} of {len(dataset)} songs can be used by every encoder, at least {MIN_SONGS} "
            f"are needed. Reasons: {named(reasons, 3) or 'the data set is too small'}."
        )
    return dataset.select(served)


def draw(experiment: Experiment, dataset: Dataset, seed: int) -> Split:
    """The split of one seed, checked for leaks."""
    section = experiment.split
    validation = experiment.training.validation
    split = draw_split(dataset, section.kind, seed, section.folds, section.group, validation)
    verify(split, dataset)
    return split


def train_all(
    contenders: Sequence[Contender], dataset: Dataset, splits: dict[int, Split], folder: Path, quiet: bool = False
) -> dict[tuple[str, int, int], Fitted]:
    """Train every encoder on every fold of every seed, or find what an earlier run finished."""
    labels = {song.id: np.array(song.targets) for song in dataset.songs}
    n_folds = sum(len(split.folds) for split in splits.values())
    fitted = {}
    with bar("training", n_folds * len(contenders), quiet) as advance:
        for contender in contenders:
            table = ClipTable({song: contender.features.arrays[song] for song in dataset.ids})
            for seed, split in splits.items():
                for number, fold in enumerate(split.folds):
                    where = f"{contender.title}, seed {seed}, fold {number + 1}/{len(split.folds)}"
                    advance(0, where)
                    task = Task(table, labels, fold, _fold_seed(seed, number))
                    fitted[contender.title, seed, number] = train_fold(
                        contender, task, dataset, folder, lambda n, w=where: advance(0, f"{w}, epoch {n}")
                    )
                    advance(1)
    return fitted


def train_fold(contender: Contender, task: Task, dataset: Dataset, folder: Path, on_epoch: Any) -> Fitted:
    """One fold: read it if it is done, else train it and keep it."""
    key = _fold_key(contender, task, dataset)
    path = folder / "folds" / f"{key}.json"
    if path.is_file():
        return _read_fitted(path)
    if contender.section.head == "ridge" or contender.encoder.spec.embedding_dim == 0:
        from affekt.training.ridge import fit_ridge

        fitted = fit_ridge(task, contender.section.clip_embeddings)
    else:
        from affekt.training.fit import fit_suffix

        checkpoints = folder / "checkpoints" / key
        fitted = fit_suffix(task, contender.encoder, contender.cut, _recipe(contender.section), checkpoints, on_epoch)
    _write_fitted(path, fitted)
    return fitted


def gather(
    experiment: Experiment,
    contenders: Sequence[Contender],
    dataset: Dataset,
    scored: Dataset,
    splits: dict[int, Split],
    fitted: dict[tuple[str, int, int], Fitted],
    started: float,
) -> Results:
    """Everything that a report needs, as one record."""
    return Results(
        dataset=_about_dataset(experiment, contenders, dataset, scored),
        targets=list(scored.target_names),
        encoders=[_about_encoder(contender, fitted) for contender in contenders],
        songs=[_about_song(song) for song in scored.songs],
        predictions=_predictions(scored, fitted),
        history=[
            {"encoder": title, "seed": seed, "fold": fold, **epoch}
            for (title, seed, fold), one in fitted.items()
            for epoch in one.history
        ],
        cost=[_cost(contender, fitted) for contender in contenders],
        skipped=_skipped(contenders, dataset),
        run={
            "name": experiment.name,
            "fingerprint": run_fingerprint(experiment, dataset),
            "status": "finished",
            "experiment": experiment.model_dump(mode="json"),
            "splits": {str(seed): split.rule for seed, split in splits.items()},
            "versions": versions(),
            "machine": machine(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.time() - started, 1),
        },
    )


def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the run ran on, without names that identify it."""
    import os

    about: dict[str, Any] = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    try:
        import torch
    except ImportError:
        return about
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {**about, "threads": torch.get_num_threads(), "gpus": gpus}


def _fold_seed(seed: int, fold: int) -> int:
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def _fold_key(contender: Contender, task: Task, dataset: Dataset) -> str:
    """Hash of all that determines a fold's predictions."""
    section = contender.section
    prefix = prefix_settings(contender.encoder, contender.cut, contender.plan)
    whole = contender.encoder.settings()  # a trained suffix starts from its weights
    recipe = section.model_dump(mode="json", include={"head", "clip_embeddings"})
    if section.head != "ridge":
        recipe |= section.model_dump(mode="json", include={"training", "loss"})
    audio = {song: contender.features.keys.get(song, "") for song in dataset.ids}
    return digest([TRAINING_VERSION, prefix, whole, recipe, asdict(task.fold), task.seed, dataset.fingerprint(), audio])


def _recipe(section: EncoderSection) -> Any:
    from affekt.training.fit import Recipe

    training = section.training.model_dump(exclude={"validation"})
    loss = section.loss.model_dump()
    return Recipe(head=section.head, loss=loss, clip_embeddings=section.clip_embeddings, **training)


def _write_fitted(path: Path, fitted: Fitted) -> None:
    value = asdict(fitted)
    value["predictions"] = {song: np.asarray(y).tolist() for song, y in fitted.predictions.items()}
    write_json(path, value, indent=None)


def _read_fitted(path: Path) -> Fitted:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value["predictions"] = {song: np.array(y) for song, y in value["predictions"].items()}
        return Fitted(**value)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}). Delete it and run again.") from None


def _read_fingerprint(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["fingerprint"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: not the record of a run. Name another folder with --out.") from None


def _predictions(scored: Dataset, fitted: dict[tuple[str, int, int], Fitted]) -> list[Prediction]:
    truth = {song.id: song.targets for song in scored.songs}
    return [
        Prediction(title, seed, fold, song, target, float(truth[song][i]), float(predicted[i]))
        for (title, seed, fold), one in fitted.items()
        for song, predicted in one.predictions.items()
        for i, target in enumerate(scored.target_names)
    ]


def _about_dataset(
    experiment: Experiment, contenders: Sequence[Contender], dataset: Dataset, scored: Dataset
) -> dict[str, Any]:
    used = set(scored.ids)
    needs_audio = any(contender.encoder.needs_audio for contender in contenders)
    silent = [song.id for song in dataset.without_audio if song.id not in used] if needs_audio else []
    left_out = [{"reason": "labels without an audio file", "n": len(silent), "song_ids": silent}] if silent else []
    return {
        "name": dataset.name,
        "labels": dataset.labels,
        "scale": list(dataset.scale),
        "synthetic": dataset.synthetic,
        "notes": list(dataset.notes),
        "ceiling": list(dataset.ceiling) if dataset.ceiling else None,
        "fingerprint": dataset.fingerprint(),
        "n_songs": len(dataset),
        "n_scored": len(scored),
        "left_out": left_out,
    }


def _about_encoder(contender: Contender, fitted: dict[tuple[str, int, int], Fitted]) -> dict[str, Any]:
    section = contender.section
    mine = [one for (title, _, _), one in fitted.items() if title == contender.title]
    closed = section.head == "ridge" or contender.encoder.spec.embedding_dim == 0
    return {
        "label": contender.title,
        **asdict(contender.encoder.spec),
        "n_parameters": contender.encoder.n_parameters(),
        "n_trainable": mine[0].n_trainable,
        "freeze": "all" if contender.cut.frozen else section.freeze,
        "cut": contender.cut.name,
        "head": "ridge" if closed else section.head,
        "clip_embeddings": section.clip_embeddings,
        "clips": asdict(contender.plan),
        "training": None if closed else section.training.model_dump(mode="json"),
        "loss": None if closed else section.loss.model_dump(mode="json"),
    }


def _about_song(song: Any) -> dict[str, Any]:
    return {
        "id": song.id,
        "title": song.title,
        "artist": song.artist,
        "genre": song.genre,
        "part": song.part,
        "audio": song.audio_path.name if song.audio_path else None,
    }


def _cost(contender: Contender, fitted: dict[tuple[str, int, int], Fitted]) -> dict[str, Any]:
    seconds = [s for s in contender.features.seconds.values() if np.isfinite(s)]
    mine = [one for (title, _, _), one in fitted.items() if title == contender.title]
    return {
        "encoder": contender.title,
        "n_parameters": contender.encoder.n_parameters(),
        "extraction_s_per_song": round(float(np.median(seconds)), 4) if seconds else None,
        "n_extracted": contender.features.n_extracted,
        "n_reused": contender.features.n_reused,
        "training_s": round(sum(one.training_s for one in mine), 3),
    }


def _skipped(contenders: Sequence[Contender], dataset: Dataset) -> list[dict[str, Any]]:
    """Songs with audio that could not be used, each once, with the first reason found."""
    paths = {song.id: song.audio_path for song in dataset.songs}
    reasons: dict[str, str] = {}
    for contender in contenders:
        for song, reason in contender.features.skipped.items():
            if paths[song] is not None or not contender.encoder.needs_audio:
                reasons.setdefault(song, f"{contender.title}: {reason}")
    return [
        {"song_id": song, "path": path.name if (path := paths[song]) else None, "reason": reason}
        for song, reason in reasons.items()
    ]


def remarks(results: Results) -> list[str]:
    """What a user must be told at the end, beside the scores."""
    found = [f"{group['n']} songs left out: {group['reason']}." for group in results.dataset["left_out"]]
    if results.skipped:
        ids = [row["song_id"] for row in results.skipped]
        found.append(f"{len(ids)} songs skipped: {named(ids)}; the reasons are in the report.")
    return found


__all__ = ["compare", "open_dataset", "remarks", "run_experiment"]
