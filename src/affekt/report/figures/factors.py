"""The controlled 2 x 2: how the two factors act together, and the effects that follow, with their intervals."""

from __future__ import annotations

from affekt.evaluation.factorial import CellValue, Effect, Factorial
from affekt.report.figures.ladder import Difference, differences, r2_limits
from affekt.report.figures.style import LEGEND_ABOVE, Picture, Trace, error_bar, escaped, marked, picture, rounded
from affekt.report.tables import decimals, interval_text, table
from affekt.report.view import PALETTE, View

_AVERAGE = "mean of targets"


def interaction_picture(view: View, design: Factorial, target: str | None) -> Picture:
    """R2 of the four cells: a line for each level of the second factor; lines that are not parallel interact."""
    (first, levels), (second, others) = design.design.factors.items()
    cells = {cell.levels: cell for cell in design.cells if cell.target == target}
    traces = [
        _level_trace([cells[level, other] for level in levels], other, PALETTE[number], number)
        for number, other in enumerate(others)
    ]
    low, high = r2_limits([cell[3:] for cell in cells.values()], None)
    about = target if target is not None else _AVERAGE
    layout = {
        "xaxis": {
            "title": {"text": escaped(first)},
            "tickvals": [0, 1],
            "ticktext": [escaped(level) for level in levels],
            "range": [-0.35, 1.35],
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {"title": {"text": f"R², {escaped(about)}"}, "range": [rounded(low), rounded(high)], "zeroline": True},
        "legend": {**LEGEND_ABOVE, "title": {"text": f"{escaped(second)}: "}},
    }
    rows = [[*cell.levels, cell.encoder, *map(decimals, cell[3:])] for cell in cells.values()]
    said = "; ".join(f"{' with '.join(cell.levels)} {decimals(cell.value)}" for cell in cells.values())
    return picture(
        f"factors-{design.targets.index(target)}",
        f"{first} and {second}: {about}",
        f"Interaction plot of R² for {about}: {said}.",
        {"data": traces, "layout": marked(view, layout, design.design.encoders.values())},
        table([first, second, "encoder", "R²", "low", "high"], rows, "lllrrr"),
        subject=about,
        caption="Parallel lines: the two act on their own. Bars: 95 % intervals of each R², not of the differences.",
        height_px=380,
    )


def effects_picture(view: View, design: Factorial) -> Picture:
    """Both main effects and the interaction, for each target and their mean."""
    rows = [
        Difference(_effect_name(effect), effect.target or _AVERAGE, PALETTE[_row(effect, design)], *effect[5:8])
        for effect in design.effects
        if effect.kind in ("main", "interaction")
    ]
    first, second = design.design.factors
    return differences(
        view,
        "effects-0",
        f"Effects of {first} and {second}",
        f"Dot plot of the main effects of {first} and {second} and of their interaction, with 95 % intervals.",
        rows,
        labels=design.design.encoders.values(),
    )


def _level_trace(cells: list[CellValue], level: str, colour: str, number: int) -> Trace:
    # A little apart, so that the bars of both lines can be told from each other.
    bars = [error_bar(*cell[3:], colour) for cell in cells]
    trace: Trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escaped(level),
        "x": [at + 0.04 * (2 * number - 1) for at in (0, 1)],
        "y": [rounded(cell.value) for cell in cells],
        "customdata": [f"{escaped(cell.encoder)}<br>R² {interval_text(*cell[3:])}" for cell in cells],
        "line": {"color": colour, "width": 2, "dash": ("solid", "dash")[number]},
        "marker": {"color": colour, "size": 11, "symbol": ("circle", "square")[number]},
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    if not all(bars):
        return trace
    ends = {end: [bar[end][0] for bar in bars] for end in ("array", "arrayminus")}
    return {**trace, "error_y": {**bars[0], **ends}}


def _effect_name(effect: Effect) -> str:
    return effect.factor if effect.kind == "interaction" else " − ".join(effect.levels)


def _row(effect: Effect, design: Factorial) -> int:
    """Which of the three effects this is; it has the same colour on every target."""
    names = list(design.design.factors)
    return names.index(effect.factor) if effect.kind == "main" else len(names)
