"""The report: one HTML file that holds everything it shows and opens without a network.

Conventions: what a page says is first prepared as plain data (`affekt.report.page`), then printed by a template that
decides nothing. Titles of songs and names of encoders come from outside and are escaped by the template; a content
security policy in the page forbids any request to a host. plotly.js stands in the file once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from affekt.files import write_text
from affekt.report import joined
from affekt.report.excerpts import find_excerpts
from affekt.report.failing import worst_songs
from affekt.report.page import page_data
from affekt.report.sources import Source, run_folder, scored
from affekt.report.view import View
from affekt.report.words import SYNTHETIC

_PAGE, _JOINED_PAGE = "report.html.j2", "joined.html.j2"


def write_report(results: Source, out_path: Path, run: Path | None = None, excerpts: bool = True) -> Path:
    """Write the report of a comparison as one HTML file.

    Args:
        results: a comparison, one that was scored already, its `results.json`, or the run folder that holds one. Two
            runs that `affekt.evaluation.join` made one get a page of their own.
        out_path: the file to write.
        run: the run folder, where excerpts of songs lie in `excerpts/`; by default the folder of the results, and of
            `out_path` where they come from memory.
        excerpts: False embeds no sound, whatever lies there.

    Returns:
        `out_path`.

    Raises:
        DataError: the results cannot be read or scored.
        StorageError: the file cannot be written.
    """
    out_path = Path(out_path)
    view = View(scored(results))
    sounds = run or run_folder(results) or out_path.parent if excerpts else None
    write_text(out_path, render(view, report_data(view, sounds)))
    return out_path


def report_data(view: View, folder: Path | None = None) -> dict[str, Any]:
    """Everything the page says, in the order in which it says it.

    Args:
        view: the comparison, or two runs that were joined.
        folder: the run folder, for excerpts; None for a page without sound.
    """
    if joined.is_joined(view):
        return joined.page_data(view)
    hardest = [view.scores.song_ids[song.position] for song in worst_songs(view)]
    return page_data(view, find_excerpts(folder, hardest) if folder else {})


def render(view: View, data: dict[str, Any]) -> str:
    """The page, from what `report_data` prepared."""
    return render_page(_JOINED_PAGE if joined.is_joined(view) else _PAGE, data)


def render_page(template: str, data: dict[str, Any]) -> str:
    """A page that extends base.html.j2, with everything that it needs inside it."""
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("affekt.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template)
    return page.render(**data, synthetic_words=SYNTHETIC, plotly_js=Markup(get_plotlyjs()))
