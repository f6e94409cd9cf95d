"""Models on the Hugging Face hub: fetched at one commit, and pushed."""

from __future__ import annotations

from pathlib import Path

from affekt.encoders.hub import find_checkpoint
from affekt.errors import DataError
from affekt.model.bundle import CARD, GRAPH, SETTINGS, WEIGHTS


def fetch_bundle(name: str) -> Path:
    """A model's folder on this machine, fetched if need be.

    Args:
        name: "owner/name" or "owner/name@revision".

    Raises:
        DataError: not a name of the hub, and no folder either.
        WeightsError: the hub has no such model, or cannot be reached.
    """
    if name.partition("@")[0].count("/") != 1 or name.startswith((".", "/", "~")):
        raise DataError(f"{name}: no such folder, so it is no model. `affekt train` makes one.")
    return find_checkpoint(name, (WEIGHTS,), (SETTINGS, CARD, GRAPH)).folder
