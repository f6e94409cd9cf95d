"""Annotations over time on few real songs: can a model learn them at all, and does it carry over to one it never heard?

    python docs/make_dynamic_check.py --root DIR [--encoders handcrafted musicnn] [--songs 10]

DIR holds DEAM with some of its audio. First a head is trained and scored on the same songs, on purpose: where even this
fails, sound and annotation are not aligned. Then each song is left out once. Printed: Pearson's r of the predicted and
the annotated curve within each song, valence / arousal, whatever it is.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import affekt
from affekt.audio.frames import FramePlan
from affekt.data import Dataset, load_dataset
from affekt.data.splits import Fold
from affekt.encoders import build_encoder
from affekt.evaluation import metrics
from affekt.features.extract import extract
from affekt.features.store import Store
from affekt.training.ridge import ALPHAS
from affekt.training.table import ClipTable, Standardiser, Task

WINDOW_S = 4.0
#: The weakest regularisation that is ever tried: overfitting is the purpose.
WEAKEST = float(ALPHAS[0])


def main() -> None:
    """Print both tables."""
    arguments = _arguments()
    whole = load_dataset("deam", root=arguments.root, annotations="dynamic")
    dataset = whole.select([song.id for song in whole.with_audio][: arguments.songs])
    print(f"{len(dataset)} songs, {sum(len(s.curve or ()) for s in dataset.songs)} moments, {WINDOW_S:g} s before each")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.encoders:
            learnt = overfitted(dataset, name, Store(Path(folder, "store")))
            left_out = one_left_out(dataset, name, Path(folder), Store(Path(folder, "store")))
            print(f"\n{name}: r of valence / arousal within each song")
            print("song    trained on it    left out")
            for song in dataset.ids:
                print(f"{song:6}  {_pair(learnt[song])}   {_pair(left_out[song])}")
            print(f"mean    {_pair(_mean(learnt))}   {_pair(_mean(left_out))}")


def overfitted(dataset: Dataset, name: str, store: Store) -> dict[str, np.ndarray]:
    """Correlation within each song, by a ridge that was trained on these very songs, (n_targets,)."""
    from sklearn.linear_model import Ridge

    encoder = build_encoder(name, "pretrained", 0)
    arrays = extract(encoder, encoder.cut("all"), dataset.songs, FramePlan(WINDOW_S), store).arrays
    labels = {song.id: song.curve.values for song in dataset.songs if song.curve}
    songs = tuple(arrays)
    task = Task(ClipTable(arrays), labels, Fold(songs, songs, songs), seed=0)
    x, y = Standardiser.fit(task.x(songs)[0]).apply(task.x(songs)[0]), task.y(songs)
    predicted = task.by_song(songs, Ridge(alpha=WEAKEST).fit(x, y).predict(x))
    return {song: metrics.pearson(y_true=labels[song], y_pred=predicted[song]) for song in songs}


def one_left_out(dataset: Dataset, name: str, folder: Path, store: Store) -> dict[str, np.ndarray]:
    """Correlation within each song, by a model that never heard it, (n_targets,)."""
    results = affekt.compare(
        dataset,
        [name],
        folds=len(dataset),
        out=folder / name,
        store=store,
        quiet=True,
        split={"folds": len(dataset), "group": None},
        frames={"window_s": WINDOW_S},
    )
    truth = {song.id: song.curve.values for song in dataset.songs if song.curve}
    return {c.song_id: metrics.pearson(y_true=truth[c.song_id], y_pred=np.array(c.y_pred)) for c in results.curves}


def _mean(found: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.mean(list(found.values()), axis=0)


def _pair(values: Sequence[float] | np.ndarray) -> str:
    return " / ".join(f"{value:5.2f}" for value in values)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder of DEAM")
    parser.add_argument("--encoders", nargs="+", default=["handcrafted", "musicnn"])
    parser.add_argument("--songs", type=int, default=10, help="how many of the songs with audio")
    return parser.parse_args()


if __name__ == "__main__":
    main()
