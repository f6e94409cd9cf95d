"""Many processes give the rows of one, whatever becomes of them on the way.

One Ray of two cores serves all tests. Its processes are told what the names of files mean (`HABITS`): one that begins
with "slow" takes a while, one that begins with "deadly" kills whoever reads it, and all are noted beside them.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affekt.config import parse_experiment
from affekt.errors import AffektError, ConfigError, MissingExtraError
from affekt.features.store import Store
from affekt.model.cluster import STILLBORN, Cluster, Ledger, _n_blocks, check_address, check_versions, cluster_of
from affekt.model.library import predict_library
from affekt.model.predictor import Model, load_model
from affekt.model.rows import read_rows
from affekt.model.train import train_model
from affekt.record import versions

#: Runs as `sitecustomize` in every process of Ray that is to work.
HABITS = """
import os, signal, sys, time
if any("default_worker" in word for word in sys.orig_argv):
    from affekt.features import prepare
    plain = prepare.sound
    def sound(task, sample_rate_hz):
        with open(task.path.parent / "begun.log", "a") as log:
            log.write(f"{os.getpid()} {task.path.name}\\n")
        if task.path.name.startswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.path.name.startswith("slow"):
            time.sleep(0.4)
        return plain(task, sample_rate_hz)
    prepare.sound = sound
"""
#: A test run in a shell's background inherits an ignored SIGINT; a user's terminal does not.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from affekt.cli import main; main()"
ONE, TWO = Cluster(n_actors=1), Cluster(n_actors=2)


@pytest.fixture(scope="module")
def bundles(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A frozen encoder with ridge, and one whose last layer was trained."""
    root = tmp_path_factory.mktemp("bundles")
    trained = {"name": "mambavision-nano", "freeze": "last1", "head": "seed", "training": {"epochs": 1}}
    for name, encoder in (("ridge", {"name": "mambavision-nano"}), ("suffix", trained)):
        experiment = parse_experiment(
            {
                "name": name,
                "dataset": {"name": "folder", "root": str(song_folder), "scale": [1, 9]},
                "split": {"folds": 4},
                "clips": {"count": 3, "length_s": 1.5},
                "encoders": ["mean", encoder],
            }
        )
        store = Store(root / "store")
        train_model(experiment, encoder["name"], root / name, root / f"run-{name}", store, quiet=True, workers=0)
    return {"ridge": root / "ridge", "suffix": root / "suffix"}


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Ray on two cores, with `HABITS`."""
    ray = pytest.importorskip("ray")
    habits = tmp_path_factory.mktemp("habits")
    (habits / "sitecustomize.py").write_text(HABITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(habits), *filter(None, sys.path)]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DATA_LOG_LEVEL", "CRITICAL")
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
        yield ray
        ray.shutdown()


@pytest.fixture
def songs(song_folder: Path, tmp_path: Path) -> Path:
    """A folder to put files into."""
    (tmp_path / "songs").mkdir()
    return tmp_path / "songs"


def copied(song_folder: Path, songs: Path, kind: str, n: int) -> None:
    for number, path in enumerate(sorted((song_folder / "audio").iterdir())[:n]):
        shutil.copy(path, songs / f"{kind}{number:02d}.wav")


def local(model: Model, songs: Path) -> bytes:
    """The table that this process alone writes, with the threads of an actor."""
    out = songs.parent / "local.jsonl"
    predict_library(model, [songs], out, quiet=True, threads=1)
    return out.read_bytes()


def begun(songs: Path) -> list[tuple[int, str]]:
    log = songs / "begun.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


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

    killer = threading.Thread(target=kill_one)
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
    with pytest.raises(AffektError, match=r"a process that predicts cannot go on: .* trained behind weights another"):
        predict_library(model, [songs], quiet=True, cluster=ONE)


@pytest.mark.slow
def test_nothing_is_reported(ray: Any) -> None:
    usage = pytest.importorskip("ray._common.usage.usage_lib")
    assert not usage.usage_stats_enabled()
    assert ray.get(ray.remote(num_cpus=0)(usage.usage_stats_enabled).remote()) is False
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_ledger_remembers_what_an_actor_died_of() -> None:
    ledger = Ledger(n_actors=1)
    for name in "abc":
        ledger.begin(name)
    ledger.finish("b", "row of b")
    assert ledger.known(["a", "b", "c", "d"]) == ({"b": "row of b"}, {"a": 1, "c": 1})
    ledger.begin("a")
    assert ledger.known(["a", "c"]) == ({}, {"a": 2, "c": 1})
    ledger.forget(["a", "b"])
    assert ledger.known(["a", "b", "c"]) == ({}, {"c": 1})


def test_actors_that_die_before_any_song_are_not_replaced_for_ever() -> None:
    ledger = Ledger(n_actors=2)
    assert [ledger.born() for _ in range(2 + STILLBORN + 1)] == [True] * (2 + STILLBORN) + [False]
    ledger = Ledger(n_actors=2)
    for number in range(50):  # actors that die now and then, with songs finished between
        assert ledger.born()
        ledger.finish(str(number), "row")


def test_other_versions_are_refused() -> None:
    check_versions(versions())
    with pytest.raises(ConfigError, match=r"numpy \S+ instead of 1\.0: numbers could differ"):
        check_versions(versions() | {"numpy": "1.0"})


def test_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="nobody answers there"):
            check_address(f"127.0.0.1:{taken.getsockname()[1]}")
        taken.listen()
        check_address(f"127.0.0.1:{taken.getsockname()[1]}")
    with pytest.raises(ConfigError, match="ray job submit"):
        check_address("ray://127.0.0.1:10001")


def test_options() -> None:
    assert cluster_of("local", None, 3, 2) is None
    assert cluster_of("ray", None, 0, None) == Cluster(None, None, 1)
    assert cluster_of("ray", "auto", 8, 2) == Cluster("auto", 8, 2)
    with pytest.raises(ConfigError, match='Did you mean "ray"'):
        cluster_of("rai", None, 0, None)
    with pytest.raises(ConfigError, match="Add --engine ray"):
        cluster_of("local", "auto", 0, None)


def test_the_extra_is_named(bundles: dict[str, Path], song_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"affekt\[ray\]"):
        predict_library(load_model(bundles["ridge"]), [song_folder / "audio"], quiet=True, cluster=ONE)


def test_blocks_keep_all_actors_busy_and_parts_few() -> None:
    assert [_n_blocks(n, 2) for n in (1, 5, 8, 100, 256, 257, 1_000_000)] == [1, 5, 8, 8, 8, 9, 31250]
