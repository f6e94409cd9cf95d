"""Are valence and arousal exchanged in this copy of DEAM's static labels?

In the distributed file the numbers of the songs with ids up to 1000 (the 2013 part, 744 songs) stand under each
other's names. The dynamic annotations of the same songs are right, so a user's own copy tells: there the static
"valence" follows the dynamic arousal. Nothing is taken on trust, since somebody may have mended the copy already.

The check looks at one number for each song, how much more valence than arousal it has, once from the static and once
from the dynamic annotations (each standardised over the songs). Where the columns are right the two agree; where they
are exchanged the sign is turned. Their correlation is the *contrast*: over the distributed file -.92 for the 2013
part, +.87 for 2014 and +.96 for 2015.

Conventions: column 0 is valence, column 1 arousal, as the file names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from affekt.data.base import named

LAST_EXCHANGED_ID = 1000

State = Literal["exchanged", "straight", "unclear", "absent"]

# Random halves of mixed-up labels give a contrast near 0; the three parts of DEAM lie beyond .86 on either side.
_LEAST_CONTRAST = 0.5
# Fisher's z of 3.29: below one in a thousand by chance.
_LEAST_Z = 3.29
_FEWEST_SONGS = 8
# A song votes where both its differences exceed .75 standard deviations. In DEAM 542 songs do, and not one of them
# votes against its part; so a few contrary votes already mean that some songs were exchanged and others not.
_CLEAR_SD = 0.75
_MOST_CONTRARY = 0.02

# Hashes of the numbers under `song_id, valence_mean, valence_std, arousal_mean, arousal_std` of all ids up to 1000.
# They decide where the dynamic files are missing. The second is the same with the columns put right.
_AS_DISTRIBUTED = "7e94e84cc06f1f18e8d418250a30114d"
_AS_MENDED = "70e5749eddb06e1461575010ed0a6d7c"


@dataclass(frozen=True)
class Agreement:
    """Pearson correlations of static with dynamic annotations over the songs that have both; NaN where undefined.

    Attributes:
        n_songs: songs with both.
        valence_valence, valence_arousal, arousal_arousal, arousal_valence: static first, dynamic second.
        contrast: of the static difference valence - arousal with the dynamic one; -1 exchanged, +1 straight.
        contrary: ids of songs that clearly vote against the sign of the contrast.
        n_clear: songs that clearly vote.
    """

    n_songs: int
    valence_valence: float
    valence_arousal: float
    arousal_arousal: float
    arousal_valence: float
    contrast: float
    contrary: tuple[int, ...]
    n_clear: int

    @property
    def enough(self) -> bool:
        """Whether there are songs enough to tell anything."""
        return self.n_songs >= _FEWEST_SONGS

    @property
    def state(self) -> State:
        """What these songs say: "exchanged", "straight", or "unclear"."""
        if not self.enough or not abs(self.contrast) >= _LEAST_CONTRAST:
            return "unclear"
        z = np.arctanh(min(abs(self.contrast), 1 - 1e-12)) * np.sqrt(self.n_songs - 3)
        if z < _LEAST_Z or len(self.contrary) > _MOST_CONTRARY * self.n_clear:
            return "unclear"
        return "exchanged" if self.contrast < 0 else "straight"

    def describe(self) -> str:
        """The correlations in words, for notes and errors."""
        return (
            f"over {self.n_songs} songs static valence correlates {self.valence_arousal:.3f} with dynamic arousal and "
            f"{self.valence_valence:.3f} with dynamic valence, static arousal {self.arousal_valence:.3f} with dynamic "
            f"valence and {self.arousal_arousal:.3f} with dynamic arousal"
        )


@dataclass(frozen=True)
class Exchange:
    """The finding about the songs with ids up to 1000.

    Attributes:
        state: "exchanged", "straight", "unclear", or "absent" where the copy holds no such song.
        n_songs: songs with ids up to 1000.
        evidence: why, as a clause.
    """

    state: State
    n_songs: int
    evidence: str


def check_exchange(
    ids: np.ndarray, mean: np.ndarray, std: np.ndarray, dynamic: Mapping[int, tuple[float, float]]
) -> Exchange:
    """Find out whether a copy's static labels are exchanged for the ids up to 1000.

    Args:
        ids: song ids, shape (n_songs,).
        mean: static annotations, shape (n_songs, 2), on the scale 1 to 9.
        std: their standard deviations between raters, same shape.
        dynamic: mean (valence, arousal) over time by song id; empty where the copy has no dynamic files.
    """
    early = ids <= LAST_EXCHANGED_ID
    n_songs = int(early.sum())
    if n_songs == 0:
        return Exchange("absent", 0, f"this copy holds no song with an id up to {LAST_EXCHANGED_ID}")
    found = measure_agreement(ids[early], mean[early], dynamic)
    later = measure_agreement(ids[~early], mean[~early], dynamic)
    if later.state == "exchanged":
        whole = f"the ids above {LAST_EXCHANGED_ID} look exchanged as well, as if the dynamic files were"
        reason = f"{whole}: {later.describe()}"
    elif found.state != "unclear":
        return Exchange(found.state, n_songs, found.describe())
    else:
        reason = _why_unclear(found)
    print_of_copy = fingerprint(ids[early], mean[early], std[early])
    if print_of_copy == _AS_DISTRIBUTED:
        return Exchange("exchanged", n_songs, f"its numbers are those of the distributed file ({reason})")
    if print_of_copy == _AS_MENDED:
        return Exchange("straight", n_songs, f"its numbers are those of the distributed file, put right ({reason})")
    return Exchange("unclear", n_songs, reason)


def measure_agreement(ids: np.ndarray, mean: np.ndarray, dynamic: Mapping[int, tuple[float, float]]) -> Agreement:
    """Correlate static with dynamic annotations.

    Args:
        ids: song ids, shape (n_songs,).
        mean: static annotations, shape (n_songs, 2).
        dynamic: mean (valence, arousal) over time by song id.
    """
    both = np.array([song in dynamic for song in ids.tolist()], dtype=bool)
    shared = ids[both]
    n = len(shared)
    if n < 3:
        nan = float("nan")
        return Agreement(n, nan, nan, nan, nan, contrast=nan, contrary=(), n_clear=0)
    static_z = _standardised(mean[both])  # (song, 2)
    dynamic_z = _standardised(np.array([dynamic[song] for song in shared.tolist()]))  # (song, 2)
    r = static_z.T @ dynamic_z / n  # (static, dynamic)
    static_gap = _standardised(static_z[:, 0] - static_z[:, 1])  # (song,)
    dynamic_gap = _standardised(dynamic_z[:, 0] - dynamic_z[:, 1])  # (song,)
    contrast = float(static_gap @ dynamic_gap / n)
    clear = np.minimum(np.abs(static_gap), np.abs(dynamic_gap)) > _CLEAR_SD
    contrary = clear & (np.sign(static_gap * dynamic_gap) == -np.sign(contrast))
    return Agreement(
        n_songs=n,
        valence_valence=float(r[0, 0]),
        valence_arousal=float(r[0, 1]),
        arousal_arousal=float(r[1, 1]),
        arousal_valence=float(r[1, 0]),
        contrast=contrast,
        contrary=tuple(shared[contrary].tolist()),
        n_clear=int(clear.sum()),
    )


def fingerprint(ids: np.ndarray, mean: np.ndarray, std: np.ndarray) -> str:
    """Hash of static annotations that does not depend on the order of rows or the way numbers are written."""
    order = np.argsort(ids)
    table = np.column_stack([ids, mean[:, 0], std[:, 0], mean[:, 1], std[:, 1]])[order]  # (song, 5)
    text = "\n".join(",".join(f"{value:.4f}" for value in row) for row in table)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _why_unclear(found: Agreement) -> str:
    if found.n_songs == 0:
        return "no dynamic annotations to compare with"
    if found.n_songs < _FEWEST_SONGS:
        return f"only {found.n_songs} songs have dynamic annotations, which is too few to tell"
    if len(found.contrary) > _MOST_CONTRARY * found.n_clear:
        listed = named([str(song) for song in found.contrary])
        return f"{found.describe()}; but songs {listed} say the opposite, as if some were mended and others not"
    return found.describe()


def _standardised(values: np.ndarray) -> np.ndarray:
    """Values with mean 0 and standard deviation 1 over songs (axis 0); NaN where they are all the same."""
    if len(values) == 0:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        z: np.ndarray = (values - values.mean(axis=0)) / values.std(axis=0)
    return z
