"""Whatever labels and titles are, no file that a report writes breaks."""

import csv
import io
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affekt.evaluation.scores import score
from affekt.report import exports, latex, page, static, summary, write_report
from affekt.report.view import View

PIECES = ["<b>", "</script>", "<!--", "]]>", "&amp;", '"', "'", "`", "\\", "{", "}", "$", "%", "_", "^", "~", "#", "|"]
PIECES += [
    ",",
    ";",
    "\n",
    "\t",
    "=1+1",
    "[",
    "]",
    "*",
    "--",
    "<br>",
    "{{ x }}",
    "{% x %}",
    "é",
    "ß",
    "日本",
    "🎵",
    "\u202e",
]
WILD = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), min_size=1, max_size=6).map("".join)
SANE = WILD.filter(lambda text: text.strip() and "\0" not in text and not re.search("[\ud800-\udfff]", text))
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def wild_view(comparison, labels, target, title):
    noise = {label: 0.5 + 0.1 * number for number, label in enumerate(labels)}
    results = comparison(n_songs=12, noise=noise, targets=("valence", target), seeds=(0,), n_folds=2)
    for song in results.songs:
        song["title"] = song["artist"] = song["genre"] = title
    results.dataset["notes"] = [title]
    return View(score(results, n_resamples=20))


wild = st.tuples(st.lists(SANE, min_size=2, max_size=2, unique=True), SANE.filter(lambda text: text != "valence"), SANE)


@SLOW
@given(names=wild)
def test_the_page_keeps_its_shape_and_shows_every_label(comparison, read_page, tmp_path_factory, names):
    view = wild_view(comparison, *names)
    path = write_report(view.scores, tmp_path_factory.mktemp("wild") / "report.html")
    found = read_page(path)
    assert not found.unclosed
    assert [attrs.get("id") for attrs in found.named("script")] == [None, "drawings", "song-names", "excerpts", None]
    shown = "".join(found.words.split())
    for label in view.scores.results.labels:
        assert "".join(label.replace("\r", "").split()) in shown
    assert found.stored("drawings").keys() == page.page_data(view)["drawings"].keys()


@SLOW
@given(names=wild)
def test_the_csv_gives_every_label_back(comparison, names):
    view = wild_view(comparison, *names)
    rows = list(csv.reader(io.StringIO(exports.results_csv(view), newline="")))
    assert {len(row) for row in rows} == {len(exports.CSV_COLUMNS)}
    assert {row[0] for row in rows[1:]} == set(view.scores.results.labels)


@SLOW
@given(names=wild)
def test_latex_stays_plain_balanced_and_in_its_columns(comparison, names):
    view = wild_view(comparison, *names)
    text = latex.latex_table(view)
    assert text.isascii()
    bare = re.sub(r"\\[\\{}$&#%_]", "", text)  # what is escaped does nothing
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0 and "#" not in bare and "~" not in bare.replace(r"\~{", "")
    assert [line for line in bare.splitlines() if "%" in line] == [text.splitlines()[0]]
    rows = [line for line in text.split(r"\begin{tabular}")[1].splitlines()[1:-2] if line != r"\hline"]
    assert len(rows) == 4
    for row in rows:
        n_columns = row.count(r"\multicolumn{2}") + len(re.split(r"(?<!\\)&", row))
        assert n_columns == 5 and row.endswith(r"\\"), row


@SLOW
@given(names=wild)
def test_markdown_keeps_its_table(comparison, names):
    view = wild_view(comparison, *names)
    text = summary.summary(view, page.heading(view), page.verdicts(view), page.further(view))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert text.count("\n## ") == 2 and not re.search(r"(?<!\\)<", text)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=wild)
@pytest.mark.filterwarnings("error")
def test_pictures_can_be_drawn_and_named(comparison, tmp_path_factory, names):
    view = wild_view(comparison, *names)
    pytest.importorskip("matplotlib")
    pictures = page.pictures_of(page.page_data(view))
    stems = list(exports.file_stems(pictures))
    assert len(set(stems)) == len(stems) and all(re.fullmatch(r"[a-z0-9-]+", stem) for stem in stems)
    folder = tmp_path_factory.mktemp("figures")
    assert all(path.stat().st_size for path in static.write_static(pictures[0], folder, stems[0]))
