import re
import shutil
import subprocess

import pytest

from affekt.report.latex import escaped, latex_table

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "a-nano": 0.7, "b": 0.5}
EVIL = "100% & $\\alpha_1$ {#^~} <b>\"'`[*] -- é ß Ž ñ 日本 🎵\n\\input{/etc/passwd}"


def rows_of(text):
    body = text.split(r"\begin{tabular}")[1].split("\n", 1)[1].split(r"\end{tabular}")[0]
    return [line.removesuffix(r" \\") for line in body.splitlines() if line != r"\hline"]


def cells(row):
    return re.split(r"(?<!\\)&", row)


def test_holds_the_scores_with_the_best_in_bold(viewed):
    view = viewed(noise=NOISE, ceiling=(0.8, 0.9))
    text = latex_table(view)
    found = {cells(row)[0].strip(): cells(row)[1:] for row in rows_of(text)}
    value, low, high = view.scores.r2("b", "valence")
    assert found["b"][0].strip() == rf"\textbf{{{value:.2f}}} [{low:.2f}, {high:.2f}]"
    assert text.count(r"\textbf") == 2  # once for each target
    assert [cell.strip() for cell in found["ceiling"]] == ["0.80", "", "0.90", ""]
    assert "a{-}nano (random weights)" in found and "mean (baseline)" in found


def test_caption_says_what_a_reader_must_know(viewed):
    caption = latex_table(viewed(noise=NOISE, synthetic=True)).split(r"\caption")[1].split("\n")[0]
    assert "synthetic music" in caption and "random weights" in caption and "a{-}nano" in caption
    assert "synthetic" not in latex_table(viewed())


def test_every_row_has_as_many_cells_as_there_are_columns(viewed):
    text = latex_table(viewed(noise={EVIL: 0.5, "[red]": 0.6, "*": 0.7}, targets=("valence", "arousal", EVIL)))
    assert re.search(r"\\begin\{tabular\}\{(.*)\}", text)[1] == "lrrrrrr"
    for row in rows_of(text):
        n_wide = row.count(r"\multicolumn{2}")
        assert len(cells(row)) + n_wide == 7, row
        assert not row.startswith(("[", "*"))  # LaTeX would take them for options of the line break before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b", r"a\_b"),
        ("50 %", r"50 \%"),
        ("é", r"\'{e}"),
        ("ï", r"\"{\i}"),
        ("Ž", r"\v{Z}"),
        ("e\u0301", r"\'{e}"),
        ("日", r"{\ttfamily U+65E5}"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("a\n b", "a b"),
        ("--", "{-}{-}"),
    ],
)
def test_text_from_outside(text, expected):
    assert escaped(text) == expected


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_compiles(viewed, tmp_path):
    view = viewed(noise={EVIL: 0.5, **NOISE}, targets=("valence", "arousal", EVIL), synthetic=True, ceiling=(0.8,) * 3)
    (tmp_path / "table.tex").write_text(latex_table(view), encoding="utf-8")
    letters = escaped("".join(map(chr, [*range(32, 0x180), *range(0x2010, 0x2030)])))
    document = rf"\documentclass{{article}}\begin{{document}}\input{{table.tex}}{letters}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
