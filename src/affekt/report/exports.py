"""A report with everything beside it: one page, a table for a spreadsheet, one for a paper, a summary, every picture.

    report.html   results.csv   table.tex   summary.md   figures/<picture>.png|svg

and, where songs are annotated over time, over_time.csv with the scores of every song.
All are made from the scores alone, each file whole or not at all.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affekt.errors import MissingExtraError
from affekt.evaluation import metrics
from affekt.evaluation.metrics import QUADRANT_SCORES
from affekt.evaluation.over_time import MEASURES
from affekt.files import write_text
from affekt.progress import bar, console
from affekt.report import html, joined, page
from affekt.report.figures import Picture
from affekt.report.latex import latex_table
from affekt.report.sources import Source, run_folder, scored
from affekt.report.static import write_static
from affekt.report.summary import summary
from affekt.report.view import View

#: Columns of results.csv: a row for each encoder, target and score.
CSV_COLUMNS = ("encoder", "target", "score", "value", "low", "high", "n_songs", "n_seeds", "weights", "role", "music")

_SCORES = ("r2", "r2_minus_mean", "rmse", "mae", "pearson", "spearman", "ccc")
_QUADRANTS = tuple(f"quadrant_{name}" for name in QUADRANT_SCORES)
_MEAN = "mean of the targets"


def write_all(
    results: Source,
    folder: Path,
    tell: Callable[[str], None] | None = None,
    quiet: bool = False,
    run: Path | None = None,
    excerpts: bool = True,
) -> list[Path]:
    """Write the report and everything beside it.

    Args:
        results: a comparison, one that was scored already, its `results.json`, or the run folder that holds one.
        folder: where to.
        tell: takes a remark, such as what was left out because a package is missing; standard error by default.
        quiet: no progress bar.
        run: the run folder, where excerpts of songs lie in `excerpts/`; by default the folder of the results, and
            `folder` where they come from memory.
        excerpts: False embeds no sound, whatever lies there.

    Returns:
        The files written, `report.html` first.

    Raises:
        DataError: the results cannot be read or scored.
        StorageError: a file cannot be written.
    """
    folder = Path(folder)
    view = View(scored(results))
    of = joined if joined.is_joined(view) else page
    data = html.report_data(view, run or run_folder(results) or folder if excerpts else None)
    texts = {
        "report.html": html.render(view, data),
        "results.csv": results_csv(view),
        "table.tex": latex_table(view),
        "summary.md": summary(view, of.heading(view), of.verdicts(view), of.further(view)),
        **({"over_time.csv": over_time_csv(view)} if view.scores.over_time else {}),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    figures = write_figures(of.pictures_of(data), folder / "figures", tell, quiet)
    return [*(folder / name for name in texts), *figures]


def write_figures(
    pictures: Sequence[Picture], folder: Path, tell: Callable[[str], None] | None = None, quiet: bool = False
) -> list[Path]:
    """Write every picture as PNG and SVG; none, with a remark, where matplotlib is not installed."""
    written = []
    try:
        with bar("figures", len(pictures), quiet) as advance:
            for stem, picture in zip(file_stems(pictures), pictures, strict=True):
                written += write_static(picture, folder, stem)
                advance()
    except MissingExtraError as error:
        (tell or console().print)(f"No figures as PNG and SVG: {error}")
    return written


def results_csv(view: View) -> str:
    """Every score with its interval, a row for each encoder, target and score; empty where there is none."""
    text = io.StringIO()
    # Text always in quotes: the writer itself would leave a lone carriage return bare, which ends a row.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_csv_rows(view))
    return text.getvalue()


def over_time_csv(view: View) -> str:
    """Every song of every encoder over time, seeds averaged: a row for each encoder, song and target."""
    found = view.scores.over_time
    assert found is not None  # it was asked before
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(("encoder", "song_id", "target", "n_frames", *MEASURES, "music"))
    music = "synthetic music" if view.synthetic else ""
    for label in found.encoders:
        values = metrics.mean_over_seeds(found.per_song[label])  # (n_songs, n_measures, n_targets)
        for i, song in enumerate(view.scores.song_ids):
            for c, target in enumerate(view.targets):
                numbers = [_number(value) for value in values[i, :, c]]
                writer.writerow((label, song, target, len(found.times_s[i]), *numbers, music))
    return text.getvalue()


def file_stems(pictures: Iterable[Picture]) -> Iterator[str]:
    """A file name for each picture, after what it shows and whom, all of them different."""
    taken: set[str] = set()
    for picture in pictures:
        stem = wanted = _plain(f"{picture['id'].split('-')[0]} {picture['subject']}")
        number = 2
        while stem in taken:
            stem, number = f"{wanted}-{number}", number + 1
        taken.add(stem)
        yield stem


def _csv_rows(view: View) -> Iterator[list[Any]]:
    for label in view.order:
        by_target = {row["target"]: row for row in view.rows if row["encoder"] == label}
        if len(view.targets) > 1:
            counts = {name: max(row[name] for row in by_target.values()) for name in ("n_songs", "n_seeds")}
            by_target[_MEAN] = {**view.averaged_row(label), **counts}
        about = [
            str(view.described[label].get("weights") or ""),
            ", ".join(view.roles(label)),
            "synthetic music" if view.synthetic else "",
        ]
        for target, row in by_target.items():
            for name in (*_SCORES, *(name for name in _QUADRANTS if name in row)):
                numbers = [_number(row.get(f"{name}{end}")) for end in ("", "_low", "_high")]
                yield [label, target, name, *numbers, int(row["n_songs"]), int(row["n_seeds"]), *about]
            for name, triple in _over_time(view, label, target).items():
                yield [label, target, name, *map(_number, triple), int(row["n_songs"]), int(row["n_seeds"]), *about]


def _over_time(view: View, label: str, target: str) -> dict[str, tuple[float, float, float]]:
    """Scores within songs and of all moments together, by name; empty where each song has one annotation."""
    found = view.scores.over_time
    if found is None or target not in view.targets:
        return {}
    ways = {"over_time": False, "over_time_pooled": True}
    return {f"{way}_{m}": found.value(label, m, target, pooled) for way, pooled in ways.items() for m in MEASURES}


def _number(value: float | None) -> float | str:
    return "" if value is None or not np.isfinite(value) else float(f"{value:.6g}")


def _plain(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:80] or "figure"
