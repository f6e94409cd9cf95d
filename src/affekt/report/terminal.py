"""The closing table of a comparison, in the terminal or down a pipe.

On a terminal: one table that fits its width, the best R2 of each target in bold. Elsewhere: tab-separated lines with
six digits, a row for each encoder and target, so that `affekt compare ... | cut -f1-5` works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from affekt.evaluation.over_time import MEASURES, OverTime
from affekt.evaluation.results import Results
from affekt.evaluation.scores import Scores, score, with_ends
from affekt.evaluation.words import capitalised
from affekt.report import joined
from affekt.report.tables import decimals, interval_text, over_time
from affekt.report.view import View

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table


def print_table(results: Results | Scores, console: Console) -> None:
    """Print scores and verdicts.

    Args:
        results: a comparison, or one that was scored already.
        console: where to; what is printed depends on whether it is a terminal.

    Raises:
        DataError: the results cannot be scored (`affekt.evaluation.scores.score`).
    """
    scores = results if isinstance(results, Scores) else score(results)
    view = View(scores)
    if not console.is_terminal:
        _print_tab_separated(scores, console)
        return
    if scores.over_time:
        console.print(_over_time_table(view, scores.over_time))
    console.print(_table(view))
    for line in [*_verdicts(view), *scores.notes]:
        console.print(line, markup=False, highlight=False)


def _verdicts(view: View) -> list[str]:
    """Of two runs: how they differ. Which encoder is best says nothing where their annotations differ."""
    if not joined.is_joined(view):
        over_time = view.scores.over_time
        return [*(over_time.sentences() if over_time else []), *view.scores.headline()]
    return [f"{capitalised(v.target)}: {v.claim} {v.detail}" for v in joined.verdicts(view)]


def _table(view: View) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    scores, frame = view.scores, view.scores.table()
    table = Table(title=Text(_title(scores)), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1))
    table.add_column("encoder", overflow="fold", min_width=12)
    table.add_column("target", overflow="fold")
    for name in ("R² [95 %]", "RMSE", "r", "CCC"):
        table.add_column(name, justify="right", no_wrap=True)
    for target in scores.results.targets:
        best = view.best(target)
        rows = frame[frame["target"] == target]
        for number, (_, row) in enumerate(rows.iterrows()):
            cells = [Text(str(row["encoder"])), Text(target if number == 0 else ""), *map(Text, _cells(row))]
            table.add_row(*cells, style="bold" if row["encoder"] == best else "", end_section=number == len(rows) - 1)
    return table


def _over_time_table(view: View, found: OverTime) -> Table:
    """Scores within songs, averaged over songs."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{_title(view.scores)}, {found.n_frames} moments: within songs, averaged over songs")
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1))
    for name in ("target", "encoder"):
        table.add_column(name, overflow="fold")
    for name in ("RMSE", "r", "CCC"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in over_time(view, found)["rows"]:
        table.add_row(*map(Text, row))
    return table


def _cells(row: pd.Series) -> list[str]:
    r2 = interval_text(*(row[key] for key in with_ends("r2")))
    return [r2, *(decimals(row[name]) for name in ("rmse", "pearson", "ccc"))]


def _title(scores: Scores) -> str:
    dataset = scores.results.dataset
    synthetic = " (synthetic music)" if dataset.get("synthetic") else ""
    return f"{dataset.get('name', 'results')}{synthetic}: {len(scores.song_ids)} songs"


def _print_tab_separated(scores: Scores, console: Console) -> None:
    table = scores.table()
    if scores.over_time:
        for measure in MEASURES:
            values = [scores.over_time.value(e, measure, t)[0] for e, t in table[["encoder", "target"]].to_numpy()]
            table[f"over_time_{measure}"] = values
    if scores.results.dataset.get("synthetic"):
        table.insert(len(table.columns), "music", "synthetic music")
    text = table.to_csv(sep="\t", index=False, float_format="%.6g", lineterminator="\n")
    # Past rich's wrapping, which would break a row at 80 columns and turn tabs into spaces.
    console.file.write(text)
