"""Hashes that stand for a value: in keys of the store, in fingerprints of experiments."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any


def digest(value: Any) -> str:
    """Short hash of anything that JSON can hold, dataclasses included; equal values give equal hashes."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
