"""Names and values of predictions where others keep them: in tags of files, in the library of beets.

Values lie on the model's scale, with four digits. Nothing heavy is loaded for a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

#: What names in tags begin with; whatever does is ours to replace.
OURS = "AFFEKT_"


def field_names(targets: Sequence[str]) -> dict[str, str]:
    """A name for each target that every format of tags can hold: capital letters, digits and _, no two the same."""
    found: dict[str, str] = {}
    for target in targets:
        plain = unicodedata.normalize("NFKD", target).encode("ascii", "ignore").decode().upper()
        name = base = re.sub(r"[^A-Z0-9]+", "_", plain).strip("_") or "TARGET"
        taken = {taken + end for taken in (*found.values(), "QUADRANT", "MODEL") for end in ("", "_LOW", "_HIGH")}
        number = 1
        while taken & {name, f"{name}_LOW", f"{name}_HIGH"}:
            number += 1
            name = f"{base}_{number}"
        found[target] = name
    return found


def fields_of(row: Mapping[str, Any], targets: Sequence[str]) -> dict[str, str]:
    """The tags that say what a row of `affekt.model.rows` says; none for what is not known."""
    found = {}
    for target, name in field_names(targets).items():
        for key, end in ((target, ""), (f"{target}_low", "_LOW"), (f"{target}_high", "_HIGH")):
            if row.get(key) is not None:
                found[f"{OURS}{name}{end}"] = f"{row[key]:.4f}"
    for key in ("quadrant", "model"):
        if row.get(key):
            found[f"{OURS}{key.upper()}"] = str(row[key])
    return found
