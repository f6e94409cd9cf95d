"""Many processes give the rows of one, whatever becomes of them on the way. What names of files mean: `ray_pool`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from affekt.errors import AffektError, MissingExtraError
from affekt.features.cluster import Cluster
from affekt.model.library import predict_library
from affekt.model.predictor import Model, load_model
from affekt.model.rows import read_rows
from ray_pool import begun, copied

#: A test run in a shell's background inherits an ignored SIGINT; a user's terminal does not.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from affekt.cli import main; main()"
ONE, TWO = Cluster(n_actors=1), Cluster(n_actors=2)


@pytest.fixture
def bundles(ridge_bundle: Path, suffix_bundle: Path) -> dict[str, Path]:
    """A frozen encoder with ridge, and one whose last layer was trained."""
    return {"ridge": ridge_bundle, "suffix": suffix_bundle}


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """A folder to put files into."""
    (tmp_path / "songs").mkdir()
    return tmp_path / "songs"


def local(model: Model, songs: Path) -> bytes:
    """The table that this process alone writes, with the threads of an actor."""
    out = songs.parent / "local.jsonl"
    predict_library(model, [songs], out, quiet=True, threads=1)
    return out.read_bytes()


def started(model: Path, songs: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    words = ["predict", str(model), str(songs), "--out", str(out), "--engine", "ray", *options]
    return subprocess.Popen(
        [sys.executable, "-c", START, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


def wait_for_parts(out: Path, n: int, process: subprocess.Popen[str]) -> None:
    while len(list(out.with_name(f"{out.name}.parts").glob("part-*.parquet"))) < n:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("bundle", "curve"), [("ridge", False), ("suffix", True)])
def test_the_same_table_bit_for_bit(
    ray: Any, bundles: dict[str, Path], song_folder: Path, songs: Path, bundle: str, curve: bool
) -> None:
    copied(song_folder, songs, "song", 10)
    (songs / "broken.mp3").write_text("no music")
    model = load_model(bundles[bundle])
    here, there = songs.parent / "here.jsonl", songs.parent / "there.jsonl"
    expected = predict_library(model, [songs], here, curve, quiet=True, threads=1)
    cluster = TWO if bundle == "ridge" else ONE
    assert predict_library(model, [songs], there, curve, quiet=True, cluster=cluster) == expected
    assert there.read_bytes() == here.read_bytes()
    assert [bool(row["error"]) for row in expected] == [True] + 10 * [False]
    assert sorted(path.name for path in songs.parent.iterdir()) == ["here.jsonl", "songs", "there.jsonl"]


@pytest.mark.slow
def test_an_actor_that_is_killed_loses_nothing(
    ray: Any, bundles: dict[str, Path], song_folder: Path, songs: Path
) -> None:
    copied(song_folder, songs, "slow", 12)
    model = load_model(bundles["ridge"])
    killed: list[int] = []

    def kill_one() -> None:
        while len(begun(songs)) < 4:
            time.sleep(0.02)
        killed.append(begun(songs)[-1][0])
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    out = songs.parent / "there.jsonl"
    predict_library(model, [songs], out, quiet=True, cluster=TWO)
    killer.join()
    assert out.read_bytes() == local(model, songs)
    again = [name for process, name in begun(songs) if process not in killed]
    interrupted = {name for process, name in begun(songs) if process in killed}
    assert interrupted & set(again), "it was killed with a song in hand"
    assert len(again) == len(set(again)), "no other song was heard twice"


@pytest.mark.slow
def test_a_song_that_kills_its_actors_is_a_row_with_an_error(
    ray: Any, bundles: dict[str, Path], song_folder: Path, songs: Path
) -> None:
    copied(song_folder, songs, "song", 6)
    model = load_model(bundles["ridge"])
    expected = local(model, songs)
    shutil.copy(songs / "song03.wav", songs / "deadly.wav")
    out = songs.parent / "there.jsonl"
    address = ray.get_runtime_context().gcs_address
    process = started(bundles["ridge"], songs, out, "--workers", "1", "--address", address)
    said, errors = process.communicate()
    assert process.returncode == 1 and said == "", errors
    assert "6 songs predicted, 1 could not be." in errors and "Traceback" not in errors
    deadly, *others = read_rows(out, model.targets)
    assert "deadly.wav: the process that hears it dies each time" in deadly["error"]
    assert deadly["valence"] is None and not any(row["error"] for row in others)
    assert out.read_bytes().split(b"\n", 1)[1] == expected
    assert [name for _, name in begun(songs)].count("deadly.wav") == 2


@pytest.mark.slow
def test_what_was_finished_when_the_driver_was_killed_is_not_predicted_again(
    ray: Any, bundles: dict[str, Path], song_folder: Path, songs: Path
) -> None:
    copied(song_folder, songs, "slow", 16)
    model, out = load_model(bundles["ridge"]), songs.parent / "there.jsonl"
    process = started(
        bundles["ridge"], songs, out, "--workers", "1", "--address", ray.get_runtime_context().gcs_address
    )
    wait_for_parts(out, 2, process)
    process.kill()
    process.communicate()
    assert not out.exists()
    parts = sorted(out.with_name("there.jsonl.parts").iterdir())
    finished = {row["path"] for part in parts for row in read_rows(part, model.targets)}
    assert 2 <= len(finished) < 16
    (songs / "begun.log").rename(songs / "earlier.log")
    (parts[0].parent / "part-000099.parquet").write_bytes(b"half a pa")
    predict_library(model, [songs], out, quiet=True, cluster=ONE)
    assert {str(songs / name) for _, name in begun(songs)} == {str(path) for path in songs.glob("*.wav")} - finished
    assert out.read_bytes() == local(model, songs)
    assert not parts[0].parent.exists()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(bundles: dict[str, Path], song_folder: Path, songs: Path) -> None:
    """With a Ray of its own: a terminal sends the signal to all its processes."""
    copied(song_folder, songs, "song", 16)
    for number in range(400):
        (songs / f"song{number + 16:03d}.wav").symlink_to(songs / f"song{number % 16:02d}.wav")
    out = songs.parent / "there.jsonl"
    process = started(bundles["ridge"], songs, out, "--workers", "1")
    wait_for_parts(out, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors and "Traceback" not in errors
    rows = read_rows(out, ("valence", "arousal"))
    assert 1 <= len(rows) < 416 and not any(row["error"] for row in rows)


@pytest.mark.slow
def test_why_an_actor_cannot_go_on_is_told(ray: Any, bundles: dict[str, Path], song_folder: Path, songs: Path) -> None:
    copied(song_folder, songs, "song", 1)
    model = load_model(bundles["ridge"])
    model.settings = model.settings.model_copy(update={"weights_digest": "another"})
    with pytest.raises(AffektError, match=r"a process of the pool cannot go on: .* trained behind weights another"):
        predict_library(model, [songs], quiet=True, cluster=ONE)


def test_the_extra_is_named(bundles: dict[str, Path], song_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"affekt\[ray\]"):
        predict_library(load_model(bundles["ridge"]), [song_folder / "audio"], quiet=True, cluster=ONE)
