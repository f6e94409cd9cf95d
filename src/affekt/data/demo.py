"""The built-in demo corpus: generated music whose emotion is known by construction, in DEAM's own layout.

`load_demo` generates the corpus once and reads it back like DEAM. Six cues are drawn for each piece; valence and
arousal are weighted sums of them; ten of sixty simulated raters rate each piece in whole numbers; `synthesis.render`
makes the sound. Since the truth behind the ratings is known, so is the highest R2 that a model could reach.

For annotations over time there is a corpus of its own, whose songs change: each has three to five sections with cues of
their own, and the simulated annotation follows the music with a delay, as people's do.

Conventions: valence stands before arousal; static annotations are on DEAM's scale 1 to 9, dynamic ones on -1 to 1.
Ids begin at 1001, in the part of DEAM that is not exchanged. Nothing drawn depends on the number of workers.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from affekt.data.base import Dataset
from affekt.data.curves import check_annotations
from affekt.data.deam import LABELS, SCALE, STATIC_NAMES, SYNTHETIC_NAME, load_deam
from affekt.data.synthesis import CUE_NAMES, SAMPLE_RATE_HZ, STYLES, Cues, Piece, render
from affekt.errors import DataError
from affekt.files import storage_errors
from affekt.paths import cache_home
from affekt.progress import bar, console

# Part of the cache's key. Raise it with every change to what is drawn, rendered or written.
GENERATOR_VERSION = 1
FIRST_ID = 1001
MAX_SONGS = 1000
N_RATERS = 10
LENGTH_S = 45.0

# Standardised weights of mode, tempo, loudness, articulation, register, brightness, brought to unit length below.
# Order and sign after Eerola, Friberg & Bresin (2013), Frontiers in Psychology 4:487, and Gabrielsson & Lindstroem
# (2010), "The role of structure in the musical expression of emotions", in Juslin & Sloboda (eds.), Handbook of Music
# and Emotion; the numbers are ours. Eerola et al. found the cues linear and additive (77 to 89 % of the variance) and
# ranked them mode, tempo, register, dynamics, articulation, timbre. They had happiness, sadness, peacefulness and
# fear rated, not valence and arousal: valence follows their happy against sad and scary, arousal the reviewed
# studies of activity, which name tempo and loudness first.
_VALENCE_WEIGHTS = (0.50, 0.40, -0.15, 0.25, 0.30, -0.10)
_AROUSAL_WEIGHTS = (-0.10, 0.60, 0.45, 0.35, 0.10, 0.30)

# Chosen so that the labels spread, and the raters disagree, as in DEAM's songs 1 to 2000: standard deviation of the
# labels 1.11 / 1.34, standard deviation of a song's ratings 1.6; ceilings near .8 and .85.
_CENTRE = (5.0, 5.0)
_TRUTH_SD = (1.05, 1.30)
_RATER_BIAS_SD = 0.8
_RATER_NOISE_SD = 1.4
_POOL = 60

# Of songs that change: how many sections, and the share of a cue's variance that lies between them.
_SECTIONS = (3, 5)
_CHANGE = 0.5
_SHORTEST_S = 6.0
# People follow the music with a delay; the number is ours.
_DELAY_S = 2.0
_FIRST_ANNOTATED_S = 15.0

# Share of a cue's variance that lies between artists, in the order of CUE_NAMES: artists have habits.
_HABIT = np.array([0.3, 0.5, 0.3, 0.3, 0.3, 0.6])
_ARTISTS_PER_SONG = 60 / 96

_FIRST_NAMES = (
    "Amber", "Birch", "Cobalt", "Dapple", "Ember", "Fallow", "Garnet", "Hazel", "Indigo", "Juniper", "Kelp", "Linden",
    "Marble", "Nettle", "Ochre", "Pewter", "Quartz", "Russet", "Saffron", "Thistle", "Umber", "Velvet", "Willow",
    "Yarrow", "Zephyr", "Alder",
)  # fmt: skip
_LAST_NAMES = (
    "Arcade", "Band", "Choir", "Duo", "Ensemble", "Fellows", "Garden", "Harbour", "Island", "Junction", "Kin",
    "Lanterns", "Machine", "Nonet", "Octet", "Parade", "Quartet", "Relay", "Sextet", "Trio", "Union", "Voices",
    "Works", "Yard", "Orchard", "Circle",
)  # fmt: skip
_KEYS = ("C", "D flat", "D", "E flat", "E", "F", "G flat", "G", "A flat", "A", "B flat", "B")

_ANNOTATIONS = Path("DEAM_Annotations/annotations")
_STATIC = _ANNOTATIONS / "annotations averaged per song/song_level" / STATIC_NAMES[0]
_DYNAMIC = _ANNOTATIONS / "annotations averaged per song/dynamic (per second annotations)"
_PER_RATER = _ANNOTATIONS / "annotations per each rater/song_level/static_annotations_songs_1_2000.csv"
_AUDIO = Path("DEAM_audio/MEMD_audio")
_METADATA = "metadata_2014.csv"


@dataclass(frozen=True)
class Section:
    """A part of a song with cues of its own; `piece` is what `render` needs."""

    start_s: float
    piece: Piece


@dataclass(frozen=True)
class DemoSong:
    """One generated song before it is rendered.

    Attributes:
        id: 1001 and up.
        sections: the first one starts at 0; a song that does not change has no other.
        artist, title: invented.
    """

    id: int
    sections: tuple[Section, ...]
    artist: str
    title: str

    @property
    def piece(self) -> Piece:
        """The song as it begins."""
        return self.sections[0].piece

    @property
    def genre(self) -> str:
        """Name of the style of accompaniment."""
        return STYLES[self.piece.style].name


@dataclass(frozen=True)
class DemoCorpus:
    """Songs and labels without any audio: cheap, for as many songs as one likes.

    Attributes:
        songs: in the order of their ids.
        truth: valence and arousal that the cues express, on the scale 1 to 9, shape (n_songs, 2).
        bias: how much higher each simulated rater rates than the truth, shape (60, 2).
        raters: who rated each song, indices into `bias`, shape (n_songs, 10).
        ratings: whole numbers 1 to 9, shape (n_songs, 10, 2).
    """

    songs: tuple[DemoSong, ...]
    truth: np.ndarray
    bias: np.ndarray
    raters: np.ndarray
    ratings: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Mean rating of each song, shape (n_songs, 2)."""
        means: np.ndarray = self.ratings.mean(axis=1)
        return means

    @property
    def label_std(self) -> np.ndarray:
        """Standard deviation of each song's ratings, divisor n as DEAM publishes it, shape (n_songs, 2)."""
        stds: np.ndarray = self.ratings.std(axis=1)
        return stds

    @property
    def cues(self) -> np.ndarray:
        """Standardised cues in the order of `CUE_NAMES`, shape (n_songs, 6)."""
        return np.stack([song.piece.cues.as_row() for song in self.songs])

    @property
    def ceiling(self) -> tuple[float, float]:
        """The highest R2 that a perfect model can be expected to reach on these songs, valence and arousal.

        Known from the construction: variance over songs of the label to be expected, over that variance plus the mean
        error variance of the labels.
        """
        expected, error_variance = label_moments(self.truth, self.bias)
        signal = expected.var(axis=0, ddof=1)
        valence, arousal = signal / (signal + error_variance.mean(axis=0))
        return float(valence), float(arousal)


def load_demo(
    root: str | Path | None = None,
    n_songs: int = 96,
    seed: int = 0,
    labels: str = "corrected",
    targets: Sequence[str] | None = None,
    progress: bool = True,
    annotations: str = "static",
) -> Dataset:
    """Load the demo corpus, generating it first where that was not done yet.

    It lies in a folder `demo-<key>` of its own in `root`, one for each number of songs, seed and generator version, and
    for annotations over time another, of songs that change.
    Generating 96 songs takes about 20 s on two cores and 23 MB.

    Args:
        root: folder to keep the corpus in; None takes the user's cache folder (`affekt.paths.cache_home`).
        n_songs: 2 to 1000.
        seed: 0 or more; another seed is another corpus.
        labels: as for DEAM. The demo's labels are never exchanged, so that "corrected" and "raw" are the same.
        targets: as for DEAM: "valence", "arousal" or both.
        progress: show a progress bar on standard error while generating, if that is a terminal.
        annotations: "static", or "dynamic" for annotations over time, scale -1 to 1.

    Returns:
        The data set "demo", marked as synthetic, with its ceiling known by construction.

    Raises:
        DataError: an argument is out of range, or the folder holds a damaged corpus.
        StorageError: the folder cannot be written to, or the disk is full.
    """
    _check_arguments(n_songs, seed, labels)
    check_annotations("demo", annotations)
    changing = annotations == "dynamic"
    parent = cache_home() if root is None else Path(root).expanduser()
    folder = parent / f"demo-{_cache_key(n_songs, seed, changing)}"
    if not folder.exists():
        _generate_once(folder, n_songs, seed, changing, progress)
    _check_whole(folder, n_songs)
    genres = _read_genres(folder / _METADATA)
    dataset = load_deam(folder, labels=labels, targets=targets, annotations=annotations)
    # DEAM's reader takes DEAM's own genres only; those of the demo are invented.
    songs = tuple(replace(song, genre=genres.get(song.id)) for song in dataset.songs)
    return replace(dataset, name="demo", songs=songs)


def draw_corpus(n_songs: int, seed: int, changing: bool = False) -> DemoCorpus:
    """Draw songs, their emotion and their ratings; render nothing.

    Args:
        n_songs: at least 2; may exceed what `load_demo` takes.
        seed: 0 or more.
        changing: songs in several sections; a song's truth is then the mean over the annotated part.
    """
    artist_seed, rater_seed, *song_seeds = np.random.SeedSequence(seed).spawn(2 + n_songs)
    songs = _draw_songs(np.random.default_rng(artist_seed), song_seeds, changing)
    truth = np.stack([felt_over_time(song, annotated_s()).mean(axis=0) for song in songs])
    rng = np.random.default_rng(rater_seed)
    bias = rng.normal(0.0, _RATER_BIAS_SD, size=(_POOL, 2))
    bias -= bias.mean(axis=0)  # what all raters share would shift every label alike: an offset, no disagreement
    raters, ratings = _rate(rng, truth, bias)
    return DemoCorpus(songs, truth, bias, raters, ratings)


def true_emotion(cues: np.ndarray) -> np.ndarray:
    """Valence and arousal that cues express: a weighted sum, on the scale 1 to 9.

    Args:
        cues: standardised, in the order of `CUE_NAMES`, shape (n_songs, 6).

    Returns:
        Shape (n_songs, 2), within 1 and 9.
    """
    weights = np.array([_VALENCE_WEIGHTS, _AROUSAL_WEIGHTS])  # (target, cue)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    emotion: np.ndarray = np.clip(_CENTRE + cues @ weights.T * _TRUTH_SD, *SCALE)
    return emotion


def annotated_s() -> np.ndarray:
    """When songs are annotated, in seconds: at 2 Hz from 15 s on, as in DEAM."""
    return np.arange(_FIRST_ANNOTATED_S, LENGTH_S, 0.5)


def felt_over_time(song: DemoSong, times_s: np.ndarray) -> np.ndarray:
    """Valence and arousal that listeners feel: what the cues express, followed with a delay.

    An exponential response with a time constant of `_DELAY_S`; a listener has settled before the song begins.

    Returns:
        Shape (n_times, 2), on the scale 1 to 9.
    """
    starts = np.array([section.start_s for section in song.sections])
    expressed = true_emotion(np.stack([section.piece.cues.as_row() for section in song.sections]))  # (section, 2)
    carried = [expressed[0]]  # what is felt as each section begins
    for before, length_s in zip(expressed, np.diff(starts), strict=False):
        carried.append(before + (carried[-1] - before) * np.exp(-length_s / _DELAY_S))
    now = np.searchsorted(starts, times_s, side="right") - 1  # (time,)
    left = np.exp(-(times_s - starts[now]) / _DELAY_S)[:, None]
    felt: np.ndarray = expressed[now] + (np.array(carried)[now] - expressed[now]) * left
    return felt


def label_moments(truth: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expectation and error variance of a song's label, given its truth and the pool of raters.

    Exact: a rating is a normal variable rounded and held within 1 and 9, so each of nine values has a known
    probability; ten raters are drawn from the pool without replacement (Cochran 1977, Sampling Techniques, 2.6).

    Args:
        truth: shape (n_songs, 2).
        bias: shape (n_raters, 2).

    Returns:
        Both of shape (n_songs, 2).
    """
    from scipy.stats import norm

    values = np.arange(SCALE[0], SCALE[1] + 1)  # (value,)
    centre = truth[:, None, :, None] + bias[:, :, None]  # (song, rater, target, 1)
    below = norm.cdf((values[:-1] + 0.5 - centre) / _RATER_NOISE_SD)
    probability = np.diff(below, axis=-1, prepend=0.0, append=1.0)  # (song, rater, target, value)
    expected = probability @ values  # (song, rater, target)
    within = (probability @ values**2 - expected**2).mean(axis=1)
    between = expected.var(axis=1, ddof=1) * (1 - N_RATERS / len(bias))
    return expected.mean(axis=1), (within + between) / N_RATERS


# --- drawing ----------------------------------------------------------------------------------------------------


def _draw_songs(
    rng: np.random.Generator, song_seeds: Sequence[np.random.SeedSequence], changing: bool
) -> tuple[DemoSong, ...]:
    """Songs with the habits of their artists: `rng` draws the artists, each song has a generator of its own."""
    n_songs = len(song_seeds)
    n_artists = max(1, round(n_songs * _ARTISTS_PER_SONG))
    names = [_artist_name(i) for i in rng.permutation(max(n_artists, len(_FIRST_NAMES) * len(_LAST_NAMES)))]
    habits = rng.standard_normal((n_artists, len(CUE_NAMES)))
    styles = rng.integers(len(STYLES), size=n_artists)
    timbres = np.exp(0.3 * rng.standard_normal((n_artists, 6)))
    # Each artist has a song; the rest fall to artists at random, so that some have several.
    owners = rng.permutation(np.concatenate([np.arange(n_artists), rng.integers(n_artists, size=n_songs - n_artists)]))
    songs = []
    for i, (artist, song_seed) in enumerate(zip(owners, song_seeds, strict=True)):
        own = np.random.default_rng(song_seed)
        latent = np.sqrt(_HABIT) * habits[artist] + np.sqrt(1 - _HABIT) * own.standard_normal(len(CUE_NAMES))
        style = int(styles[artist] if own.random() < 0.7 else own.integers(len(STYLES)))
        piece = Piece(
            cues=_cues(latent),
            style=style,
            timbre=tuple(timbres[artist].tolist()),
            seed=int(own.integers(2**62)),
        )
        sections = _sections(own, piece, latent) if changing else (Section(0.0, piece),)
        songs.append(DemoSong(FIRST_ID + i, sections, names[artist], _title(sections[0].piece, i + 1)))
    return tuple(songs)


def _cues(latent: np.ndarray) -> Cues:
    """Cues within their limits; the mode is major or minor."""
    cues = np.clip(latent, -2.0, 2.0)
    cues[0] = 1.0 if latent[0] > 0 else -1.0
    return Cues(*cues.tolist())


def _sections(rng: np.random.Generator, piece: Piece, latent: np.ndarray) -> tuple[Section, ...]:
    """The song's cues, and how far each section departs from them; lengths are drawn, none below `_SHORTEST_S`."""
    n_sections = int(rng.integers(_SECTIONS[0], _SECTIONS[1] + 1))
    spare_s = LENGTH_S - n_sections * _SHORTEST_S
    starts_s = np.sort(rng.uniform(0.0, spare_s, n_sections - 1)) + _SHORTEST_S * np.arange(1, n_sections)
    departures = rng.standard_normal((n_sections, len(CUE_NAMES)))
    courses = np.sqrt(1 - _CHANGE) * latent + np.sqrt(_CHANGE) * departures  # (section, cue)
    pieces = [replace(piece, cues=_cues(course)) for course in courses]
    return tuple(Section(float(start), one) for start, one in zip([0.0, *starts_s], pieces, strict=True))


def _rate(rng: np.random.Generator, truth: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raters (n_songs, 10) and their ratings (n_songs, 10, 2): truth, the rater's own bias, noise; whole numbers."""
    raters = np.argsort(rng.random((len(truth), len(bias))), axis=1)[:, :N_RATERS]
    noise = rng.normal(0.0, _RATER_NOISE_SD, size=(len(truth), N_RATERS, 2))
    ratings = np.clip(np.rint(truth[:, None, :] + bias[raters] + noise), *SCALE).astype(int)
    return raters, ratings


def _dynamic(song: DemoSong) -> tuple[np.ndarray, np.ndarray]:
    """Times in ms (n,) and annotations (n, 2) on -1 to 1: what is felt, and a slow drift around it, 0 on average."""
    time_ms = np.rint(1000 * annotated_s()).astype(int)
    rng = np.random.default_rng([song.piece.seed, 2])
    periods_s = rng.uniform(10.0, 40.0, size=(3, 2))
    phases = rng.uniform(0.0, 2 * np.pi, size=(3, 2))
    drift = np.sin(2 * np.pi * time_ms[:, None, None] / 1000 / periods_s + phases).sum(axis=1) * 0.04  # (time, 2)
    middle, half = (SCALE[0] + SCALE[1]) / 2, (SCALE[1] - SCALE[0]) / 2
    felt = felt_over_time(song, time_ms / 1000)
    return time_ms, np.clip((felt - middle) / half + drift - drift.mean(axis=0), -1.0, 1.0)


def _artist_name(i: int) -> str:
    last, first = divmod(int(i), len(_FIRST_NAMES))
    again, last = divmod(last, len(_LAST_NAMES))
    return f"{_FIRST_NAMES[first]} {_LAST_NAMES[last]}" + (f" {again + 1}" if again else "")


def _title(piece: Piece, number: int) -> str:
    mode = "major" if piece.cues.mode > 0 else "minor"
    return f"{STYLES[piece.style].name} no. {number} in {_KEYS[piece.cues.tonic_midi % 12]} {mode}"


# --- the cache --------------------------------------------------------------------------------------------------


def _check_arguments(n_songs: int, seed: int, labels: str) -> None:
    if isinstance(n_songs, bool) or not isinstance(n_songs, int) or not 2 <= n_songs <= MAX_SONGS:
        raise DataError(
            f"demo: n_songs = {n_songs!r}; allowed: a whole number from 2 to {MAX_SONGS}. The demo is made for 96."
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DataError(f"demo: seed = {seed!r}; allowed: a whole number, 0 or more.")
    if labels not in LABELS:
        raise DataError(f'demo: labels = "{labels}"; allowed: {", ".join(LABELS)}.')


def _cache_key(n_songs: int, seed: int, changing: bool) -> str:
    what = {"generator": GENERATOR_VERSION, "n_songs": n_songs, "seed": seed} | ({"changing": True} if changing else {})
    text = json.dumps(what)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _check_whole(folder: Path, n_songs: int) -> None:
    """A corpus gets its name when finished, so what is missing now was taken away later."""
    missing = [str(path) for path in (SYNTHETIC_NAME, _STATIC, _METADATA) if not (folder / path).is_file()]
    n_audio = sum(1 for path in (folder / _AUDIO).glob("*") if path.suffix in (".mp3", ".flac"))
    if n_audio < n_songs:
        missing.append(f"{n_songs - n_audio} of {n_songs} audio files")
    if missing:
        raise DataError(
            f"{folder}: the demo corpus is damaged: {', '.join(missing)} missing. "
            "Delete this folder; it is then generated again."
        )


def _generate_once(folder: Path, n_songs: int, seed: int, changing: bool, progress: bool) -> None:
    """Generate beside `folder` under a hidden name and rename when all is there; whatever happens, tidy up."""
    if folder.parent.exists() and not folder.parent.is_dir():
        raise DataError(f"{folder.parent}: not a folder. Name a folder to keep the demo corpus in.")
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        try:
            temporary.chmod(0o755)  # mkdtemp makes it private; a root may be shared
            write_corpus(temporary, draw_corpus(n_songs, seed, changing), seed, progress)
            _publish(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        # Another process was first. Its corpus is the same as ours: everything follows from the key.
        if not folder.is_dir():
            raise


# --- writing ----------------------------------------------------------------------------------------------------


def write_corpus(folder: Path, corpus: DemoCorpus, seed: int, progress: bool = True) -> None:
    """Write a corpus in DEAM's layout, audio first and the mark `SYNTHETIC.json` last.

    Args:
        folder: exists and is empty.
        corpus: up to 1000 songs.
        seed: what the corpus was drawn from, for the record.
        progress: show a bar on standard error, if that is a terminal.
    """
    for path in (_AUDIO, _STATIC.parent, _DYNAMIC, _PER_RATER.parent):
        (folder / path).mkdir(parents=True)
    _write_audio(folder / _AUDIO, corpus.songs, progress)
    _write_static(folder / _STATIC, corpus)
    _write_dynamic(folder / _DYNAMIC, corpus)
    _write_per_rater(folder / _PER_RATER, corpus)
    rows = [(song.id, song.artist, "Synthetic music", song.title, song.genre) for song in corpus.songs]
    _write_rows(folder / _METADATA, ("song_id", "artist", "album", "title", "Genre"), rows)
    mark = {
        "synthetic": True,
        "note": "Synthetic music: generated pieces and simulated raters, not recordings and people.",
        "n_raters": N_RATERS,
        "ceiling": corpus.ceiling,
        "generator": GENERATOR_VERSION,
        "n_songs": len(corpus.songs),
        "seed": seed,
    }
    (folder / SYNTHETIC_NAME).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")


def _write_audio(folder: Path, songs: Sequence[DemoSong], progress: bool) -> None:
    """Render and encode all songs, in threads: the encoder, where nearly all time goes, runs without the GIL."""
    workers = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 16))
    shown = progress and console().is_terminal  # a loader that is called from a program writes nothing by itself
    with bar("composing the demo corpus (synthetic music)", len(songs), quiet=not shown) as advance:
        try:
            waiting: list[Future[None]] = [workers.submit(_write_song, folder, song) for song in songs]
            for done in as_completed(waiting):
                done.result()
                advance()
        finally:
            workers.shutdown(cancel_futures=True)


def _write_song(folder: Path, song: DemoSong) -> None:
    """One audio file with its tags: MP3 as in DEAM, or FLAC where the installed libsndfile cannot write MP3."""
    import soundfile

    ends_s = [section.start_s for section in song.sections[1:]] + [LENGTH_S]
    parts = [render(part.piece, end_s - part.start_s) for part, end_s in zip(song.sections, ends_s, strict=True)]
    samples = np.concatenate(parts)
    kind = "MP3" if "MP3" in soundfile.available_formats() else "FLAC"
    path = folder / f"{song.id}.{kind.lower()}"
    try:
        with soundfile.SoundFile(path, "w", samplerate=SAMPLE_RATE_HZ, channels=1, format=kind) as file:
            file.artist, file.title, file.comment = song.artist, song.title, "synthetic music"
            file.write(samples)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{error}") from error  # in practice a full disk; `storage_errors` says what to do


def _write_static(path: Path, corpus: DemoCorpus) -> None:
    """Mean annotations per song, padded as DEAM pads them: the decimal points stand below each other."""
    lines = ["song_id, valence_mean, valence_std, arousal_mean, arousal_std"]
    for song, mean, std in zip(corpus.songs, corpus.labels, corpus.label_std, strict=True):
        values = (mean[0], std[0], mean[1], std[1])
        cells = (f"{round(value, 2):g}" for value in values)
        padded = [(cell if "." in cell else f"{cell}  ").ljust(4) for cell in cells]
        lines.append(f"{song.id:>7},{padded[0]:>13},{padded[1]:>12},{padded[2]:>13},{padded[3]:>12}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_dynamic(folder: Path, corpus: DemoCorpus) -> None:
    series = [_dynamic(song) for song in corpus.songs]
    for column, name in enumerate(("valence", "arousal")):
        header = ("song_id", *(f"sample_{ms}ms" for ms in series[0][0]))
        rows = [
            (song.id, *(f"{value:.7f}" for value in values[:, column]))
            for song, (_, values) in zip(corpus.songs, series, strict=True)
        ]
        _write_rows(folder / f"{name}.csv", header, rows)


def _write_per_rater(path: Path, corpus: DemoCorpus) -> None:
    rows = [
        (f"simulated-{rater + 1:02d}", song.id, *ratings.tolist())
        for song, raters, rated in zip(corpus.songs, corpus.raters, corpus.ratings, strict=True)
        for rater, ratings in zip(raters, rated, strict=True)
    ]
    _write_rows(path, ("workerId", "SongId", "Valence", "Arousal"), rows)


def _write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _read_genres(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["song_id"]: row["Genre"] for row in csv.DictReader(file)}
