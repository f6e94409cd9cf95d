"""Are valence and arousal exchanged in this copy of DEAM's static labels, and do they belong to their songs?

In the distributed file the numbers of the songs with ids up to 1000 (the 2013 part, 744 songs) stand under each
other's names. Nothing is taken on trust, since somebody may have mended the copy, or damaged it. There are two ways to
know:

- *By their numbers.* Where most songs are recognised as those of the distributed files (`known.py`), which way round
  they stand is known song by song; a song that is not recognised was altered.
- *By agreement.* The annotations over time of the same songs are right in the distributed files, so static labels that
  belong to their songs follow them: the static "valence" of the 2013 part follows the dynamic arousal.

Agreement looks at one number for each song, how much more valence than arousal it has, once from the static and once
from the dynamic annotations (each standardised over the songs). Where the columns are right the two agree; where they
are exchanged the sign is turned. Their correlation is the *contrast*: over the distributed file -.92 for the 2013
part, +.87 for 2014 and +.96 for 2015. It must be clear in every part that the copy holds, and few songs may stand far
from the line between static and dynamic annotation: some labels may have changed places where the whole looks sound.

Conventions: column 0 is valence, column 1 arousal, as the file names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from affekt.data.base import named
from affekt.data.known import (
    AS_DISTRIBUTED,
    EXCHANGED,
    MEANS_EXCHANGED,
    MISPLACED,
    STDS_EXCHANGED,
    Recognition,
    recognise,
)

LAST_EXCHANGED_ID = 1000
LAST_2014_ID = 2000

State = Literal["exchanged", "straight", "unclear", "absent"]

# Mixed-up labels give a contrast near 0; the three parts of DEAM lie beyond .86 on either side.
_LEAST_CONTRAST = 0.5
# Fisher's z of 3.29: below one in a thousand by chance.
_LEAST_Z = 3.29
_FEWEST_SONGS = 8
# A song votes where both its differences exceed .75 standard deviations. In DEAM 542 songs do, and not one of them
# votes against its part; so a few contrary votes already mean that some songs were exchanged and others not.
_CLEAR_SD = 0.75
_MOST_CONTRARY = 0.02
# Of a static target with its dynamic one: .912 at least in DEAM; .86 if labels of one song in twenty change places.
_LEAST_CORRELATION = 0.85
# Squared distance from the two regression lines, in robust standard deviations: .5 % of DEAM's songs lie beyond it, and
# 2 to 3 % if labels of one song in twenty change places.
_FAR = 16.0
_MOST_FAR = 0.02
# One song may be recognised by chance, four never.
_FEWEST_KNOWN = 4
# Robust standard deviation of the residuals, in standard deviations of the labels: .17 to .45 in DEAM.
_LEAST_SCALE = 0.2
# Standard deviation of the residuals over their robust one: 1.2 at most in DEAM, 1.4 if one label in ten changes place.
_MOST_UNEVEN = 1.5
# How far static annotations spread for each unit of dynamic ones: 4.3 to 5.4 in DEAM, 4 by their scales.
_LEAST_STRETCH, _MOST_STRETCH = 3.0, 7.5


@dataclass(frozen=True)
class Agreement:
    """Pearson correlations of static with dynamic annotations over the songs that have both; NaN where undefined.

    Attributes:
        n_songs: songs with both.
        valence_valence, valence_arousal, arousal_arousal, arousal_valence: static first, dynamic second.
        contrast: of the static difference valence - arousal with the dynamic one; -1 exchanged, +1 straight.
        contrary: ids of songs that clearly vote against the sign of the contrast.
        n_clear: songs that clearly vote.
        far: ids of songs whose static annotation lies far from what their dynamic one lets expect.
        unchecked: ids of songs without dynamic annotations.
        uneven: standard deviation of the residuals over their robust one, the greater of both targets.
        stretch: standard deviation of static over that of the dynamic annotations that they follow, for each target.
    """

    n_songs: int
    valence_valence: float
    valence_arousal: float
    arousal_arousal: float
    arousal_valence: float
    contrast: float
    contrary: tuple[int, ...]
    n_clear: int
    far: tuple[int, ...] = ()
    unchecked: tuple[int, ...] = ()
    uneven: float = float("nan")
    stretch: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def enough(self) -> bool:
        """Whether there are songs enough to tell anything."""
        return self.n_songs >= _FEWEST_SONGS

    @property
    def state(self) -> State:
        """What most of these songs say: "exchanged", "straight", or "unclear".

        `doubt` asks for more: whether every one of them can be trusted.
        """
        if not self.enough or not abs(self.contrast) >= _LEAST_CONTRAST:
            return "unclear"
        z = np.arctanh(min(abs(self.contrast), 1 - 1e-12)) * np.sqrt(self.n_songs - 3)
        if z < _LEAST_Z or len(self.contrary) > _MOST_CONTRARY * self.n_clear:
            return "unclear"
        return "exchanged" if self.contrast < 0 else "straight"

    @property
    def doubt(self) -> str | None:
        """Why these songs do not tell which way round their labels are, as a clause; None where they do."""
        if self.mismatch is None and self.unchecked:
            return f"{len(self.unchecked)} songs have no dynamic annotations to compare with: {_listed(self.unchecked)}"
        return self.mismatch

    @property
    def mismatch(self) -> str | None:
        """Why the songs that have both annotations do not tell, as a clause; None where they do."""
        if self.n_songs == 0:
            return "no dynamic annotations to compare with"
        if not self.enough:
            return f"only {self.n_songs} songs have dynamic annotations, which is too few to tell"
        z = np.arctanh(min(abs(self.contrast), 1 - 1e-12)) * np.sqrt(self.n_songs - 3)
        if not abs(self.contrast) >= _LEAST_CONTRAST or z < _LEAST_Z:
            return f"{self.describe()}: the labels do not follow them, as if they belonged to other songs"
        if len(self.contrary) > _MOST_CONTRARY * self.n_clear:
            return (
                f"{self.describe()}; but songs {_listed(self.contrary)} say the opposite, as if some were mended and "
                "others not, or labels had changed places"
            )
        far = len(self.far) > max(_MOST_FAR * self.n_songs, 1)
        if min(self._own) < _LEAST_CORRELATION or far or self.uneven > _MOST_UNEVEN:
            odd = f", foremost songs {_listed(self.far)}" if self.far else ""
            return f"{self.describe()}: some labels stand far from them{odd}, as if they had changed places"
        if not all(_LEAST_STRETCH <= ratio <= _MOST_STRETCH for ratio in self.stretch):
            ratios = " and ".join(f"{ratio:.1f}" for ratio in self.stretch)
            return f"static valence and arousal spread {ratios} times as far as dynamic ones, about 4.5 times in DEAM"
        return None

    def describe(self) -> str:
        """The correlations in words, for notes and errors."""
        return (
            f"over {self.n_songs} songs static valence correlates {self.valence_arousal:.3f} with dynamic arousal and "
            f"{self.valence_valence:.3f} with dynamic valence, static arousal {self.arousal_valence:.3f} with dynamic "
            f"valence and {self.arousal_arousal:.3f} with dynamic arousal"
        )

    @property
    def _own(self) -> tuple[float, float]:
        """Correlations of valence and arousal with what they follow, whichever way round they stand."""
        if self.contrast < 0:
            return self.valence_arousal, self.arousal_valence
        return self.valence_valence, self.arousal_arousal


@dataclass(frozen=True)
class Exchange:
    """The finding about the static labels.

    Attributes:
        state: of the songs with ids up to 1000: "exchanged", "straight", "unclear", or "absent" where the copy holds
            none. "unclear" also where the labels of other songs are in doubt.
        n_songs: songs with ids up to 1000.
        evidence: why, as a clause.
        dynamic_doubt: why the annotations over time cannot be trusted, as a clause; None where they agree.
        altered: ids of songs whose labels are not those of the distributed files, where the rest are.
    """

    state: State
    n_songs: int
    evidence: str
    dynamic_doubt: str | None = None
    altered: tuple[int, ...] = ()


def check_exchange(
    ids: np.ndarray, mean: np.ndarray, std: np.ndarray, dynamic: Mapping[int, tuple[float, float]]
) -> Exchange:
    """Find out whether static labels are exchanged for the ids up to 1000, and whether all belong to their songs.

    Args:
        ids: song ids, shape (n_songs,).
        mean: static annotations, shape (n_songs, 2), on the scale 1 to 9.
        std: their standard deviations between raters, same shape.
        dynamic: mean (valence, arousal) over time by song id; empty where the copy has no dynamic files.
    """
    first = ids <= LAST_EXCHANGED_ID
    early, later = (recognise(ids[half], mean[half], std[half]) for half in (first, ~first))
    agreements = measure_parts(ids, mean, dynamic)
    if early.n_known + later.n_known >= _FEWEST_KNOWN or MISPLACED in (early.variant, later.variant):
        return _by_numbers(early, later, agreements)
    return _by_agreement(ids, mean, agreements)


def measure_parts(
    ids: np.ndarray, mean: np.ndarray, dynamic: Mapping[int, tuple[float, float]]
) -> dict[str, Agreement]:
    """The agreement of each part that has songs, by its name."""
    part = np.array([part_of(song) for song in ids.tolist()])
    return {
        name: measure_agreement(ids[part == name], mean[part == name], dynamic)
        for name in ("2013", "2014", "2015")
        if (part == name).any()
    }


def part_of(song_id: int) -> str:
    """The year of the evaluation campaign that a song belongs to: "2013", "2014" or "2015"."""
    if song_id <= LAST_EXCHANGED_ID:
        return "2013"
    return "2014" if song_id <= LAST_2014_ID else "2015"


def measure_agreement(ids: np.ndarray, mean: np.ndarray, dynamic: Mapping[int, tuple[float, float]]) -> Agreement:
    """Correlate static with dynamic annotations.

    Args:
        ids: song ids, shape (n_songs,).
        mean: static annotations, shape (n_songs, 2).
        dynamic: mean (valence, arousal) over time by song id.
    """
    both = np.array([song in dynamic for song in ids.tolist()], dtype=bool)
    shared, unchecked = ids[both], tuple(ids[~both].tolist())
    n = len(shared)
    if n < 3:
        nan = float("nan")
        return Agreement(n, nan, nan, nan, nan, contrast=nan, contrary=(), n_clear=0, unchecked=unchecked)
    static_z = _standardised(mean[both])  # (song, 2)
    heard = np.array([dynamic[song] for song in shared.tolist()])  # (song, 2)
    dynamic_z = _standardised(heard)  # (song, 2)
    r = static_z.T @ dynamic_z / n  # (static, dynamic)
    static_gap = _standardised(static_z[:, 0] - static_z[:, 1])  # (song,)
    dynamic_gap = _standardised(dynamic_z[:, 0] - dynamic_z[:, 1])  # (song,)
    contrast = float(static_gap @ dynamic_gap / n)
    clear = np.minimum(np.abs(static_gap), np.abs(dynamic_gap)) > _CLEAR_SD
    contrary = clear & (np.sign(static_gap * dynamic_gap) == -np.sign(contrast))
    turn = -1 if contrast < 0 else 1
    residual = _residual(static_z, dynamic_z[:, ::turn])  # (song, 2)
    return Agreement(
        n_songs=n,
        valence_valence=float(r[0, 0]),
        valence_arousal=float(r[0, 1]),
        arousal_arousal=float(r[1, 1]),
        arousal_valence=float(r[1, 0]),
        contrast=contrast,
        contrary=tuple(shared[contrary].tolist()),
        n_clear=int(clear.sum()),
        far=_far(shared, residual),
        unchecked=unchecked,
        uneven=float(residual.std(axis=0).max()),
        stretch=_ratio(mean[both].std(axis=0), heard.std(axis=0)[::turn]),
    )


# --- by their numbers -------------------------------------------------------------------------------------------


def _by_numbers(early: Recognition, later: Recognition, agreements: Mapping[str, Agreement]) -> Exchange:
    """Labels of which most are known. Nothing else decides about them; they decide about the dynamic annotations."""
    altered = (*early.altered, *later.altered)
    reason = _why_altered(early, later)
    if reason:
        unsure = f"the labels that they would be compared with are in doubt: {reason}"
        return Exchange("unclear", early.n_songs, reason, unsure, altered)
    doubt = _dynamic_doubt(agreements, turned=early.variant == AS_DISTRIBUTED)
    found = agreements.get("2013")
    seen = f"; {found.describe()}" if found and not found.doubt else ""
    if not early.n_songs:
        return Exchange("absent", 0, f"this copy holds no song with an id up to {LAST_EXCHANGED_ID}", doubt)
    if early.variant == EXCHANGED:
        return Exchange(
            "straight", early.n_songs, f"the numbers are those of the distributed file, put right{seen}", doubt
        )
    return Exchange("exchanged", early.n_songs, f"the numbers are those of the distributed file{seen}", doubt)


def _why_altered(early: Recognition, later: Recognition) -> str | None:
    """What keeps labels that are mostly known from being used, as a clause."""
    reasons = []
    first, second = f"songs up to id {LAST_EXCHANGED_ID}", f"songs above id {LAST_EXCHANGED_ID}"
    for half, where, allowed in ((early, first, (AS_DISTRIBUTED, EXCHANGED)), (later, second, (AS_DISTRIBUTED,))):
        if not half.n_songs:
            continue
        if half.variant is None:
            reasons.append(f"the labels of the {half.n_songs} {where} are not those of the distributed file")
        elif half.variant == MISPLACED:
            reasons.append(f"the labels of the {half.n_songs} {where} are those of the distributed file at other songs")
        elif half.variant not in allowed:
            reasons.append(f"the labels of the {half.n_songs} {where} have their {_WRONG[half.variant]} exchanged")
        elif half.turned and len(half.turned) == len(half.altered):
            reasons.append(f"songs {_listed(half.turned)} say the opposite, as if some were mended and others not")
        elif half.altered:
            reasons.append(
                f"the labels of {len(half.altered)} of the {half.n_songs} {where} are not those of the distributed "
                f"file: {_listed(half.altered)}"
            )
    return "; ".join(reasons) or None


_WRONG = {
    EXCHANGED: "valence and arousal",
    MEANS_EXCHANGED: "means of valence and arousal",
    STDS_EXCHANGED: "standard deviations of valence and arousal",
}


def _dynamic_doubt(agreements: Mapping[str, Agreement], turned: bool) -> str | None:
    """Why annotations over time do not agree with labels that are known; `turned` where those of 2013 are exchanged."""
    compared = {part: found for part, found in agreements.items() if found.n_songs}
    mixed = {part: found.mismatch for part, found in compared.items() if found.mismatch}
    if mixed:
        return "; ".join(f"part {part}: {mismatch}" for part, mismatch in mixed.items())
    wrong = {part: found for part, found in compared.items() if (found.contrast < 0) != (turned and part == "2013")}
    if wrong:
        evidence = next(iter(wrong.values())).describe()
        return f"valence.csv and arousal.csv stand for each other in part {' and '.join(wrong)}: {evidence}"
    return None


# --- by agreement -----------------------------------------------------------------------------------------------


def _by_agreement(ids: np.ndarray, mean: np.ndarray, agreements: Mapping[str, Agreement]) -> Exchange:
    """Labels that are not known: every part must follow its dynamic annotations."""
    n_songs = int((ids <= LAST_EXCHANGED_ID).sum())
    reason = _why_unclear(agreements)
    found = agreements.get("2013")
    state: State = "unclear" if reason else found.state if found else "absent"
    if reason is None:
        turned = (ids <= LAST_EXCHANGED_ID) & (state == "exchanged")
        reason = _why_exchanged_everywhere(np.where(turned[:, None], mean[:, ::-1], mean))
    if reason:
        return Exchange("unclear", n_songs, reason, reason)
    evidence = found.describe() if found else f"this copy holds no song with an id up to {LAST_EXCHANGED_ID}"
    return Exchange(state, n_songs, evidence)


def _why_unclear(agreements: Mapping[str, Agreement]) -> str | None:
    later = [found for part, found in agreements.items() if part != "2013"]
    if any(found.state == "exchanged" for found in later):
        found = next(found for found in later if found.state == "exchanged")
        return (
            f"the ids above {LAST_EXCHANGED_ID} look exchanged as well, as if the dynamic files were: "
            f"{found.describe()}"
        )
    doubts = {part: found.doubt for part, found in agreements.items() if found.doubt}
    if len(set(doubts.values())) == 1 and len(doubts) == len(agreements):
        return next(iter(doubts.values()))
    return "; ".join(f"part {part}: {doubt}" for part, doubt in doubts.items()) or None


def _why_exchanged_everywhere(mean: np.ndarray) -> str | None:
    """Whether valence spreads more than arousal, which it does not in DEAM: all four files may be exchanged alike.

    The test for two standard deviations of the same songs is Pitman's (1939, Biometrika 31:9): sum and difference are
    correlated where they differ.
    """
    n = len(mean)
    both = mean.sum(axis=1), mean[:, 0] - mean[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        r = float(np.corrcoef(*both)[0, 1])
    if n < _FEWEST_SONGS or not np.arctanh(min(r, 1 - 1e-12)) * np.sqrt(n - 3) > _LEAST_Z:
        return None
    v_sd, a_sd = mean.std(axis=0)
    return (
        f"valence spreads more than arousal over {n} songs (standard deviations {v_sd:.2f} and {a_sd:.2f}), and less "
        "in DEAM: as if the two were exchanged in all files alike"
    )


def _residual(static_z: np.ndarray, dynamic_z: np.ndarray) -> np.ndarray:
    """What regression of static on dynamic annotations leaves, in robust standard deviations, shape (n_songs, 2)."""
    residual = static_z - dynamic_z * (static_z * dynamic_z).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = residual - np.median(residual, axis=0)
        # the median of absolute values, as a standard deviation where they are normal
        scale = np.maximum(1.4826 * np.median(np.abs(residual), axis=0), _LEAST_SCALE)
        scaled: np.ndarray = residual / scale
    return scaled


def _far(ids: np.ndarray, residual: np.ndarray) -> tuple[int, ...]:
    """Songs far from the lines of regression, the furthest first."""
    distance = (residual**2).sum(axis=1)
    furthest = np.argsort(-distance, kind="stable")
    return tuple(ids[furthest][distance[furthest] > _FAR].tolist())


def _ratio(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        valence, arousal = (one / other).tolist()
    return valence, arousal


def _listed(songs: tuple[int, ...]) -> str:
    return named([str(song) for song in songs])


def _standardised(values: np.ndarray) -> np.ndarray:
    """Values with mean 0 and standard deviation 1 over songs (axis 0); NaN where they are all the same."""
    if len(values) == 0:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        z: np.ndarray = (values - values.mean(axis=0)) / values.std(axis=0)
    return z
