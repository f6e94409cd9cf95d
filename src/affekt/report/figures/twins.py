"""What pretraining adds: each encoder minus its untrained twin, on the same songs and resamples."""

from __future__ import annotations

from affekt.report.figures.ladder import Difference, differences
from affekt.report.figures.style import Picture
from affekt.report.view import View


def twin_picture(view: View, target: str) -> Picture | None:
    """What pretraining adds on one target; None where no encoder has a twin."""
    found = sorted((twin for twin in view.twins if twin.target == target), key=lambda twin: -twin.value)
    if not found:
        return None
    rows = [Difference(twin.encoder, "", view.colours[twin.encoder], twin.value, twin.low, twin.high) for twin in found]
    most = rows[0]
    return differences(
        view,
        f"pretraining-{view.targets.index(target)}",
        f"What pretraining adds for {target}",
        f"Dot plot of R² minus the R² of the untrained twin for {len(rows)} encoders on {target}. The most is "
        f"{most.value:+.2f}, for {most.name}.",
        rows,
        subject=target,
    )
