"""What a finished comparison says of itself: songs, encoders, costs, versions, machine. results.json holds all of it.

Nothing here decides anything: `affekt.experiment` tells the story, this module writes it down.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from affekt.config import Experiment
from affekt.contender import Contender
from affekt.data.base import Dataset, Song, named
from affekt.data.curves import Curve
from affekt.data.splits import Split
from affekt.data.transfer import sorts_songs
from affekt.encoders.base import RANDOM_WEIGHTS
from affekt.evaluation.results import PredictedCurve, Prediction, Results
from affekt.training.table import Fitted
from affekt.versions import versions

#: One fit of one encoder: (title, seed, fold).
Key = tuple[str, int, int]


def gather(
    experiment: Experiment,
    fingerprint: str,
    contenders: Sequence[Contender],
    dataset: Dataset,
    scored: Dataset,
    splits: Mapping[int, Split],
    fitted: Mapping[Key, Fitted],
    started: float,
) -> Results:
    """Everything that a report needs, as one record.

    Args:
        experiment: what was asked for.
        fingerprint: of the run.
        contenders: encoders that took part.
        dataset: all songs.
        scored: the songs that every encoder could serve.
        splits: of each seed.
        fitted: what each fit left.
        started: when the run began, in seconds since the epoch.
    """
    columns = _shared_columns(scored)
    return Results(
        dataset=_about_dataset(contenders, dataset, scored, splits),
        targets=list(scored.target_names),
        encoders=[_about_encoder(contender, fitted) for contender in contenders],
        songs=[_about_song(song, columns) for song in scored.songs],
        predictions=_predictions(scored, fitted),
        curves=_curves(scored, fitted),
        history=[_labelled(key, epoch) for key, one in fitted.items() for epoch in one.history],
        cost=[_cost(contender, fitted) for contender in contenders],
        skipped=_skipped(contenders, dataset),
        fits=[_labelled(key, _about_fit(splits, key, one)) for key, one in fitted.items()],
        run={
            "name": experiment.name,
            "fingerprint": fingerprint,
            "status": "finished",
            "experiment": experiment.model_dump(mode="json"),
            "splits": {str(seed): split.rule for seed, split in splits.items()},
            "split_names": {str(seed): f"{split.name} ({split.fingerprint()[:8]})" for seed, split in splits.items()},
            "versions": versions(),
            "machine": machine(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.time() - started, 1),
        },
    )


def machine() -> dict[str, Any]:
    """What the run ran on, without names that identify it; of torch, where the run has loaded it."""
    about: dict[str, Any] = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch is None:  # it takes seconds to load
        return about
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {**about, "threads": torch.get_num_threads(), "gpus": gpus}


def remarks(results: Results) -> list[str]:
    """What a user must be told at the end, beside the scores."""
    found = [f"{group['n']} songs left out: {group['reason']}." for group in results.dataset["left_out"]]
    if results.skipped:
        ids = [row["song_id"] for row in results.skipped]
        found.append(f"{len(ids)} songs skipped: {named(ids)}; the reasons are in the report.")
    return found


def _labelled(key: Key, value: Mapping[str, Any]) -> dict[str, Any]:
    title, seed, fold = key
    return {"encoder": title, "seed": seed, "fold": fold, **value}


def _about_fit(splits: Mapping[int, Split], key: Key, one: Fitted) -> dict[str, Any]:
    _, seed, number = key
    fold = splits[seed].folds[number]
    return {
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "training_s": round(one.training_s, 3),
        "chosen": one.chosen,
    }


def _predictions(scored: Dataset, fitted: Mapping[Key, Fitted]) -> list[Prediction]:
    """One for each song; over time, the mean over its frames."""
    truth = {song.id: song.targets for song in scored.songs}
    return [
        Prediction(title, seed, fold, song, target, float(truth[song][i]), float(value))
        for (title, seed, fold), one in fitted.items()
        for song, predicted in one.predictions.items()
        for i, (target, value) in enumerate(zip(scored.target_names, _mean_over_time(predicted), strict=True))
    ]


def _mean_over_time(predicted: np.ndarray) -> np.ndarray:
    return predicted.mean(axis=0) if predicted.ndim == 2 else predicted


def _curves(scored: Dataset, fitted: Mapping[Key, Fitted]) -> list[PredictedCurve]:
    """What was predicted over time; empty where each song has one annotation."""
    if not scored.dynamic:
        return []
    return [
        PredictedCurve(title, seed, fold, song, predicted.tolist())
        for (title, seed, fold), one in fitted.items()
        for song, predicted in one.predictions.items()
    ]


def _about_dataset(
    contenders: Sequence[Contender], dataset: Dataset, scored: Dataset, splits: Mapping[int, Split]
) -> dict[str, Any]:
    tested = scored.select({song for split in splits.values() for song in split.tested})
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
        "ceiling": _by_target(tested, tested.ceiling),
        "ceiling_method": tested.ceiling_method,
        "ceiling_interval": _by_target(tested, tested.ceiling_interval),
        "fingerprint": dataset.fingerprint(),
        "n_songs": len(dataset),
        "n_scored": len(scored),
        "left_out": left_out,
    }


def _by_target(dataset: Dataset, values: Sequence[Any] | None) -> dict[str, Any] | None:
    """By name, since a run that this one is joined with may have its targets in another order."""
    return dict(zip(dataset.target_names, values, strict=True)) if values else None


def _about_encoder(contender: Contender, fitted: Mapping[Key, Fitted]) -> dict[str, Any]:
    section, spec = contender.section, contender.encoder.spec
    mine = [one for (title, _, _), one in fitted.items() if title == contender.title]
    return {
        "label": contender.title,
        **asdict(spec),
        "weights": _weights(contender),
        "n_parameters": contender.encoder.n_parameters(),
        "n_trainable": mine[0].n_trainable,
        "freeze": "all" if contender.cut.frozen else section.freeze,
        "layer": section.layer,
        "engine": contender.encoder.engine_at(contender.cut),
        "cut": contender.cut.name,
        "head": "ridge" if contender.closed_form else section.head,
        "clip_embeddings": section.clip_embeddings,
        "clips": asdict(contender.plan),
        "training": None if contender.closed_form else section.training.model_dump(mode="json"),
        "loss": None if contender.closed_form else section.loss.model_dump(mode="json"),
        "factors": section.factors,
        "twin_of": contender.twin_of,
    }


def _weights(contender: Contender) -> str:
    """Where the weights come from; with several seeds an untrained encoder has weights of its own for each."""
    if contender.encoder.drawn and len(contender.encoders) > 1:
        return f"{RANDOM_WEIGHTS} (seeds {', '.join(map(str, contender.encoders))})"
    return contender.encoder.spec.weights


def _shared_columns(dataset: Dataset) -> set[str]:
    """Columns that sort songs into kinds; what measures a song, or differs from song to song, is left out."""
    return {column for column, counts in dataset.columns().items() if sorts_songs(counts)}


def _about_song(song: Song, columns: set[str]) -> dict[str, Any]:
    return {
        "id": song.id,
        "title": song.title,
        "artist": song.artist,
        "genre": song.genre,
        "part": song.part,
        "attributes": {column: value for column, value in song.attributes if column in columns},
        "audio": song.audio_path.name if song.audio_path else None,
        **({"curve": _about_curve(song.curve)} if song.curve else {}),
    }


def _about_curve(curve: Curve) -> dict[str, Any]:
    return {"times_s": curve.times_s.tolist(), "y_true": curve.values.tolist()}


def _cost(contender: Contender, fitted: Mapping[Key, Fitted]) -> dict[str, Any]:
    distinct = contender.distinct_features
    seconds = [s for features in distinct for s in features.seconds.values() if np.isfinite(s)]
    mine = [one for (title, _, _), one in fitted.items() if title == contender.title]
    predicting = [one.predict_s / len(one.predictions) for one in mine if one.predictions]
    return {
        "encoder": contender.title,
        "n_parameters": contender.encoder.n_parameters(),
        "extraction_s_per_song": round(float(np.median(seconds)), 4) if seconds else None,
        "prediction_s_per_song": round(float(np.median(predicting)), 6) if predicting else None,
        "n_extracted": sum(features.n_extracted for features in distinct),
        "n_reused": sum(features.n_reused for features in distinct),
        "training_s": round(sum(one.training_s for one in mine), 3),
    }


def _skipped(contenders: Sequence[Contender], dataset: Dataset) -> list[dict[str, Any]]:
    """Songs with audio that could not be used, each once, with the first reason found."""
    paths = {song.id: song.audio_path for song in dataset.songs}
    reasons: dict[str, str] = {}
    for contender in contenders:
        for features in contender.distinct_features:
            for song, reason in features.skipped.items():
                if paths[song] is not None or not contender.encoder.needs_audio:
                    reasons.setdefault(song, f"{contender.title}: {reason}")
    return [
        {"song_id": song, "path": path.name if (path := paths[song]) else None, "reason": reason}
        for song, reason in reasons.items()
    ]
