"""The documents keep their promises: commands and code of the README run, options exist, pages and links are right.

README.md marks its blocks: `sh` is run here, small, in its order; `console` needs internet or DEAM and is only parsed;
`yaml` and `python` blocks that begin with a file's name in a comment are written to that file first.
"""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import math
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile as sf
import typer
import yaml

from affekt.cli import app, main
from affekt.config import Experiment, load_experiment, parse_experiment
from affekt.experiment import run_experiment
from affekt.registry import DATASETS, ENCODERS
from affekt.report import exports

ROOT = Path(__file__).parents[1]
NOT_OURS = ("runs", "build")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(
        page
        for folder in sorted(ROOT.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in NOT_OURS
        for page in sorted(folder.rglob("*.md"))
    ),
]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
N_SONGS = 12
#: Enough for ten songs on either side of the centre, which the founding split asks for; the README names it, too.
N_SONGS_OF_SEED = 32
#: Encoders that are too large for a test, by the beginning of their name, and what stands in for them here.
STAND_INS = {"wav2vec2-": "wav2vec2-nano", "mambavision-": "mambavision-nano"}


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    text: str


def blocks(page: Path, kind: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [block.text for block in map(Block._make, fenced) if block.kind == kind]


def commands(page: Path, kind: str) -> list[list[str]]:
    """What follows `affekt` on each line that calls it, up to a pipe."""
    lines = [line.removeprefix("$ ") for block in blocks(page, kind) for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if line.startswith("affekt ")]
    return [line[1 : line.index("|")] if "|" in line else line[1:] for line in words]


README = ROOT / "README.md"
SHELL, CONSOLE = commands(README, "sh"), commands(README, "console")


def overrides(arguments: list[str]) -> list[str]:
    return [value for option, value in itertools.pairwise(arguments) if option == "--set"]


def n_songs_for(experiment: Experiment) -> int:
    return N_SONGS_OF_SEED if experiment.split.kind == "seed" else N_SONGS


def small(path: Path, sets: list[str]) -> list[str]:
    """Settings that make a run short and change nothing else: few songs and folds, one short clip, one epoch."""
    asked = load_experiment(path, sets)
    size = [f"dataset.n_songs={n_songs_for(asked)}"] if asked.dataset.name == "demo" else []
    dynamic = asked.dataset.annotations == "dynamic"
    heard = ["frames.window_s=1.0", "frames.hop_s=5.0"] if dynamic else []
    sets = [*size, "split.folds=2", *heard, *sets]
    for index in range(len(asked.encoders)):
        sets += [f"encoders.{index}.training.epochs=1"]
        sets += [] if dynamic else [f"encoders.{index}.clips={{count: 1, length_s: 1.0}}"]
    return sets


def named_file(block: str) -> str | None:
    """The file that a block's first line names."""
    found = re.match(r"# (\S+\.(?:yaml|py))\n", block)
    return found and found[1]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, song_folder: Path, demo_songs: Callable[..., None]) -> Path:
    """A folder with everything that the README assumes, and a cache folder with the demo corpus in it."""
    folder = tmp_path_factory.mktemp("docs")
    for n_songs, kind in ((N_SONGS, "static"), (N_SONGS_OF_SEED, "static"), (N_SONGS, "dynamic")):
        demo_songs(folder / "home", n_songs, kind)
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    shutil.copytree(song_folder, folder / "my-music")
    shutil.copy(song_folder / "audio" / "song00.wav", folder / "song.wav")
    for block in [*blocks(README, "yaml"), *blocks(README, "python")]:
        if name := named_file(block):
            (folder / name).write_text(block, encoding="utf-8")
    _write_embeddings(folder / "embeddings.csv", sorted(p.stem for p in (song_folder / "audio").iterdir()))
    return folder


def _write_embeddings(path: Path, ids: list[str]) -> None:
    values = np.random.default_rng(0).standard_normal((len(ids), 4)).round(3).tolist()
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["song_id", "e0", "e1", "e2", "e3"], *([i, *v] for i, v in zip(ids, values, strict=True))]
        )


@pytest.fixture
def at_work(workplace: Path, affekt_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder and the cache folder are those of `workplace`."""
    del affekt_home  # asked for so that it is set first
    monkeypatch.setenv("AFFEKT_HOME", str(workplace / "home"))
    monkeypatch.chdir(workplace)
    return workplace


# --- commands ---------------------------------------------------------------------------------------------------


def shorter(arguments: list[str]) -> list[str]:
    """The same command on few songs."""
    if arguments[0] not in ("compare", "train") or "--help" in arguments:
        return list(arguments)
    asked = overrides(arguments)
    added = small(Path(arguments[1]), asked)
    return [*arguments, *(part for one in added if one not in asked for part in ("--set", one))]


def check_small(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command, small, and see what it prints."""
    shortened = shorter(arguments)
    told = f"affekt {shlex.join(shortened)}"
    assert app(shortened, standalone_mode=False) in (None, 0), told
    printed = capsys.readouterr().out
    assert printed.strip() or (arguments[0] == "predict" and "--out" in arguments), told
    if arguments[0] == "compare" and "--help" not in arguments:
        table = [line.split("\t") for line in printed.splitlines()]
        titles = [encoder.title for encoder in load_experiment(Path(arguments[1]), overrides(arguments)).encoders]
        assert sorted({row[0] for row in table[1:]}) == sorted(titles), told
        assert table[0][:5] == ["encoder", "target", "r2", "r2_low", "r2_high"]


@pytest.mark.slow
def test_shell_commands_run(at_work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in SHELL:
        with monkeypatch.context() as patch:
            if arguments != ["compare", "music.yaml"]:  # pictures as PNG and SVG of one run: they take half of the time
                patch.setattr(exports, "write_figures", lambda *arguments: [])
            check_small(arguments, capsys)
    assert (at_work / "runs/demo/report.html").is_file()
    for name in ("results.json", "report.html", "run.json", "split.json", "folds", "checkpoints"):
        assert (at_work / "runs/demo" / name).exists(), name
    assert list(at_work.glob("runs/music-*/figures/*.png")), "pictures in the default run folder"
    assert len((at_work / "moods.csv").read_text(encoding="utf-8").splitlines()) == 1 + 16


@pytest.mark.parametrize("arguments", [*SHELL, *CONSOLE], ids=shlex.join)
def test_options_exist(arguments: list[str], at_work: Path) -> None:
    name, *rest = arguments
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    if "--help" in rest:
        return
    command.make_context(name, list(rest))  # raises on an option that is not there
    if name == "compare":
        load_experiment(Path(rest[0]), overrides(rest))


def test_every_command_is_shown() -> None:
    shown = {arguments[0] for arguments in [*SHELL, *CONSOLE]}
    assert set(typer.main.get_command(app).commands) == shown  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments", [["encoders"], ["cache"], ["doctor"], ["data", "folder", "--root", "my-music"]], ids=shlex.join
)
def test_json(arguments: list[str], at_work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app([*arguments, "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) is not None


@pytest.mark.parametrize(
    ("arguments", "code"), [(["encoders"], 0), (["compare", "not-there.yaml"], 2), (["compare", "--not-there"], 2)]
)
def test_exit_codes(arguments: list[str], code: int, at_work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(rf"^\| {code} \|", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    monkeypatch.setattr(sys, "argv", ["affekt", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {
        match for page in PAGES for block in blocks(page, "sh") for match in re.findall(r"^make (\w+)", block, re.M)
    }
    assert named and named <= targets


# --- code -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_python_blocks_run(at_work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(at_work)
    monkeypatch.setattr(ENCODERS, "_entries", dict(ENCODERS._entries))  # what a block registers goes again
    scripts = [block for block in blocks(README, "python") if named_file(block) is None]
    assert scripts
    if not (at_work / "models/demo").exists():  # what the README's commands have left, where these ran before
        app(shorter(next(arguments for arguments in SHELL if arguments[0] == "train")), standalone_mode=False)
    for script in scripts:
        names: dict[str, Any] = {}
        exec(compile(script, "README.md", "exec"), names)
        if "emotion" in names:
            assert 1 <= names["emotion"].valence <= 9
            continue
        table = names["results"].table()
        assert np.isfinite(table[["r2", "r2_low", "r2_high"]].to_numpy()).all()
    assert (at_work / "report.html").is_file()
    sys.modules.pop("my_encoders", None)


def test_the_data_set_that_a_page_shows_can_be_compared(
    song_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/datasets.md: its module is written to a file, its script is run on a folder in the layout that it names."""
    module, script = (block for block in blocks(ROOT / "docs/datasets.md", "python") if "my_songs" in block)
    (tmp_path / (named_file(module) or "")).write_text(module, encoding="utf-8")
    (tmp_path / "my-songs/audio").mkdir(parents=True)
    songs = list(csv.DictReader((song_folder / "metadata.csv").open(encoding="utf-8")))
    rows = []
    for number, song in enumerate(songs):
        sf.write(tmp_path / f"my-songs/audio/{number}.mp3", *sf.read(song_folder / song["file_name"]))
        labels = [round(1 + 6 * (float(song[target]) - 1) / 8, 2) for target in ("valence", "arousal")]
        rows.append([number, *labels, song["artist"]])
    with (tmp_path / "my-songs/ratings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["song", "valence", "arousal", "artist"], *rows])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    names: dict[str, Any] = {}
    exec(compile(script, "datasets.md", "exec"), names)
    sys.modules.pop("my_songs", None)
    results = names["results"]
    assert results.dataset["name"] == "my_songs" and results.dataset["scale"] == [1, 7]
    table = results.table()
    assert set(table["n_songs"]) == {len(songs)} and set(table["encoder"]) == {"mean", "handcrafted"}
    assert list(tmp_path.glob("runs/my_songs-*/results.json"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_blocks_are_experiments(page: Path) -> None:
    for block in blocks(page, "yaml"):
        assert isinstance(parse_experiment({"encoders": ["mean"], **yaml.safe_load(block)}), Experiment)


# --- experiments ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_run(path: Path, at_work: Path, tmp_path: Path) -> None:
    sets = ["dataset.name=demo", "dataset.root=null", "dataset.targets=null"]
    for index, encoder in enumerate(load_experiment(path).encoders):
        stand_in = next((nano for begin, nano in STAND_INS.items() if encoder.name.startswith(begin)), encoder.name)
        sets += [f"encoders.{index}.name={stand_in}", f"encoders.{index}.weights=random"]
    experiment = load_experiment(path, small(path, sets))
    results, folder = run_experiment(experiment, tmp_path / "run", quiet=True)
    assert results.labels == [encoder.title for encoder in experiment.encoders]
    assert results.seeds == sorted(experiment.seeds) and not results.skipped
    n_songs = n_songs_for(experiment)
    n_tested = n_songs if experiment.split.kind == "kfold" else math.ceil(n_songs / 10)
    for label in results.labels:
        ids, y_true, y_pred = results.arrays(label, results.seeds[0])
        assert len(ids) == n_tested and y_pred.shape == y_true.shape == (n_tested, 2)
        assert np.isfinite(y_pred).all() and (label == "mean" or np.ptp(y_pred, axis=0).all())
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


# --- pages ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that makes docs/experiment-file.md."""
    spec = importlib.util.spec_from_file_location("make_experiment_file", ROOT / "docs/make_experiment_file.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_experiment_file_page_is_up_to_date(maker: ModuleType) -> None:
    page = (ROOT / "docs/experiment-file.md").read_text(encoding="utf-8")
    assert page == maker.render(), "run: python docs/make_experiment_file.py"


def test_experiment_file_page_has_every_key_and_its_default(maker: ModuleType) -> None:
    page = (ROOT / "docs/experiment-file.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| .+? \| (\S.*?) \| (\S.*?) \|$", page, flags=re.MULTILINE)
    assert [key for key, _, _ in rows] == maker.keys()
    usual = parse_experiment({"encoders": ["mean"]})
    for key, default, _ in rows:
        if not (key.startswith("encoders[]") or default == "required"):
            value: Any = yaml.safe_load(default.strip("`"))
            for part in reversed(key.split(".")):
                value = {part: value}
            assert parse_experiment({"encoders": ["mean"], **value}) == usual, key


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_keys_named_in_text_exist(page: Path, maker: ModuleType) -> None:
    known = list(maker.keys())
    sections = {key.split(".")[0] for key in known if "." in key and "[" not in key}
    words = re.findall(r"`([a-z]+\.[a-z_]+)`", page.read_text(encoding="utf-8"))
    keys = {word for word in words if word.split(".")[0] in sections and not word.endswith(".json")}
    assert keys <= set(known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            target = (page.parent / path) if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as web views of repositories make them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
