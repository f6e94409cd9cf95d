"""What a reader sees of a comparison: one page that opens offline, and a closing table in the terminal.

Nothing here needs torch or the data set: `results.json` is enough.
"""

from __future__ import annotations

from affekt.report.html import report_data, write_report
from affekt.report.terminal import print_table

__all__ = ["print_table", "report_data", "write_report"]
