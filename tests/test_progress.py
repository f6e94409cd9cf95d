"""Progress goes to standard error, and never in the way of results."""

from __future__ import annotations

import pytest

from affekt.progress import bar


def test_without_a_terminal_one_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("listening", 3) as advance:
        advance()
        advance(0, "what goes on")
    found = capsys.readouterr()
    assert found.err == "listening: 3\n" and found.out == ""


@pytest.mark.parametrize(("total", "quiet"), [(0, False), (3, True)])
def test_nothing_to_do_or_quiet_prints_nothing(total: int, quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with bar("listening", total, quiet) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
