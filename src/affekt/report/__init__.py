"""What a reader sees of a comparison: one page that opens offline, files beside it, a closing table in the terminal.

Nothing here needs torch or the data set: `results.json` is enough.
"""

from __future__ import annotations

from affekt.report.excerpts import drop_excerpts, write_excerpts
from affekt.report.exports import write_all
from affekt.report.html import write_report
from affekt.report.terminal import print_table

__all__ = ["drop_excerpts", "print_table", "write_all", "write_excerpts", "write_report"]
