"""Every error that a user can cause, under one root.

A message says what was found, what is allowed, and what to do next. The command line prints it without a
traceback and exits with `exit_code`; anything that is not an `AffektError` is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class AffektError(Exception):
    """Root of all errors that a user can mend."""

    exit_code = 2


class ConfigError(AffektError):
    """The experiment file or an option of a command cannot be used."""


class DivergedError(ConfigError):
    """Training left the range of numbers. A search goes on with its other trials; elsewhere settings must change."""


class DataError(AffektError):
    """A data set is missing, incomplete or does not hold what its format promises."""


class AudioError(DataError):
    """One file cannot be used as audio. In a run over many songs it becomes a named, counted skip."""


class EncoderError(AffektError):
    """An encoder is unknown or cannot be used as asked."""


class WeightsError(EncoderError):
    """Weights cannot be found, fetched or loaded into the architecture."""


class LeakageError(AffektError):
    """A song or an artist would stand on both sides of a split. Never expected; checked in every run."""


class MissingExtraError(AffektError):
    """A feature needs a package that the installed extras do not bring."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra that is not installed. Install it: pip install 'affekt[{extra}]'")


class StorageError(AffektError):
    """Something could not be written or read back: disk full, quota, permission, damaged file."""


class ShapeError(AffektError, ValueError):
    """Arrays do not have the shape that a function is documented to take."""


def problems(summary: str, found: Sequence[str]) -> str:
    """Format all mistakes of one file as a single message: a heading with their count, then a line for each."""
    noun = "problem" if len(found) == 1 else "problems"
    return "\n".join([f"{len(found)} {noun} in {summary}", *(f"  {line}" for line in found)])
