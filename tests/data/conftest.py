"""Small copies of data sets, written in the layout of the real ones; DEAM with its padding."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf

PER_SONG = Path("DEAM_Annotations/annotations/annotations averaged per song")
STATIC = PER_SONG / "song_level"
DYNAMIC = PER_SONG / "dynamic (per second annotations)"
PER_RATER = Path("DEAM_Annotations/annotations/annotations per each rater/song_level")
AUDIO = Path("DEAM_audio/MEMD_audio")
FIRST_FILE = "static_annotations_averaged_songs_1_2000.csv"
SECOND_FILE = "static_annotations_averaged_songs_2000_2058.csv"


@dataclass
class SmallDeam:
    """A copy of DEAM with few songs, and the truth behind it.

    Attributes:
        truth: (valence, arousal) by song id, as they should come out with labels="corrected".
        std: their standard deviations.
        exchanged: ids whose columns stand exchanged in the static file.
    """

    root: Path
    truth: dict[int, tuple[float, float]]
    std: dict[int, tuple[float, float]]
    exchanged: set[int] = field(default_factory=set)

    def as_written(self, song: int) -> tuple[float, float]:
        valence, arousal = self.truth[song]
        return (arousal, valence) if song in self.exchanged else (valence, arousal)

    def std_as_written(self, song: int) -> tuple[float, float]:
        valence, arousal = self.std[song]
        return (arousal, valence) if song in self.exchanged else (valence, arousal)

    @property
    def first_file(self) -> Path:
        return self.root / STATIC / FIRST_FILE

    @property
    def second_file(self) -> Path:
        return self.root / STATIC / SECOND_FILE

    @property
    def dynamic_files(self) -> tuple[Path, Path]:
        return self.root / DYNAMIC / "valence.csv", self.root / DYNAMIC / "arousal.csv"


def make_deam(
    root: Path,
    n_2013: int = 30,
    n_2014: int = 30,
    n_2015: int = 12,
    exchanged: Callable[[int], bool] = lambda song: song <= 1000,
    seed: int = 0,
) -> SmallDeam:
    """Write the annotations of a small copy; ids have gaps, as the real ones do."""
    rng = np.random.default_rng(seed)
    ids = [*range(2, 2 + 3 * n_2013, 3), *range(1001, 1001 + 2 * n_2014, 2), *range(2001, 2001 + n_2015)]
    gaussian = rng.multivariate_normal([5, 5], [[1.3, 0.8], [0.8, 1.6]], size=len(ids)).clip(1, 9).round(1)
    spread = rng.uniform(0.3, 2.5, size=(len(ids), 2)).round(2)
    copy = SmallDeam(
        root,
        {song: (float(v), float(a)) for song, (v, a) in zip(ids, gaussian, strict=True)},
        {song: (float(v), float(a)) for song, (v, a) in zip(ids, spread, strict=True)},
        {song for song in ids if exchanged(song)},
    )
    write_static(copy)
    write_dynamic(copy, rng)
    return copy


def write_static(copy: SmallDeam) -> None:
    (copy.root / STATIC).mkdir(parents=True, exist_ok=True)
    first = ["song_id, valence_mean, valence_std, arousal_mean, arousal_std"]
    second = [
        "song_id, valence_mean, valence_std, valence_ max_mean, valence_max_std, valence_min_mean, valence_min_std, "
        "arousal_mean, arousal_std, arousal_max_mean, arousal_max_std, arousal_min_mean, arousal_min_std"
    ]
    for song in copy.truth:
        (v, a), (v_std, a_std) = copy.as_written(song), copy.std_as_written(song)
        if song <= 2000:
            first.append(f"{song:7d}, {v:11.5g} , {v_std:11.5g}, {a:11.5g} , {a_std:11.5g}")
        else:
            extra = "             8.6 ,            0.49,             1.4 ,            1.02"
            second.append(f"{song:7d}, {v:11.5g} , {v_std:11.5g}, {extra}, {a:11.5g} , {a_std:11.5g}, {extra}")
    copy.first_file.write_text("\n".join(first) + "\n")
    if len(second) > 1:
        copy.second_file.write_text("\n".join(second) + "\n")


def write_dynamic(copy: SmallDeam, rng: np.random.Generator) -> None:
    """Two samples a second on the scale -1 to 1; lines end where the song does, some with empty cells behind it."""
    (copy.root / DYNAMIC).mkdir(parents=True, exist_ok=True)
    header = "song_id," + ",".join(f"sample_{15000 + 500 * i}ms" for i in range(20))
    for target, path in enumerate(copy.dynamic_files):
        lines = [header]
        for song, truth in copy.truth.items():
            n = 20 if song > 2000 else 10
            samples = (truth[target] - 5) / 4 + rng.normal(0, 0.05, size=n)
            lines.append(",".join([str(song), *(f"{value:.6f}" for value in samples), *[""] * (song % 3)]))
        path.write_text("\n".join(lines) + "\n")


def write_ratings(copy: SmallDeam, turned: Callable[[int], bool] | None = None, seed: int = 1) -> dict[int, np.ndarray]:
    """Single ratings in the layout of DEAM's two files; whole numbers whose mean is the label.

    Args:
        turned: for which songs valence and arousal stand under each other's names; those of the static file by default.

    Returns:
        (valence, arousal) of each rater by song id, as they should come out with labels="corrected".
    """
    rng = np.random.default_rng(seed)
    folder = copy.root / PER_RATER
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (
        ["workerID, SongId, Valence, Arousal"],
        ["SongId, WorkerId, Arousal_Average, Valence_Average, Liking"],
    )
    truth = {}
    for song, label in copy.truth.items():
        ratings = np.column_stack([whole_ratings(value, 10, rng) for value in label])
        truth[song] = ratings
        written = ratings[:, ::-1] if (turned(song) if turned else song in copy.exchanged) else ratings
        for rater, (valence, arousal) in enumerate(written):
            if song <= 2000:
                first.append(f"worker{rater}, {song}, {valence:d} , {arousal:d}")
            else:
                second.append(f"{song}, worker{rater}, {arousal:d}, {valence:d}, n/a")
    (folder / "static_annotations_songs_1_2000.csv").write_text("\n".join(first) + "\n")
    (folder / "static_annotations_songs_2000_2058.csv").write_text("\n".join(second) + "\n")
    return truth


def whole_ratings(mean: float, n_raters: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers from 1 to 9 with a mean of one decimal."""
    ratings = np.full(n_raters, round(mean * n_raters) // n_raters)
    ratings[: round(mean * n_raters) % n_raters] += 1
    for _ in range(2 * n_raters):  # one goes up, another down
        up, down = rng.permutation(n_raters)[:2]
        if ratings[up] < 9 and ratings[down] > 1:
            ratings[up] += 1
            ratings[down] -= 1
    return ratings


def write_songs_info(root: Path, sets: dict[int, str]) -> Path:
    """emoMusic's own metadata, tabs and all, with the mark of the official split."""
    path = root / "emoMusic/annotations/songs_info.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "song_id,file_name,Artist,Song title,start of the segment (min.sec),end of the segment (min.sec),Genre,"
        "Mediaeval 2013 set"
    ]
    lines += [
        f'{song},"\t{song}.mp3","Artist {song % 7}\t","\tSong {song}\t",1.13,1.58,"\tBlues\t",{name}'
        for song, name in sets.items()
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def make_emomusic(root: Path, n_songs: int = 24, seed: int = 0) -> dict[int, tuple[float, float]]:
    """The annotations of emoMusic, arousal before valence; (valence, arousal) by song id."""
    rng = np.random.default_rng(seed)
    truth = _correlated(rng, n_songs, 5.0, 1.2, (1, 9))
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(song, a, f"{rng.uniform(0.5, 2):.4f}", v, f"{rng.uniform(0.5, 2):.4f}") for song, (v, a) in truth.items()]
    _write_csv(
        folder / "static_annotations.csv",
        ("song_id", "mean_arousal", "std_arousal", "mean_valence", "std_valence"),
        rows,
    )
    header = ("song_id", *(f"sample_{15000 + 500 * i}ms" for i in range(8)))
    for column, name in enumerate(("valence", "arousal")):
        series = [(song, *((v[column] - 5) / 4 + rng.normal(0, 0.03, size=8)).round(6)) for song, v in truth.items()]
        _write_csv(folder / f"{name}_cont_average.csv", header, series)
        _write_csv(folder / f"{name}_cont_std.csv", header, [(song, *[0.2] * 8) for song in truth])
    sets = {song: "evaluation" if i % 5 == 0 else "development" for i, song in enumerate(truth)}
    write_songs_info(root, sets).rename(folder / "songs_info.csv")
    write_audio(root, list(truth)[:3], Path("clips_45sec/clips_45seconds"))
    return truth


def make_pmemo(root: Path, n_songs: int = 24, seed: int = 0) -> dict[int, tuple[float, float]]:
    """PMEmo as released in 2019, arousal before valence; (valence, arousal) by song id."""
    rng = np.random.default_rng(seed)
    truth = _correlated(rng, n_songs, 0.6, 0.17, (0, 1))
    folder = root / "PMEmo2019/annotations"
    folder.mkdir(parents=True, exist_ok=True)
    names = ("Arousal(mean)", "Valence(mean)")
    _write_csv(folder / "static_annotations.csv", ("musicId", *names), [(song, a, v) for song, (v, a) in truth.items()])
    _write_csv(
        folder / "static_annotations_std.csv",
        ("musicId", "Arousal(std)", "Valence(std)"),
        [(song, *rng.uniform(0.05, 0.3, size=2).round(4)) for song in truth],
    )
    moments = [
        (song, 15.5 + i / 2, *np.clip(np.array([a, v]) + rng.normal(0, 0.02, size=2), 0, 1).round(4))
        for song, (v, a) in truth.items()
        for i in range(3 + song % 4)
    ]
    _write_csv(folder / "dynamic_annotations.csv", ("musicId", "frameTime", *names), moments)
    columns = ("title", "artist", "album", "duration", "chorus_start_time", "chorus_end_time")
    _write_csv(
        root / "PMEmo2019/metadata.csv",
        ("musicId", "fileName", *columns),
        [
            (song, f"{song}.mp3", f"Song, no. {song}", f"  Band-{song % 6}\t", "", 31.2, "01:02", "01:33")
            for song in truth
        ],
    )
    write_audio(root, list(truth)[:3], Path("PMEmo2019/chorus"))
    return truth


def _correlated(
    rng: np.random.Generator, n_songs: int, centre: float, spread: float, scale: tuple[float, float]
) -> dict[int, tuple[float, float]]:
    """(valence, arousal) by song id, correlated as listeners' ratings are; ids have gaps."""
    values = centre + spread * rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=n_songs)
    clipped = values.clip(*scale).round(4)
    return {2 + 3 * i: (float(v), float(a)) for i, (v, a) in enumerate(clipped)}


def _write_csv(path: Path, header: Sequence[object], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def turn_columns(path: Path, first: str, second: str) -> None:
    """Exchange the names of two columns."""
    header, rest = path.read_text().split("\n", 1)
    turned = {first: second, second: first}
    path.write_text(",".join(turned.get(name, name) for name in header.strip().split(",")) + "\n" + rest)


def write_audio(root: Path, songs: Sequence[int], folder: Path = AUDIO, suffix: str = ".mp3") -> list[Path]:
    """A tenth of a second of a tone for each song."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for song in songs:
        path = root / folder / f"{song}{suffix}"
        sf.write(path, 0.1 * np.sin(np.arange(4410) * (0.01 + song * 1e-4)), 44100)
        paths.append(path)
    return paths


def write_mark(root: Path, **more: object) -> None:
    """The mark of a generated copy."""
    mark = {"synthetic": True, "note": "Synthetic music with simulated ratings."} | more
    (root / "SYNTHETIC.json").write_text(json.dumps(mark))


def write_folder(root: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """An AudioFolder: metadata.csv and, for each plain name in its first column, a short sound."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    for row in rows:
        name = str(row[0])
        if name.endswith(".wav") and ".." not in name and not name.startswith("missing"):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, np.zeros(160), 16000)
    return root


@pytest.fixture(scope="session")
def copies() -> SimpleNamespace:
    """The makers of small data sets, for tests that need another than the default copy."""
    makers = (
        *(make_deam, write_static, write_ratings, write_songs_info, write_audio, write_mark, write_folder),
        *(make_emomusic, make_pmemo, turn_columns),
    )
    return SimpleNamespace(**{maker.__name__: maker for maker in makers})


@pytest.fixture
def small_deam(tmp_path: Path) -> SmallDeam:
    """A copy as it is distributed: the 2013 part exchanged."""
    return make_deam(tmp_path / "deam")
