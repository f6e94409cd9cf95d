"""Who may import whom. A breach is named with file and line."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

import affekt

PACKAGE = Path(affekt.__file__).parent

#: Each layer imports from itself and from those above it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("files", "paths", "digest", "progress", "registry", "versions", "config"),
    ("data", "audio"),
    ("encoders",),
    ("features",),
    ("training",),
    ("evaluation",),
    ("contender", "folds", "record", "experiment", "report", "tracking", "doctor"),
    ("model",),
    ("service",),
    ("cli", "__main__"),
)
#: Tighter than its layer: scores are computed from results alone. `data.base` gives it words for lists of songs.
ALONE = {"evaluation": ("errors", "files", "data.base", "evaluation")}
#: Never import torch, nor anything that brings it, not even inside a function.
WITHOUT_TORCH = ("data", "evaluation", "report")
TORCH = ("torch", "lightning", "transformers", "torchmetrics", "torchaudio", "torchvision")

Import = tuple[str, int, str]  # importing module below affekt, line, imported module


def imports(source: str, module: str, is_package: bool = False) -> Iterator[Import]:
    """All imports of a module, those inside functions included, those for type checkers alone left out."""
    tree = ast.parse(source)
    for node in _run(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield module, node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            here = f"affekt.{module}" if is_package else f"affekt.{module}".rpartition(".")[0]
            base = resolve_name("." * node.level + (node.module or ""), here) if node.level else str(node.module)
            for alias in node.names:
                yield module, node.lineno, f"{base}.{alias.name}"


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run: all but what stands under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield from _run(child)


def breach(found: Import) -> str | None:
    """What is wrong with an import, if anything."""
    module, line, imported = found
    importer, top = module.split(".")[0], imported.split(".")[0]
    where = f"{module.replace('.', '/')}.py:{line}"
    if top in TORCH and importer in WITHOUT_TORCH:
        return f"{where}: {importer} imports {top}; it must work where {top} is not installed"
    if top != "affekt" or imported == "affekt":
        return None
    target = imported.removeprefix("affekt.")
    if rank(importer) < rank(target.split(".")[0]):
        return f"{where}: {importer} imports {target}, which stands to its right"
    allowed = ALONE.get(importer)
    if allowed is not None and not any(f"{target}.".startswith(f"{name}.") for name in allowed):
        return f"{where}: {importer} imports {target}; allowed are {', '.join(allowed)}"
    return None


def rank(name: str) -> int:
    """Which layer a module or folder stands in."""
    return next(index for index, layer in enumerate(LAYERS) if name in layer)


def modules() -> dict[str, Path]:
    """Modules of the package by name below it, but for its front page, which loads on use."""
    paths = {path.relative_to(PACKAGE).with_suffix(""): path for path in PACKAGE.rglob("*.py")}
    return {".".join(name.parts): path for name, path in paths.items() if name.parts != ("__init__",)}


def imports_of(name: str, path: Path) -> list[Import]:
    return list(imports(path.read_text(encoding="utf-8"), name.removesuffix(".__init__"), path.stem == "__init__"))


def test_every_module_has_its_place() -> None:
    known = {name for layer in LAYERS for name in layer}
    assert {name.split(".")[0] for name in modules()} <= known
    assert len(known) == sum(map(len, LAYERS))


def test_imports_go_to_the_left() -> None:
    breaches = [text for name, path in modules().items() for one in imports_of(name, path) if (text := breach(one))]
    assert not breaches, "\n" + "\n".join(breaches)


def test_the_front_page_imports_the_standard_library_alone() -> None:
    found = list(imports((PACKAGE / "__init__.py").read_text(encoding="utf-8"), "", is_package=True))
    assert {imported.split(".")[0] for _, _, imported in found} <= sys.stdlib_module_names


def test_the_walk_sees_the_package() -> None:
    """The tests above prove something only if imports are found."""
    found = {(name, imported) for name, path in modules().items() for _, _, imported in imports_of(name, path)}
    assert ("experiment", "affekt.features.extract.extract") in found
    assert ("cli", "affekt.doctor.examine") in found
    assert len(modules()) > 40


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("data.base", "\nimport affekt.encoders", "data/base.py:2: data imports encoders, which stands to its right"),
        ("data.base", "from affekt import cli", "data/base.py:1: data imports cli, which stands"),
        ("features.store", "from ..training import fit", "features/store.py:1: features imports training.fit, which"),
        ("features.store", "def f():\n    from affekt.cli import app", "features/store.py:2: features imports cli.app"),
        ("errors", "from affekt.files import atomic", "errors.py:1: errors imports files.atomic, which"),
        ("data.deam", "def f():\n    import torch.nn", "data/deam.py:2: data imports torch; it must work where"),
        ("report.html", "from lightning import Trainer", "report/html.py:1: report imports lightning"),
        ("evaluation.scores", "from affekt.data.deam import x", "allowed are errors, files, data.base, evaluation"),
        ("evaluation.scores", "import affekt.config", "allowed are errors, files, data.base, evaluation"),
    ],
)
def test_a_breach_is_named(module: str, source: str, message: str) -> None:
    (text,) = [text for one in imports(source, module) if (text := breach(one))]
    assert message in text


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("audio.decode", "from affekt.data.base import Song\nimport torch"),
        ("encoders.base", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from affekt.cli import app"),
        ("evaluation.scores", "from affekt.data.base import named\nfrom . import metrics\nimport affekt.errors"),
        ("report.html", "import torchbearer"),
        ("cli", "from affekt.experiment import run_experiment"),
    ],
)
def test_what_is_allowed(module: str, source: str) -> None:
    assert [text for one in imports(source, module) if (text := breach(one))] == []


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import affekt; affekt.cli if hasattr(affekt, 'cli') else None; import affekt.cli", ("numpy", "pandas")),
        ("import affekt; dir(affekt); from affekt.registry import ENCODERS; ENCODERS.names()", ("numpy", "pydantic")),
        ("import affekt.config", ("numpy", "pandas")),
        ("import affekt.evaluation, affekt.report", ("affekt.encoders",)),
        ("import affekt.data.deam, affekt.data.demo, affekt.data.folder", ("affekt.encoders",)),
    ],
)
def test_what_stays_unloaded(statement: str, heavy: tuple[str, ...]) -> None:
    """In a process of its own. `affekt --help` answers at once because `affekt.cli` brings nothing heavy."""
    unwanted = (*heavy, *TORCH, "librosa", "soundfile", "sklearn", "kagglehub")
    if "evaluation" in statement:  # scores are computed with it
        unwanted = tuple(name for name in unwanted if name != "sklearn")
    code = f"import sys\n{statement}\nprint([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
