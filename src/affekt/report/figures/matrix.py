"""Every two encoders on one target: by how much one is better, and whether that was shown.

Rows and columns are sorted by R2, so that half of the table says it all: the row's encoder has the higher R2.
Colour means that a difference was shown; a neutral cell means that none was.
"""

from __future__ import annotations

from typing import Any

from affekt.report.figures.style import NEUTRAL, Picture, escaped, grid, grid_axes, marked, picture, short_name, wrapped
from affekt.report.tables import decimals, interval_text, signed, table
from affekt.report.view import View

_SHOWN, _STRONGEST = "#cfe2f1", "#0b5394"
#: With more columns than this, a cell has no room for its interval.
_MOST_WITH_INTERVAL = 8


def matrix(view: View, target: str) -> Picture | None:
    """Differences of R2 on one target, twins left out; None with fewer than two encoders."""
    ranked = [label for label in view.ranking(target) if label in view.contenders]
    if len(ranked) < 2:
        return None
    found = {(row["first"], row["second"]): row for row in view.pairs if row["target"] == target}
    rows, columns = ranked[:-1], ranked[1:]
    cells = [[found.get((first, second)) for second in columns] for first in rows]
    largest = max(cell["difference"] for row in cells for cell in row if cell) or 1.0
    with_interval = len(columns) <= _MOST_WITH_INTERVAL
    trace = grid(
        [[_strength(cell, largest) for cell in row] for row in cells],
        columns,
        rows,
        [[_words(cell, with_interval) for cell in row] for row in cells],
        [[0, NEUTRAL], [0.001, _SHOWN], [1, _STRONGEST]],
        "%{customdata}",
        [[_tests(cell) for cell in row] for row in cells],
    )
    names = (
        [wrapped(short_name(view, label, 24)) for label in columns],
        [escaped(short_name(view, label)) for label in rows],
    )
    layout = grid_axes(*names, "has the lower R²", "has the higher R²")
    n_shown = sum(cell["verdict"] == "better" for row in cells for cell in row if cell)
    n_pairs = len(ranked) * (len(ranked) - 1) // 2
    return picture(
        f"matrix-{view.targets.index(target)}",
        f"Differences of R² for {target}",
        f"Matrix of the paired differences of R² between {len(ranked)} encoders on {target}. A difference was shown "
        f"for {n_shown} of {n_pairs} pairs.",
        {"data": [trace], "layout": marked(view, layout, ranked)},
        table(
            ["higher R²", "lower R²", "difference", "verdict", "p songs, Holm", "p folds, Holm"], _rows(cells), "llrlrr"
        ),
        subject=target,
        caption="Row minus column, with its 95 % interval. Coloured: better. Grey: no difference shown.",
        height_px=130 + 56 * len(rows),
        min_width_px=150 + (92 if with_interval else 56) * len(columns),
    )


def _strength(cell: dict[str, Any] | None, largest: float) -> float | None:
    """0 where no difference was shown; None where the pair stands elsewhere or is an encoder with itself."""
    if cell is None:
        return None
    return 0.15 + 0.85 * cell["difference"] / largest if cell["verdict"] == "better" else 0.0


def _words(cell: dict[str, Any] | None, with_interval: bool) -> str:
    if cell is None:
        return ""
    ends = f"<br>[{decimals(cell['low'])}, {decimals(cell['high'])}]"
    return signed(cell["difference"]) + (ends if with_interval else "")


def _tests(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    return (
        f"{escaped(cell['first'])} minus {escaped(cell['second'])}<br>"
        f"{interval_text(cell['difference'], cell['low'], cell['high'], places=3)}: {_verdict(cell)}<br>"
        f"p over songs {decimals(cell['p_songs_holm'], 4)}, over folds {decimals(cell['p_folds_holm'], 4)} (Holm)"
    )


def _verdict(cell: dict[str, Any]) -> str:
    return "the first is better" if cell["verdict"] == "better" else str(cell["verdict"])


def _rows(cells: list[list[dict[str, Any] | None]]) -> list[list[str]]:
    return [
        [
            cell["first"],
            cell["second"],
            interval_text(cell["difference"], cell["low"], cell["high"], places=3),
            cell["verdict"],
            *(decimals(cell[name], 4) for name in ("p_songs_holm", "p_folds_holm")),
        ]
        for row in cells
        for cell in row
        if cell
    ]
