"""Where things are kept that can be made again: one cache folder for the whole package."""

from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """The folder for generated and fetched things; not created here.

    `$AFFEKT_HOME` if set, else `$XDG_CACHE_HOME/affekt` (a relative one is ignored, as the XDG Base Directory
    Specification asks), else `~/.cache/affekt`.
    """
    own = os.environ.get("AFFEKT_HOME")
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    if shared and Path(shared).is_absolute():
        return Path(shared) / "affekt"
    return Path("~/.cache/affekt").expanduser()
