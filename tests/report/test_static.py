import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from affekt.errors import MissingExtraError, StorageError
from affekt.report import page, static
from affekt.report.figures.ladder import ladder
from affekt.report.figures.matrix import matrix

pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "a": 0.5, "a (untrained)": 1.2}
DESIGN = {"waveform/x": 0.9, "waveform/y": 1.1, "log-mel/x": 0.7, "log-mel/y": 0.6}


def drawn(picture):
    with static.own_settings():
        return static.draw(picture)


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_visible()]


@pytest.mark.filterwarnings("error::UserWarning")  # such as a sign that the font lacks
def test_every_picture_of_a_page_can_be_drawn_with_its_words(viewed):
    data = page.page_data(viewed(noise={**NOISE, **DESIGN}, n_songs=20, synthetic=True, ceiling=(0.8, 0.9)))
    for picture in page.pictures_of(data):
        figure = drawn(picture)
        said = " ".join(texts(figure))
        assert "synthetic music" in said and static.words(picture["title"]) in said
        names = picture["figure"]["layout"]["yaxis"].get("ticktext", [])
        assert all(static.words(name) in texts(figure) for name in names)


def test_points_bars_and_ceiling_stand_where_the_page_has_them(viewed):
    view = viewed(noise=NOISE, ceiling=(0.8, 0.9))
    picture = ladder(view, "valence")
    axes = drawn(picture).axes[0]
    found = {tuple(np.round([*line.get_xdata(), *line.get_ydata()], 3)) for line in axes.lines if line.get_marker()}
    for trace in picture["figure"]["data"]:
        assert (round(trace["x"][0], 3), round(trace["y"][0], 3)) in found
    assert list(axes.get_xlim()) == pytest.approx(picture["figure"]["layout"]["xaxis"]["range"])
    assert list(axes.get_ylim()) == pytest.approx(picture["figure"]["layout"]["yaxis"]["range"])
    assert any(list(line.get_xdata()) == [0.8, 0.8] and line.get_linestyle() == "--" for line in axes.lines)
    bars = [b for c in axes.containers for b in c.lines[2]]
    assert len(bars) == len(NOISE)


def test_cells_that_are_not_there_stay_empty(viewed):
    figure = drawn(matrix(viewed(noise={"mean": 0.0, "a": 0.5, "b": 1.0}), "valence"))
    mesh = figure.axes[0].collections[0]
    assert mesh.get_array().mask.tolist() == [[False, False], [True, False]]


def test_files_are_the_same_every_time_and_hold_no_date(viewed, tmp_path):
    picture = ladder(viewed(noise=NOISE, ceiling=(0.8, 0.9)), "valence")
    assert drawn(picture).get_layout_engine() is None, "with any engine each file would be drawn twice"
    first, second = (static.write_static(picture, tmp_path / name, "ladder") for name in "ab")
    assert [path.name for path in first] == ["ladder.png", "ladder.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    root = ET.fromstring(first[1].read_text(encoding="utf-8"))
    assert root.tag.endswith("svg") and "date" not in first[1].read_text(encoding="utf-8").lower()
    assert first[0].read_bytes().startswith(b"\x89PNG")


def test_settings_of_the_caller_neither_matter_nor_change(viewed, tmp_path):
    import matplotlib

    picture = ladder(viewed(), "valence")
    expected = static.write_static(picture, tmp_path, "one")[1].read_bytes()
    with matplotlib.rc_context({"font.size": 40, "axes.facecolor": "red"}):
        assert static.write_static(picture, tmp_path, "two")[1].read_bytes() == expected
        assert matplotlib.rcParams["font.size"] == 40


def test_pyplot_stays_unloaded(tmp_path):
    code = (
        "import sys\nfrom affekt.report import static\n"
        "assert 'matplotlib' not in sys.modules\n"
        "picture = {'title': 't', 'height_px': 200, 'min_width_px': 0, 'figure': {'data': [{'type': 'scatter', "
        "'mode': 'markers', 'x': [0, 1], 'y': [1, None]}], 'layout': {}}}\n"
        "static.write_static(picture, __import__('pathlib').Path(sys.argv[1]), 'x')\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


def test_a_folder_that_cannot_be_written_is_one_clear_error(viewed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        static.write_static(ladder(viewed(), "valence"), tmp_path / "file", "x")


def test_without_matplotlib_the_error_says_what_to_install(viewed, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'affekt\[figures\]'"):
        static.draw(ladder(viewed(), "valence"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a<br>b", "a\nb"),
        ('name<br><span style="font-size:11px;color:#5c5c63">role</span>', "name\nrole"),
        ("&lt;b&gt;bold&lt;/b&gt; &amp; <b>so</b>", "<b>bold</b> & so"),
        ("1 < 2 &lt; 3", "1 < 2 < 3"),
    ],
)
def test_words_are_those_that_plotly_shows(text, expected):
    assert static.words(text) == expected
