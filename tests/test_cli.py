"""The command line as a user meets it: in processes of its own."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

COMPARE = """
name: small
dataset: {{name: folder, root: {root}}}
split: {{folds: 2}}
clips: {{count: 2, length_s: 2.0}}
encoders: [mean, handcrafted]
"""


class Finished(NamedTuple):
    """A comparison that ran in `folder`, with its store beside it."""

    folder: Path
    process: subprocess.CompletedProcess[str]

    @property
    def run(self) -> Path:
        """The run folder, wherever it was put."""
        (found,) = (self.folder / "runs").iterdir()
        return found


def affekt(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "affekt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.fixture
def experiment(song_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(COMPARE.format(root=song_folder), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One comparison for all tests that look at what is left of it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(COMPARE.format(root=song_folder), encoding="utf-8")
    return Finished(folder, affekt("compare", "small.yaml", "--store", "store", cwd=folder))


def test_help_is_quick_and_lists_every_command() -> None:
    found = affekt("--help")
    assert found.returncode == 0
    for command in ("compare", "report", "encoders", "data", "cache", "doctor"):
        assert re.search(rf"^  {command} ", found.stdout, re.M)
        assert "Examples:" in affekt(command, "--help").stdout
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "affekt", "--help"], capture_output=True, text=True, check=True
    ).stderr
    for heavy in ("numpy", "torch", "pandas", "pydantic", "scipy", "lightning"):
        assert not re.search(rf"\| +{heavy}$", loaded, re.M), f"--help loads {heavy}"


def test_compare_ends_with_a_table_and_a_report_and_report_rebuilds_it(finished: Finished) -> None:
    found = finished.process
    assert found.returncode == 0, found.stderr
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert rows[0][:2] == ["encoder", "target"] and len({row[0] for row in rows[1:]}) == 2
    page = finished.run / "report.html"
    assert str(page.relative_to(finished.folder)) in found.stderr
    first = page.read_bytes()
    page.unlink()
    again = affekt("report", finished.run)
    assert again.stdout == found.stdout
    assert page.read_bytes() == first


def test_the_default_run_folder_is_named_after_the_experiment(finished: Finished) -> None:
    assert re.sub(r"[0-9a-f]{8}$", "#", finished.run.name) == "small-#"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare", "nothing.yaml"], "no such experiment file"),
        (["compare", "{experiment}", "--set", "encoders=[wav2vec]"], "Did you mean"),
        (["compare", "{experiment}", "--set", "training.epoch=3"], 'Did you mean "training.epochs"'),
        (["compare", "{experiment}", "--set", "dataset.root=/nowhere"], "no such folder"),
        (["report", "nowhere"], "not there"),
        (["data", "deam", "--root", "/nowhere"], "no such folder"),
        (["data", "demi"], "Did you mean"),
    ],
)
def test_mistakes_are_one_message_without_traceback(
    arguments: list[str], told: str, experiment: Path, tmp_path: Path
) -> None:
    found = affekt(*(argument.format(experiment=experiment) for argument in arguments), cwd=tmp_path)
    assert found.returncode == 2
    assert told in found.stderr
    assert "Traceback" not in found.stderr and found.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_is_one_message_and_leaves_nothing_half_written(experiment: Path, tmp_path: Path) -> None:
    """A file size limit of the operating system stands in for the full disk: the same error path, without root."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from affekt.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "compare", str(experiment), "--out", str(tmp_path / "run")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 2, found.stderr
    assert "cannot write" in found.stderr and "Traceback" not in found.stderr
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "run" / "results.json").exists()


def test_ctrl_c_keeps_what_is_finished(finished: Finished, tmp_path: Path) -> None:
    """Many seeds make the run long enough to be stopped; the second run does not compute the folds of the first."""
    arguments = ["compare", str(finished.folder / "small.yaml"), "--out", str(tmp_path / "run")]
    arguments += ["--store", str(finished.folder / "store"), "--set", f"seeds={list(range(40))}"]
    # A test run in a shell's background inherits an ignored SIGINT; a user's terminal does not.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from affekt.cli import main; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)
    folds = tmp_path / "run" / "folds"
    deadline = time.monotonic() + 120
    while not any(folds.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    told = process.stderr.read()
    assert process.wait(60) == 130
    assert "the same command goes on" in told and "Traceback" not in told
    kept = {path: path.stat().st_mtime_ns for path in folds.glob("*.json")}
    assert 0 < len(kept) < 160
    assert affekt(*arguments).returncode == 0
    assert len(list(folds.iterdir())) == 160
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_encoders_lists_every_registered_one() -> None:
    from affekt.registry import ENCODERS

    rows = json.loads(affekt("encoders", "--json").stdout)
    assert len(rows) == len(ENCODERS.names())
    assert {row["name"]: row for row in rows}["mambavision-nano"]["weights"] == "random weights"
    assert affekt("encoders").stdout.startswith("name\tinput\tweights")


def test_data_shows_what_is_in_a_folder(song_folder: Path) -> None:
    found = json.loads(affekt("data", "folder", "--root", song_folder, "--json").stdout)
    assert found["n_songs"] == found["n_with_audio"] == 16 and found["n_artists"] == 8
    text = affekt("data", "folder", "--root", song_folder, "--targets", "arousal").stdout
    assert "16 songs" in text and "arousal" in text and "valence:" not in text


def test_data_audits_deam_and_says_by_its_exit_code_whether_it_can_be_used(tmp_path: Path) -> None:
    root = tmp_path / "deam"
    root.mkdir()
    header, rows = "song_id,valence_mean,valence_std,arousal_mean,arousal_std", "2,5,1,6,1\n3,4,1,3,1\n"
    (root / "static_annotations_averaged_songs_1_2000.csv").write_text(f"{header}\n{rows}")
    page = tmp_path / "page" / "audit.html"
    told = affekt("data", "deam", "--root", root, "--no-audio", "--html", page)
    assert told.returncode == 1 and "Not usable as it is" in told.stdout and "Do: " in told.stdout
    assert str(page) in told.stderr and "no dynamic annotations" in page.read_text(encoding="utf-8")
    found = json.loads(affekt("data", "deam", "--root", root, "--json").stdout)
    assert (found["n_songs"], found["usable"], found["findings"][0]["level"]) == (2, False, "fault")
    refused = affekt("data", "demo", "--html", page)
    assert refused.returncode == 2 and "demo has none" in refused.stderr


def test_cache_shows_and_cleans(finished: Finished, tmp_path: Path) -> None:
    place = tmp_path / "store"
    shutil.copytree(finished.folder / "store", place)
    rows = json.loads(affekt("cache", "--store", place, "--json").stdout)
    assert [(row["encoder"], row["songs"]) for row in rows] == [("handcrafted", 16)]
    typo = affekt("cache", "--store", place, "--clear", "wav2vec2-nan", "--yes")
    assert typo.returncode == 2 and "Held there: handcrafted" in typo.stderr
    assert "Deleted 16" in affekt("cache", "--store", place, "--clear", "all", "--yes").stdout
    assert json.loads(affekt("cache", "--store", place, "--json").stdout) == []


def test_doctor_checks_this_machine() -> None:
    found = affekt("doctor", "--json")
    rows = json.loads(found.stdout)
    assert found.returncode == (1 if any(row["state"] == "broken" for row in rows) else 0)
    assert {row["check"]: row["state"] for row in rows}["decoding"] == "ok"


def test_output_can_be_piped_into_something_that_stops_reading() -> None:
    if shutil.which("head") is None:
        pytest.skip("needs head")
    command = f"{sys.executable} -m affekt encoders | head -1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert found.stdout == "name\tinput\tweights\tlicence\tneeds\n" and found.stderr == ""


def test_train_and_predict(song_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(
        f"name: small\ndataset: {{name: folder, root: {song_folder}, scale: [1, 9]}}\nsplit: {{folds: 4}}\n"
        "clips: {count: 2, length_s: 1.5}\nencoders: [mambavision-nano]\n"
    )
    model, run = tmp_path / "model", tmp_path / "run"
    trained = affekt("train", path, "--encoder", "mambavision-nano", "--out", model, "--run", run)
    assert trained.returncode == 0 and f"affekt predict {model}" in trained.stderr
    assert [line.split("\t")[0] for line in trained.stdout.splitlines()] == ["target", "valence", "arousal"]
    songs = [song_folder / "audio" / f"song0{i}.wav" for i in range(2)]
    said = affekt("predict", model, *songs, "--json")
    assert said.returncode == 0 and "2 songs predicted" in said.stderr
    assert [row["path"] for row in json.loads(said.stdout)] == [str(song) for song in songs]
    (tmp_path / "broken.mp3").write_text("no music")
    found = affekt("predict", model, *songs, tmp_path / "broken.mp3", "--out", tmp_path / "t.csv")
    assert found.returncode == 1 and "broken.mp3: is not audio" in found.stderr and found.stdout == ""
    assert (tmp_path / "t.csv").read_text().count("\n") == 4
    none = affekt("predict", tmp_path, songs[0])
    assert none.returncode == 2 and "it is no model" in none.stderr and "Traceback" not in none.stderr
