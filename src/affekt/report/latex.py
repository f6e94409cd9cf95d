"""The scores as a LaTeX table that compiles without any package, in any engine, whatever the labels are.

Everything that comes from outside is written in plain ASCII: special characters escaped, accented letters by LaTeX's
own accents, anything else by its code point.
"""

from __future__ import annotations

import unicodedata

import numpy as np

from affekt.report.tables import MISSING
from affekt.report.view import View
from affekt.report.words import caveats

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "'": r"{\textquoteright}",
    "`": r"{\textquoteleft}",
    "-": r"{-}",  # two of them would become a dash
    "[": r"{[}",  # at the beginning of a row, LaTeX would take it for an option of the line break before
    "]": r"{]}",
    "*": r"{*}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "−": r"$-$",
    "’": r"\textquoteright{}",
    "‘": r"\textquoteleft{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\ldots{}",
    "²": r"$^2$",
    "°": r"$^\circ$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "ρ": r"$\rho$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"{\i}",
    "\u202f": r"\,",
    "\u00a0": "~",
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}


def latex_table(view: View) -> str:
    """A `table` environment: R2 with its interval and RMSE for each target, the best R2 in bold."""
    lines = [
        r"% Made by affekt. \input{table.tex} sets it; no package is needed.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(view)}}}",
        rf"\begin{{tabular}}{{l{'rr' * len(view.targets)}}}",
        r"\hline",
        " & ".join(["", *(rf"\multicolumn{{2}}{{c}}{{{escaped(target)}}}" for target in view.targets)]) + r" \\",
        " & ".join(["encoder", *([r"$R^2$ [95\,\%]", "RMSE"] * len(view.targets))]) + r" \\",
        r"\hline",
        *(" & ".join(_row(view, label)) + r" \\" for label in view.order),
        *([r"\hline"] if view.ceilings else []),
        *(" & ".join(_ceiling_row(view, name)) + r" \\" for name in view.ceilings),
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text from outside, in ASCII that LaTeX sets as it reads."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(map(_letter, composed))


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if " " <= letter <= "~":
        return letter
    decomposed = unicodedata.normalize("NFD", letter)
    base, marks = decomposed[0], decomposed[1:]
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        stem = {"i": r"\i", "j": r"\j"}.get(base, base)
        return rf"\{_ACCENTS[marks[0]]}{{{stem}}}"
    return rf"{{\ttfamily U+{ord(letter):04X}}}"


def _caption(view: View) -> str:
    n_songs = len(view.scores.song_ids)
    music = " (synthetic music)" if view.synthetic else ""
    said = (
        f"Emotion regression on {view.about}{music}, {n_songs} songs: R² with its 95 % BCa bootstrap interval over "
        "songs, grouped by artist and widened for few artists, and RMSE in units of the scale."
    )
    return escaped(" ".join([said, *caveats(view)]))


def _row(view: View, label: str) -> list[str]:
    roles = f" ({', '.join(view.roles(label))})" if view.roles(label) else ""
    cells = [escaped(f"{label}{roles}")]
    for target in view.targets:
        best = view.best(target)
        row = next(row for row in view.rows if row["encoder"] == label and row["target"] == target)
        value, low, high = (row[f"r2{end}"] for end in ("", "_low", "_high"))
        number = rf"\textbf{{{_number(value)}}}" if label == best else _number(value)
        interval = f" [{_number(low)}, {_number(high)}]" if np.isfinite(low) else ""
        cells += [number + interval, _number(row["rmse"])]
    return cells


def _ceiling_row(view: View, name: str) -> list[str]:
    cells = [escaped(name)]
    for target in view.targets:
        cells += [_number(view.ceilings[name].get(target, np.nan)), ""]
    return cells


def _number(value: float) -> str:
    if not np.isfinite(value):
        return escaped(MISSING)
    return f"{value:z.2f}".replace("-", "$-$")
