"""Does loudness go with arousal, as it must, or with valence, as it does where the two are exchanged?

Loudness is the level of the whole file in dB. Correlations are Spearman's; the interval of their difference is from
resampled songs (percentiles, 95 %).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from affekt.data.audit.records import Loudness
from affekt.data.audit.sound import Sound
from affekt.data.base import Dataset, Song

#: Over fewer songs a difference between two correlations proves nothing.
FEWEST_SONGS = 100
_N_RESAMPLES = 1000


def measure_loudness(sounds: Sequence[Sound], dataset: Dataset) -> Iterator[Loudness]:
    """For each part with audio, and for all songs where there are several parts.

    Args:
        sounds: files that can be used.
        dataset: with labels that are known to be right.
    """
    level = {sound.song_id: sound.level_db for sound in sounds if np.isfinite(sound.level_db)}
    heard = [song for song in dataset.songs if song.id in level]
    parts: dict[str, list[Song]] = {}
    for song in heard:
        parts.setdefault(song.part or "all songs", []).append(song)
    if len(parts) > 1:
        parts["all songs"] = heard
    for name, songs in parts.items():
        if len(songs) > 2:
            yield _loudness(name, np.array([[level[song.id], *song.targets] for song in songs]))


def _loudness(name: str, values: np.ndarray) -> Loudness:
    """From level, valence and arousal, shape (n_songs, 3)."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=0)
    valence, arousal = _correlations(ranks[None])[0]
    if len(values) < FEWEST_SONGS:
        return Loudness(name, len(values), float(valence), float(arousal), None)
    rng = np.random.default_rng(len(values))
    drawn = rng.integers(len(values), size=(_N_RESAMPLES, len(values)))
    resampled = np.concatenate([_correlations(ranks[some]) for some in np.array_split(drawn, 20)])  # (resample, target)
    low, high = np.nanpercentile(resampled[:, 1] - resampled[:, 0], [2.5, 97.5])
    return Loudness(name, len(values), float(valence), float(arousal), (float(low), float(high)))


def _correlations(ranks: np.ndarray) -> np.ndarray:
    """Of the first column with the second and third, shape (n, n_songs, 3) to (n, 2); 0 where one is constant."""
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    covariance = np.einsum("nsk,ns->nk", centred, centred[:, :, 0])  # (n, 3)
    spread = np.sqrt(np.einsum("nsk,nsk->nk", centred, centred))
    product = spread[:, 1:] * spread[:, :1]
    return np.divide(covariance[:, 1:], product, out=np.zeros_like(product), where=product > 0)
