"""The plug-in for beets, in a real library, by the command `beet` in processes of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mutagen
import pytest
import yaml
from beets.library import Item, Library

from affekt.model.predictor import load_model

ROOT = Path(__file__).parents[1]


class Beets:
    """A library in a folder, with four songs that stay where they are."""

    def __init__(self, folder: Path, songs: Path) -> None:
        self.folder = folder
        self.songs = folder / "music"
        self.songs.mkdir(parents=True)
        for path in sorted((songs / "audio").iterdir())[:4]:
            shutil.copy(path, self.songs)

    def configure(self, **settings: object) -> None:
        value = {
            "library": str(self.folder / "library.db"),
            "directory": str(self.songs),
            "plugins": ["affekt"],
            "import": {"copy": False, "write": False, "autotag": False, "quiet": True},
            "affekt": settings,
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(value))

    def __call__(self, *arguments: str | Path) -> str:
        """Run `beet`; standard output, then standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "beets", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "BEETSDIR": str(self.folder), "PYTHONPATH": str(ROOT / "src")},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def items(self) -> list[Item]:
        return list(Library(str(self.folder / "library.db"), str(self.songs)).items())


@pytest.fixture
def beets(tmp_path: Path, song_folder: Path) -> Beets:
    return Beets(tmp_path / "beets", song_folder)


@pytest.mark.slow
def test_the_command_fills_fields_once_and_they_can_be_asked_for(beets: Beets, ridge_bundle: Path) -> None:
    beets.configure(model=str(ridge_bundle))
    beets("import", beets.songs)
    (beets.songs / "song00.wav").write_text("no song\n" * 100)
    said = beets("affekt")
    assert "3 songs predicted, 1 could not be" in said and "song00.wav: is not audio" in said
    model, items = load_model(ridge_bundle), beets.items()
    assert [item.filepath.name for item in items if "affekt_model" not in item] == ["song00.wav"]
    for item in items[1:]:
        expected = model.predict(item.filepath)
        assert float(item["affekt_valence"]) == pytest.approx(expected.valence)
        assert float(item["affekt_arousal_high"]) == pytest.approx(expected.interval("arousal").high)
        assert item["affekt_quadrant"] == expected.quadrant and item["affekt_model"] == model.fingerprint
    assert mutagen.File(beets.songs / "song01.wav").tags is None  # write: no
    least = min(float(item["affekt_arousal"]) for item in items[1:])
    assert len(beets("ls", f"affekt_arousal:{least + 1e-6}..").splitlines()) == 2  # a range of numbers, not of words
    assert "0 songs predicted, 1 could not be" in beets("affekt")
    assert "1 songs predicted, 0 could not be" in beets("affekt", "--force", "path::song02")


@pytest.mark.slow
def test_another_model_replaces_every_field_and_tags_are_written_on_demand(beets: Beets, ridge_bundle: Path) -> None:
    beets.configure(model=str(ridge_bundle), write=True)
    beets("import", beets.songs)
    beets("modify", "-y", "affekt_model=other@1", "affekt_tension=3")
    assert "4 songs predicted" in beets("affekt")
    (first, *_) = beets.items()
    assert "affekt_tension" not in first and first["affekt_model"] != "other@1"
    tags = mutagen.File(first.filepath).tags
    assert float(str(tags["TXXX:AFFEKT_VALENCE"])) == pytest.approx(float(first["affekt_valence"]), abs=1e-4)
    assert beets("update", "--pretend") == ""  # beets need not read them again


@pytest.mark.slow
def test_songs_are_predicted_on_import_if_that_is_wanted(beets: Beets, ridge_bundle: Path) -> None:
    beets.configure(model=str(ridge_bundle), auto=True)
    beets("import", beets.songs)
    items = beets.items()
    assert len(items) == 4 and all(1 <= float(item["affekt_valence"]) <= 9 for item in items)


def test_an_import_goes_on_without_a_model(beets: Beets, tmp_path: Path) -> None:
    beets.configure(model=str(tmp_path / "nowhere"), auto=True)
    assert "no such folder" in beets("import", beets.songs)
    assert len(beets.items()) == 4


def test_a_command_without_a_model_says_what_to_do(beets: Beets) -> None:
    beets.configure()
    assert "Set affekt.model" in beets("affekt")


def test_a_command_of_beets_loads_nothing_heavy(beets: Beets, ridge_bundle: Path) -> None:
    beets.configure(model=str(ridge_bundle), auto=True)
    code = (
        "import sys; from beets import ui\ntry: ui.main(['version'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'pandas', 'soundfile', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "BEETSDIR": str(beets.folder), "PYTHONPATH": str(ROOT / "src")},
    )
    assert "plugins: affekt" in done.stdout and done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_a_wheel_holds_the_plug_in_beside_the_package(tmp_path: Path) -> None:
    """And no `beetsplug/__init__.py`, which would hide the plug-ins of beets."""
    source = tmp_path / "source"
    source.mkdir()
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    code = "import setuptools.build_meta as build; print(build.build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    names = zipfile.ZipFile(tmp_path / done.stdout.splitlines()[-1]).namelist()
    assert {"affekt/cli.py", "affekt/model/tags.py", "beetsplug/affekt.py"} <= set(names)
    assert "beetsplug/__init__.py" not in names and "affekt/__init__.py" in names
