"""Runs the notebooks on the demo corpus and keeps their outputs in them.

    python notebooks/execute.py                  both; needs the extra "dev"

Kept are results and pictures, without remarks of progress; pictures with a palette, at half their size or less. The
hash of all cells stands in the notebook's metadata, so that outputs of other code are found out.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from traitlets.config import Config

FOLDER = Path(__file__).parent
N_COLOURS = 64


def main() -> None:
    """Execute every notebook in a folder of its own and write it back."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        nbformat.write(tidied(notebook), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def executed(path: Path, folder: Path) -> NotebookNode:
    """A notebook with fresh outputs, run in `folder`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has raised.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # Through files instead of ports, where the system can: nobody else listens, and no port is taken twice.
        files = {"transport": "ipc", "ip": str(Path(sockets) / "kernel")} if os.name == "posix" else {}
        place = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, config=Config(KernelManager=files), timeout=600, resources=place).execute()
    return notebook


def tidied(notebook: NotebookNode) -> NotebookNode:
    """What is worth keeping, and nothing that differs from run to run or tells of the machine."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [_smaller(output) for output in cell.outputs if output.get("name") != "stderr"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = NotebookNode(
        kernelspec=kernel, language_info={"name": "python"}, affekt={"sources": digest(notebook)}
    )
    return notebook


def digest(notebook: NotebookNode) -> str:
    """Hash of the sources of all cells."""
    sources = [[cell.cell_type, cell.source] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def _smaller(output: NotebookNode) -> NotebookNode:
    """The output with its picture, if it has one, reduced to a palette."""
    if "image/png" in output.get("data", {}):
        picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")
        content = io.BytesIO()
        picture.quantize(N_COLOURS, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
        output.data["image/png"] = base64.b64encode(content.getvalue()).decode()
    return output


if __name__ == "__main__":
    main()
