"""The pictures of a report, each with its title, a description for those who cannot see it, and its numbers.

Conventions: a picture is a plain mapping that holds nothing but text, numbers and None (`style.picture` says what), so
that the page can draw it with plotly and `affekt.report.static` with matplotlib. Numbers are rounded to what a screen
can show. An encoder keeps its colour in every picture; a song has the same index in every scatter. A picture itself
says that its music is synthetic and which weights are random, because pictures are saved and sent alone.
"""

from __future__ import annotations

from affekt.report.figures.style import Picture

__all__ = ["Picture"]
