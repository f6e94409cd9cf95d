"""The closing table of a comparison, in the terminal or down a pipe.

On a terminal: one table that fits its width, the best R2 of each target in bold. Elsewhere: tab-separated lines with
full numbers, a row for each encoder and target, so that `affekt compare ... | cut -f1-5` works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from affekt.evaluation.results import Results
from affekt.evaluation.scores import Scores, score

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

MISSING = "–"


def print_table(results: Results | Scores, console: Console) -> None:
    """Print scores and verdicts.

    Args:
        results: a comparison, or one that was scored already.
        console: where to; what is printed depends on whether it is a terminal.

    Raises:
        DataError: the results cannot be scored (`affekt.evaluation.scores.score`).
    """
    scores = results if isinstance(results, Scores) else score(results)
    if not console.is_terminal:
        _print_tab_separated(scores, console)
        return
    console.print(_table(scores))
    for line in [*scores.headline(), *scores.notes]:
        console.print(line, markup=False, highlight=False)


def _table(scores: Scores) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    frame = scores.table()
    table = Table(title=Text(_title(scores)), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1))
    table.add_column("encoder", overflow="fold", min_width=12)
    table.add_column("target", overflow="fold")
    for name in ("R² [95 %]", "RMSE", "r", "CCC"):
        table.add_column(name, justify="right", no_wrap=True)
    for target in scores.results.targets:
        best = next(iter(scores.ranking(target)), None)
        rows = frame[frame["target"] == target]
        for number, (_, row) in enumerate(rows.iterrows()):
            cells = [Text(str(row["encoder"])), Text(target if number == 0 else ""), *map(Text, _cells(row))]
            table.add_row(*cells, style="bold" if row["encoder"] == best else "", end_section=number == len(rows) - 1)
    return table


def _cells(row: pd.Series) -> list[str]:
    r2 = _number(row["r2"])
    if not np.isnan(row["r2_low"]):
        r2 += f" [{row['r2_low']:z.2f}, {row['r2_high']:z.2f}]"
    return [r2, *(_number(row[name]) for name in ("rmse", "pearson", "ccc"))]


def _number(value: float) -> str:
    return MISSING if np.isnan(value) else f"{value:z.2f}"


def _title(scores: Scores) -> str:
    dataset = scores.results.dataset
    synthetic = " (synthetic music)" if dataset.get("synthetic") else ""
    return f"{dataset.get('name', 'results')}{synthetic}: {len(scores.song_ids)} songs"


def _print_tab_separated(scores: Scores, console: Console) -> None:
    table = scores.table()
    if scores.results.dataset.get("synthetic"):
        table.insert(len(table.columns), "music", "synthetic music")
    text = table.to_csv(sep="\t", index=False, float_format="%.4f", lineterminator="\n")
    # Past rich's wrapping, which would break a row at 80 columns and turn tabs into spaces.
    console.file.write(text)
