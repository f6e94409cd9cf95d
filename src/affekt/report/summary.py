"""The report in Markdown: verdict, scores, ceiling, caveats. For an issue, a README, a message."""

from __future__ import annotations

import re
from collections.abc import Sequence

from affekt.report.tables import decimals, interval_text
from affekt.report.view import View
from affekt.report.words import Verdict, caveats


def summary(view: View, heading: str, verdicts: Sequence[Verdict], further: Sequence[str] = ()) -> str:
    """The whole text.

    Args:
        view: the comparison.
        heading: the question.
        verdicts: the answer for each target.
        further: sentences that follow the verdict, one paragraph each.
    """
    music = " (synthetic music)" if view.synthetic else ""
    said = [f"**{escaped(v.target)}.** {escaped(v.claim)} {escaped(v.detail)}" for v in verdicts]
    parts = [
        f"# {escaped(heading)}{music}",
        *said,
        *map(escaped, further),
        "## Scores",
        f"{len(view.scores.song_ids)} songs, R² with its 95 % interval.",
        "\n".join(_table(view)),
        "## What to know before quoting this",
        "\n".join(f"- {escaped(caveat)}" for caveat in [*caveats(view), *_data_notes(view)]) or "Nothing further.",
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text from outside on one line, so that Markdown shows it as it is, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&!])", r"\\\1", " ".join(text.split()))


def _table(view: View) -> list[str]:
    head = ["encoder", *view.targets]
    rows = [
        [
            " ".join([label, *(f"({role})" for role in view.roles(label))]),
            *(interval_text(*view.scores.r2(label, target)) for target in view.targets),
        ]
        for label in view.order
    ]
    for name, ceiling in view.ceilings.items():
        rows.append([f"noise {name}", *(decimals(ceiling.get(target)) for target in view.targets)])
    lines = [f"| {' | '.join(map(escaped, row))} |" for row in [head, *rows]]
    return [lines[0], f"|---|{'---:|' * len(view.targets)}", *lines[1:]]


def _data_notes(view: View) -> list[str]:
    return [str(note) for note in view.scores.results.dataset.get("notes") or []]
