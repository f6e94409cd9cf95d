"""Rows of a table of predictions, and the formats that hold them: CSV, JSON, JSON Lines or Parquet, by a file's suffix.

Numbers are written so that reading them gives the same ones: shortest digits that do.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affekt.errors import ConfigError, DataError, MissingExtraError
from affekt.files import atomic, write_text
from affekt.model.batch import Answer

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".json", ".jsonl", ".parquet")
Row = dict[str, Any]


def columns(targets: Sequence[str]) -> list[str]:
    """Of a table, curves aside."""
    values = [name for target in targets for name in (target, f"{target}_low", f"{target}_high")]
    return ["path", *values, "quadrant", "duration_s", "warnings", "error", "model"]


def name_of(path: Path) -> str:
    """A path as text that any file can hold: bytes that are no UTF-8 stand there as \\x.."""
    return as_text(str(path))


def as_text(words: str) -> str:
    """Words that may hold such a path."""
    return words.encode("utf-8", "backslashreplace").decode()


def row_of(answer: Answer, targets: Sequence[str], model: str) -> Row:
    """A row for one file; what is not known is None.

    Args:
        answer: what the model said.
        targets: what it predicts.
        model: its name and hash.
    """
    row: Row = dict.fromkeys(columns(targets)) | {
        "path": name_of(answer.path),
        "error": answer.error and as_text(answer.error),
        "model": model,
    }
    emotion = answer.emotion
    if emotion is None:
        return row
    for target, value, interval in zip(emotion.targets, emotion.values, emotion.intervals, strict=True):
        row |= {target: value, f"{target}_low": interval.low, f"{target}_high": interval.high}
    row |= {"quadrant": emotion.quadrant, "duration_s": emotion.duration_s}
    row["warnings"] = " ".join(remark.code for remark in emotion.remarks)
    if emotion.curve is not None:
        row["curve"] = emotion.as_dict()["curve"]
    return row


def check_format(path: Path) -> None:
    """See that a file can be written, before anything is computed.

    Raises:
        ConfigError: its suffix is not one of `FORMATS`, or it is a folder.
        MissingExtraError: Parquet is wanted without pyarrow.
    """
    if path.suffix.lower() not in FORMATS or path.is_dir():
        raise ConfigError(f"--out {path}: name a file that ends in {', '.join(FORMATS)}.")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise MissingExtraError("Parquet", "parquet") from None


def write_rows(path: Path, rows: Sequence[Row], targets: Sequence[str]) -> None:
    """Write a table, whole or not at all; of CSV, curves go to a second file, `<name>.curve.csv`, a line a moment.

    Raises:
        StorageError: it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_text(path, _csv(columns(targets), rows))
        _write_curves(path.with_suffix(".curve.csv"), rows, targets)
    elif suffix == ".json":
        write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    elif suffix == ".jsonl":
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        import pandas as pd

        with atomic(path) as temporary:
            pd.DataFrame(rows).to_parquet(temporary, index=False)


def read_rows(path: Path, targets: Sequence[str]) -> list[Row]:
    """The rows of a table that is there; none where it is not.

    Raises:
        DataError: it is something else, which nobody wants overwritten.
    """
    if not path.exists():
        return []
    try:
        rows = [_filled(row) for row in _read(path, targets)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a table of predictions ({error}). Name another file with --out.") from None
    if any(not isinstance(row.get("path"), str) or "model" not in row for row in rows):
        raise DataError(f"{path}: not a table of predictions (no path or no model). Name another file with --out.")
    return rows


def _read(path: Path, targets: Sequence[str]) -> list[Row]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        found: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        return found
    if suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if suffix == ".parquet":
        import pandas as pd

        frame: pd.DataFrame = pd.read_parquet(path)
        return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]
    table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if not {"path", "model"} <= set(table.fieldnames or ()):
        raise ValueError("no column path, or no column model")
    rows: list[Row] = list(table)
    curves = _read_curves(path.with_suffix(".curve.csv"), targets)
    return [row | ({"curve": curves[row["path"]]} if row["path"] in curves else {}) for row in rows]


def _filled(row: Row) -> Row:
    """Numbers as numbers, and nothing as None, as of a CSV."""
    text = {"path", "quadrant", "warnings", "error", "model"}
    given = {key: value for key, value in row.items() if value != ""}
    found = {key: float(value) if isinstance(value, str) and key not in text else value for key, value in given.items()}
    return dict.fromkeys(row) | found | ({"warnings": row.get("warnings") or ""} if not row.get("error") else {})


def _plain(value: Any) -> Any:
    """What pandas made of a value, as JSON has it."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return None if isinstance(value, float) and value != value else value


def _csv(names: Sequence[str], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_curves(path: Path, rows: Sequence[Row], targets: Sequence[str]) -> None:
    """The curves of all rows; where there are none, those of an earlier table go: they would pass for these."""
    names = ["path", "time_s", *targets]
    if any(row.get("curve") for row in rows):
        write_text(path, _csv(names, _moments(rows, targets)))
    elif path.is_file() and path.read_bytes().startswith(_csv(names, []).encode()):
        path.unlink()


def _moments(rows: Sequence[Row], targets: Sequence[str]) -> list[Row]:
    found = []
    for row in rows:
        if curve := row.get("curve"):
            series = [curve["times_s"], *(curve[target] for target in targets)]
            found += [
                dict(zip(("path", "time_s", *targets), (row["path"], *at), strict=True))
                for at in zip(*series, strict=True)
            ]
    return found


def _read_curves(path: Path, targets: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """The curves beside a CSV, by file."""
    if not path.is_file():
        return {}
    found: dict[str, dict[str, list[float]]] = {}
    for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
        curve = found.setdefault(row["path"], {"times_s": [], **{target: [] for target in targets}})
        curve["times_s"].append(float(row["time_s"]))
        for target in targets:
            curve[target].append(float(row[target]))
    return found
