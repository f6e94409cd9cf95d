"""Paths as a user writes them."""

from __future__ import annotations

from pathlib import Path

from affekt.errors import EncoderError


def user_path(written: str) -> Path:
    """A path with `~` and `~name` as the home folders they stand for.

    Raises:
        EncoderError: there is no such user, or no home folder.
    """
    try:
        return Path(written).expanduser()
    except RuntimeError as error:
        raise EncoderError(
            f'"{written}": "{Path(written).parts[0]}" stands for no folder of this machine ({error}). '
            "Write the path from / on."
        ) from None
