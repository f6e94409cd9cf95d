"""Shows on a copy of DEAM that valence and arousal of 744 songs are exchanged, and what it costs.

    python docs/make_exchanged_labels.py --root DIR
    python docs/make_exchanged_labels.py --root DIR --features opensmile_means.csv --picture exchanged.png

Everything printed is computed from the copy. `--features` (a CSV, first column the song id) adds the check against the
sound, where it has a column of loudness, and the scores of a ridge on the labels as distributed and put right.
`docs/exchanged-labels.md` tells what the tables mean.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import affekt
from affekt.data import Dataset
from affekt.data.deam import DeamCopy, build_dataset, part_of, read_deam
from affekt.data.exchange import measure_agreement
from affekt.evaluation import metrics

PARTS = ("2013", "2014", "2015")
#: Columns that tell how loud a song is (openSMILE's sum of the auditory spectrum); the first one found is taken.
LOUDNESS = ("audspec_lengthL1norm_sma_amean", "pcm_RMSenergy_sma_amean", "loudness")
SPLITS: dict[str, dict[str, Any]] = {
    "artist-disjoint": {"group": "artist"},
    "artists may be shared": {"group": None},
}
CENTRE = 5.0


def main() -> None:
    """Print all tables that the copy allows, and draw the picture if asked to."""
    options = _options()
    copy = read_deam(options.root)
    raw, corrected = (build_dataset(copy, labels) for labels in ("raw", "corrected"))
    for lines in (_agreement(copy), _cost_for_a_perfect_model(raw, corrected)):
        print("\n".join([*lines, ""]))
    if options.features:
        print("\n".join([*_loudness(raw, options.features), ""]))
        print("\n".join([*_ridge(raw, corrected, options.features, options.seeds), ""]))
    if options.picture:
        draw(copy, options.picture)
        print(f"Picture: {options.picture}")


def _agreement(copy: DeamCopy) -> Iterator[str]:
    """Static annotations as the file names them against the mean of those over time."""
    yield "Pearson's r of static annotations, as the file names them, with the mean of those over time"
    yield from _head("part", "songs", "V ~ V", "V ~ A", "A ~ A", "A ~ V", "contrast", "clear votes", "against")
    for part, chosen in _by_part(copy.ids).items():
        a = measure_agreement(copy.ids[chosen], copy.mean[chosen], copy.dynamic)
        numbers = (a.valence_valence, a.valence_arousal, a.arousal_arousal, a.arousal_valence, a.contrast)
        yield _row(part, a.n_songs, *(f"{value:.3f}" for value in numbers), a.n_clear, len(a.contrary))


def _cost_for_a_perfect_model(raw: Dataset, corrected: Dataset) -> Iterator[str]:
    """What somebody who knew every true label would score against the file, and how many songs change their place."""
    y_file, y_true = raw.targets(), corrected.targets()
    yield "Somebody who knows every label, scored against the file as distributed (all songs)"
    yield from _head("", "valence", "arousal")
    for name, metric in {"R2": metrics.r2, "Pearson r": metrics.pearson, "RMSE": metrics.rmse}.items():
        yield _row(name, *(f"{value:.3f}" for value in metric(y_true=y_file, y_pred=y_true)))
    moved = metrics.quadrants(y_file, centre=CENTRE) != metrics.quadrants(y_true, centre=CENTRE)
    changed = (y_file != y_true).any(axis=1)
    yield f"{changed.sum()} songs have other labels; {moved.sum()} of them change their quadrant."


def _loudness(raw: Dataset, features: Path) -> Iterator[str]:
    """Correlation of a song's loudness with the labels of the file, part by part."""
    import pandas as pd

    table = pd.read_csv(features, index_col=0)
    column = next((name for name in LOUDNESS if name in table.columns), None)
    if column is None:
        yield f"{features.name} has no column {' or '.join(LOUDNESS)}: the labels are not held against the sound."
        return
    yield f"Pearson's r of {column} with the labels of the file"
    yield from _head("part", "songs", "valence", "arousal")
    by_id = {str(song): float(value) for song, value in table[column].items()}
    for part, chosen in _by_part(np.array([int(song) for song in raw.ids])).items():
        pairs = [(by_id[s.id], *s.targets) for s, own in zip(raw.songs, chosen, strict=True) if own and s.id in by_id]
        loud, valence, arousal = np.array(pairs).T
        yield _row(part, len(pairs), *(f"{np.corrcoef(loud, labels)[0, 1]:.2f}" for labels in (valence, arousal)))


def _ridge(raw: Dataset, corrected: Dataset, features: Path, n_seeds: int) -> Iterator[str]:
    """R2 of a ridge on the features, trained and scored on the labels of the file or on those put right."""
    yield f"R2 of a ridge on {features.name}, {n_seeds} seeds x 5 folds, with its 95 % interval"
    yield from _head("labels", "folds", "valence", "arousal")
    for labels, dataset in (("as distributed", raw), ("put right", corrected)):
        for folds, split in SPLITS.items():
            yield _row(labels, folds, *_scores(dataset, features, n_seeds, split))


def _scores(dataset: Dataset, features: Path, n_seeds: int, split: Mapping[str, Any]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        results = affekt.compare(
            dataset, [f"precomputed:{features}"], seeds=n_seeds, out=Path(folder, "run"), quiet=True, split=split
        )
        rows = results.table().set_index("target")
    return [f"{rows.r2[t]:.3f} [{rows.r2_low[t]:.3f}, {rows.r2_high[t]:.3f}]" for t in dataset.target_names]


def draw(copy: DeamCopy, path: Path) -> None:
    """Static "valence" over the two annotations over time, for the part that is exchanged and the one that is not."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 7.4), layout="constrained")
    axes = figure.subplots(2, 2, sharey=True, sharex=True)
    for row, part in zip(axes, PARTS[:2], strict=True):
        chosen = [i for i in np.flatnonzero(_by_part(copy.ids)[part]) if int(copy.ids[i]) in copy.dynamic]
        over_time = np.array([copy.dynamic[int(copy.ids[i])] for i in chosen])
        for axis, column, name in zip(row, (0, 1), ("valence", "arousal"), strict=True):
            x, y = over_time[:, column], copy.mean[chosen, 0]
            axis.scatter(x, y, s=7, alpha=0.5, color=("#0072B2", "#D55E00")[column], linewidths=0)
            axis.set_title(f"{part}, {len(chosen)} songs: r = {np.corrcoef(x, y)[0, 1]:.3f}", fontsize=11)
            axis.set_xlabel(f"{name} over time, mean (-1 to 1)")
            axis.set_ylabel("static “valence” of the file (1 to 9)")
            axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _by_part(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Which songs belong to each part that the copy has, (n_songs,) of bool."""
    own = np.array([part_of(int(song)) for song in ids])
    return {part: own == part for part in PARTS if (own == part).any()}


def _head(*names: str) -> list[str]:
    return [_row(*names), "|" + "---|" * len(names)]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of DEAM")
    parser.add_argument("--features", type=Path, help="CSV of features by song id")
    parser.add_argument("--seeds", type=int, default=3, help="splits of the ridge")
    parser.add_argument("--picture", type=Path, help="PNG or SVG to write")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
