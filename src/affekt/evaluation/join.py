"""Two runs side by side: one `Results` out of two, on the songs that both predicted.

Conventions: songs are the same where their ids are. Nothing is averaged over the runs: every encoder keeps the
annotations, seeds and folds of its own run, and its R2 is against its own run's annotations, so that raw and corrected
labels, or folds with and without artists kept together, can be compared. `Scores` pairs the differences by resampling
the songs that both runs share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from affekt.data.base import named
from affekt.errors import DataError, problems
from affekt.evaluation.results import Results

Song = dict[str, Any]


def join(first: Results, second: Results, names: tuple[str, str]) -> Results:
    """One comparison out of two runs on the same songs.

    An encoder keeps its label; where both runs have it, it is called "label (run)". `encoders` says for each its `run`
    and its `own_label` there. `run["joined"]` and `dataset["runs"]` hold what both runs recorded of themselves. Keys of
    `dataset` on which the runs differ, such as `labels` and `ceiling`, are None there; `Results.dataset_of(label)` and
    `Results.ceiling(label)` give those of an encoder's own run.

    Args:
        first: a run.
        second: another, of the same data set. Seeds, folds, annotations and encoders may differ.
        names: what to call the two.

    Returns:
        results to be scored and reported like any other, with the songs that both runs predicted.

    Raises:
        DataError: the runs cannot be compared: another data set, other targets or another scale, fewer than two songs
            in common, songs that share ids and nothing else, the same name twice, or a run that is joined itself.
    """
    runs = (first, second)
    _check(first, second, names)
    common = _common_ids(first, second)
    renamed = _new_labels(first, second, names)
    return Results(
        dataset=_dataset(runs, names, common),
        targets=list(first.targets),
        encoders=[row for args in zip(runs, renamed, names, strict=True) for row in _encoders(*args)],
        songs=_songs(first, second, common),
        predictions=[
            p._replace(encoder=labels[p.encoder])
            for run, labels in zip(runs, renamed, strict=True)
            for p in run.predictions
            if p.song_id in common
        ],
        history=_relabelled([run.history for run in runs], renamed),
        cost=_relabelled([run.cost for run in runs], renamed),
        fits=_relabelled([run.fits for run in runs], renamed),
        skipped=[
            {**row, "reason": f"{name}: {row.get('reason')}"}
            for run, name in zip(runs, names, strict=True)
            for row in run.skipped
        ],
        run={
            "name": " and ".join(names),
            "names": list(names),
            "joined": [run.run for run in runs],
            "join_notes": _notes(first, second, names, common),
        },
    )


def _check(first: Results, second: Results, names: tuple[str, str]) -> None:
    found = []
    if names[0] == names[1]:
        found.append(f'both are called "{names[0]}": give them two names.')
    for run, name in zip((first, second), names, strict=True):
        if "joined" in run.run:
            found.append(f"{name}: is itself made of two runs. Compare two runs at a time.")
    for what, one, other in (
        ("data set", first.dataset.get("name"), second.dataset.get("name")),
        ("synthetic", bool(first.dataset.get("synthetic")), bool(second.dataset.get("synthetic"))),
        ("targets", sorted(first.targets), sorted(second.targets)),
        ("scale", first.dataset.get("scale"), second.dataset.get("scale")),
    ):
        if one != other and None not in (one, other):
            found.append(f"{what}: {_plain(one)} in {names[0]}, {_plain(other)} in {names[1]}; they must be the same.")
    if found:
        raise DataError(problems("the two runs to compare", found))
    common = _common_ids(first, second)
    if len(common) < 2:
        raise DataError(
            f"{len(common)} songs were predicted both in {names[0]} and in {names[1]}; at least two are needed. "
            "Compare runs of the same data set."
        )
    _check_same_songs(first, second, names, common)


def _check_same_songs(first: Results, second: Results, names: tuple[str, str], common: set[str]) -> None:
    """Ids are often just numbers: that two songs are one is believed where title or file name agree."""
    by_id = [{song["id"]: song for song in run.songs} for run in (first, second)]
    known = [
        (key, i) for i in sorted(common) for key in ("title", "audio") if all(songs[i].get(key) for songs in by_id)
    ]
    unlike = sorted({i for key, i in known if by_id[0][i][key] != by_id[1][i][key]})
    if len(unlike) > len({i for _, i in known}) / 2:
        raise DataError(
            f"{len(unlike)} of {len(common)} songs have the same id in {names[0]} and {names[1]}, but another title or "
            f"file name: {named(unlike)}. Compare runs of the same data set."
        )


def _common_ids(first: Results, second: Results) -> set[str]:
    return {p.song_id for p in first.predictions} & {p.song_id for p in second.predictions}


def _new_labels(first: Results, second: Results, names: tuple[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The new label of each encoder, for both runs."""
    both = set(first.labels) & set(second.labels)
    mine, theirs = (
        {label: f"{label} ({name})" if label in both else label for label in run.labels}
        for run, name in zip((first, second), names, strict=True)
    )
    labels = [*mine.values(), *theirs.values()]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise DataError(f"Two encoders would be called {named(twice)}. Give the runs other names than {names}.")
    return mine, theirs


def _encoders(run: Results, labels: dict[str, str], name: str) -> list[dict[str, Any]]:
    rows = []
    for encoder in run.encoders:
        own = encoder["label"]
        row = {**encoder, "label": labels[own], "own_label": own, "run": name}
        if encoder.get("twin_of"):
            row["twin_of"] = labels.get(encoder["twin_of"], encoder["twin_of"])
        rows.append(row)
    return rows


def _relabelled(
    rows_by_run: Sequence[list[dict[str, Any]]], labels_by_run: Sequence[dict[str, str]]
) -> list[dict[str, Any]]:
    return [
        {**row, "encoder": labels.get(row["encoder"], row["encoder"])}
        for rows, labels in zip(rows_by_run, labels_by_run, strict=True)
        for row in rows
    ]


def _songs(first: Results, second: Results, common: set[str]) -> list[Song]:
    """What either run knows of each common song, the first one's word before the second's."""
    others = {song["id"]: song for song in second.songs}
    return [_merged(song, others[song["id"]]) for song in first.songs if song["id"] in common]


def _merged(song: Song, other: Song) -> Song:
    merged = {key: other.get(key) if song.get(key) is None else song[key] for key in {**song, **other}}
    attributes = {**(other.get("attributes") or {}), **(song.get("attributes") or {})}
    return {**merged, "attributes": attributes} if attributes else merged


def _dataset(runs: Sequence[Results], names: Sequence[str], common: set[str]) -> dict[str, Any]:
    first, second = (run.dataset for run in runs)
    shared = {key: first[key] if first.get(key) == second.get(key) else None for key in first if key in second}
    notes = [note for note in first.get("notes") or [] if note in (second.get("notes") or [])]
    for run, name in zip(runs, names, strict=True):
        notes += [f"{name}: {note}" for note in run.dataset.get("notes") or [] if note not in notes]
    return {
        **shared,
        "name": first.get("name") or second.get("name"),
        "scale": first.get("scale") or second.get("scale"),
        "synthetic": bool(first.get("synthetic")),
        "notes": notes,
        "n_scored": len(common),
        "left_out": _left_out(runs, names, common),
        "runs": dict(zip(names, (first, second), strict=True)),
    }


def _left_out(runs: Sequence[Results], names: Sequence[str], common: set[str]) -> list[dict[str, Any]]:
    groups = []
    for run, name in zip(runs, names, strict=True):
        groups += [{**group, "reason": f"{name}: {group['reason']}"} for group in run.dataset.get("left_out") or []]
        alone = sorted({p.song_id for p in run.predictions} - common)
        if alone:
            groups.append({"reason": f"predicted in {name} alone", "n": len(alone), "song_ids": alone})
    return groups


def _notes(first: Results, second: Results, names: tuple[str, str], common: set[str]) -> list[str]:
    """What a reader of the scores must know, first of all how far the runs are alike."""
    one, other = names
    sizes = [len({p.song_id for p in run.predictions}) for run in (first, second)]
    notes = [
        f"Two runs: {one} with {sizes[0]} songs and {other} with {sizes[1]}, scored on the {len(common)} in common."
    ]
    truth = [
        {(p.song_id, p.target): p.y_true for p in run.predictions if p.song_id in common} for run in (first, second)
    ]
    if truth[0] != truth[1]:
        songs = {song for (song, target), value in truth[0].items() if truth[1].get((song, target)) != value}
        notes.append(
            f"The annotations of {len(songs)} songs differ between {one} and {other}. R² of each encoder is against "
            "the annotations of its own run; between the runs there is no test of squared errors."
        )
    if first.curves or second.curves:
        notes.append("Songs are compared by their means over time; each run's own report has the courses.")
    tested = _test_sets(first, common), _test_sets(second, common)
    if not (tested[0] <= tested[1] or tested[1] <= tested[0]):
        notes.append(
            f"{one} and {other} drew different folds. Between the runs, a test over folds uses the test sets that both "
            "have, if there are at least two."
        )
    return notes


def _test_sets(run: Results, common: set[str]) -> set[frozenset[str]]:
    by_fold: dict[tuple[int, int], set[str]] = {}
    for p in run.predictions:
        if p.song_id in common:
            by_fold.setdefault((p.seed, p.fold), set()).add(p.song_id)
    return {frozenset(songs) for songs in by_fold.values()}


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
