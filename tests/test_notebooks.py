"""The founding notebooks run as they stand, on the demo corpus, and keep the outputs of the very code they show."""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 300_000
N_SONGS = 12
#: What makes a run of a notebook long, and what stands there in a test.
SIZES = {"n_songs=48": f"n_songs={N_SONGS}", '"epochs": 8': '"epochs": 2'}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that executes the notebooks and stores their outputs."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shortened(path: Path, folder: Path) -> Path:
    """A copy of a notebook with fewer songs and epochs, and no other change."""
    notebook = nbformat.read(path, as_version=4)
    for size, smaller in SIZES.items():
        (cell,) = [cell for cell in cells(notebook) if size in cell.source]
        cell.source = cell.source.replace(size, smaller)
    nbformat.write(notebook, folder / path.name)
    return folder / path.name


def cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook: Any) -> list[list[str]]:
    """What each code cell put out, in words of Jupyter."""
    return [
        [
            output.get("name") or " ".join(sorted(output.get("data", {output.output_type: ""})))
            for output in cell.outputs
        ]
        for cell in cells(notebook)
    ]


def texts(notebook: Any) -> list[str]:
    """Printed and formatted texts, but for remarks of progress."""
    outputs = [output for cell in cells(notebook) for output in cell.outputs if output.get("name") != "stderr"]
    found = [output.get("text") or output.get("data", {}).get("text/markdown") for output in outputs]
    return [text for text in found if text]


def headings(notebook: Any) -> list[str]:
    """The first line of each text, which no rounding of another machine can change."""
    return [text.split("\n")[0] for text in texts(notebook)]


def warnings_in(notebook: Any) -> list[str]:
    """What went to standard error, but for progress, and for what tqdm says where Jupyter has no widgets."""
    outputs = [output for cell in cells(notebook) for output in cell.outputs if output.get("name") == "stderr"]
    return [o.text for o in outputs if re.search("Warning|Error", o.text) and "TqdmWarning" not in o.text]


def test_both_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["mambavision", "wav2vec2"]


@pytest.mark.slow
@every_notebook
def test_it_runs_and_puts_out_what_it_keeps(
    path: Path,
    maker: ModuleType,
    demo_songs: Callable[..., None],
    affekt_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    demo_songs(affekt_home, N_SONGS)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    work = tmp_path / "work"
    work.mkdir()
    stored = nbformat.read(path, as_version=4)
    fresh = maker.executed(shortened(path, tmp_path), work)
    assert warnings_in(fresh) == []
    fresh = maker.tidied(fresh)
    assert kinds(fresh) == kinds(stored)
    assert headings(fresh) == [line.replace("48 songs (", f"{N_SONGS} songs (") for line in headings(stored)]
    assert [entry.name for entry in work.iterdir()] == ["runs"], "nothing is written elsewhere"
    assert (work / "runs" / path.stem / "report.html").is_file()


@every_notebook
def test_its_outputs_come_from_its_code(path: Path, maker: ModuleType) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    remedy = "run: python notebooks/execute.py"
    assert notebook.metadata["affekt"]["sources"] == maker.digest(notebook), remedy
    assert [cell.execution_count for cell in cells(notebook)] == list(range(1, len(cells(notebook)) + 1)), remedy
    assert all(cell.outputs for cell in cells(notebook)), remedy


def test_a_changed_cell_is_found_out(maker: ModuleType) -> None:
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    notebook.cells[1].source += "\n# changed"
    assert notebook.metadata["affekt"]["sources"] != maker.digest(notebook)


@every_notebook
def test_it_is_a_thin_story_that_ends_in_three_pictures(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert len(notebook.cells) <= 12
    assert max(len(cell.source.splitlines()) for cell in notebook.cells) <= 20
    pictures = notebook.cells[-1].outputs
    assert [output.metadata["image/png"]["alt"].split()[0] for output in pictures] == ["loss", "scatter", "confusion"]


@every_notebook
def test_every_result_in_it_says_synthetic(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    opening = " ".join(notebook.cells[0].source.split())
    assert "**synthetic music**" in opening and "**random weights**" in opening
    (scores,) = [text for text in texts(notebook) if "Scores" in text]
    assert "(synthetic music)" in scores.split("\n")[0] and "random weights" in scores
    assert all("synthetic music" in output.metadata["image/png"]["alt"] for output in notebook.cells[-1].outputs)


@every_notebook
def test_it_is_small_and_tells_nothing_of_the_machine(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    assert len(content.encode()) < MAX_BYTES
    for place in (str(ROOT), str(Path.home()), tempfile.gettempdir()):
        assert place not in content or place == "/"
    texts_alone = re.sub(r'"image/png": "[^"]*"', "", content)
    assert not re.search(r"""["' (](?:/[a-z]+){2,}|site-packages""", texts_alone)
    assert json.loads(content)["metadata"]["language_info"] == {"name": "python"}
