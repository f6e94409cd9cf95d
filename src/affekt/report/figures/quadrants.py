"""Into which quadrant the songs of each quadrant were predicted: the third founding picture."""

from __future__ import annotations

import numpy as np

from affekt.evaluation import metrics
from affekt.report.figures.style import Picture, grid, grid_axes, marked, picture
from affekt.report.tables import QUADRANTS, percent, table
from affekt.report.view import View


def confusion_picture(view: View, label: str, columns: tuple[int, int]) -> Picture:
    """Confusion matrix of the four quadrants; counts are means over seeds."""
    centre = view.centre
    runs = [(run.y_true[:, columns], run.y_pred[:, columns]) for run in view.scores.runs(label)]
    counts = np.mean([metrics.confusion(y_true=true, y_pred=pred, centre=centre) for true, pred in runs], axis=0)
    share = np.nan_to_num(metrics.ratio(counts, counts.sum(axis=1, keepdims=True)))
    right, low, high = map(percent, view.scores.quadrant_accuracy(label))
    texts = [[f"{_songs(counts[i, j])}<br>{percent(share[i, j])}" for j in range(4)] for i in range(4)]
    notes = [
        [f"annotated {annotated}, predicted {predicted}: {text.replace('<br>', ', ')}" for predicted, text in pairs]
        for annotated, pairs in ((QUADRANTS[i], zip(QUADRANTS, texts[i], strict=True)) for i in range(4))
    ]
    trace = grid(
        share.tolist(), QUADRANTS, QUADRANTS, texts, [[0, "#ffffff"], [1, view.colours[label]]], "%{customdata}", notes
    )
    layout = grid_axes(QUADRANTS, QUADRANTS, "predicted", "annotated")
    layout["xaxis"] |= {"constrain": "domain"}
    layout["yaxis"] |= {"scaleanchor": "x", "constrain": "domain"}
    rows = [[QUADRANTS[i], *(text.replace("<br>", " · ") for text in texts[i])] for i in range(4)]
    seeds = ", mean over seeds" if len(runs) > 1 else ""
    return picture(
        f"confusion-{view.scores.results.labels.index(label)}",
        f"Quadrants: {right} right [{low}, {high}]",
        f"Confusion matrix of the four quadrants for {label}; {right} of the songs are in their own quadrant, with an "
        f"interval from {low} to {high}.",
        {"data": [trace], "layout": marked(view, layout, [label], named=True)},
        table(["annotated \\ predicted", *QUADRANTS], rows, "lrrrr"),
        subject=label,
        caption=f"Songs{seeds}, and per cent of the row. V valence, A arousal; + at or above {centre:g}, − below.",
    )


def _songs(n: float) -> str:
    return f"{n:.0f}" if n == round(n) else f"{n:.1f}"  # a mean over seeds need not be whole
