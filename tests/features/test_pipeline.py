"""What stops an extraction: a killed process, Ctrl-C, a worker that dies. Real processes, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affekt.audio.clips import ClipPlan
from affekt.audio.frames import FramePlan, Windows
from affekt.data.base import Curve, Song
from affekt.encoders import build_encoder
from affekt.errors import EncoderError
from affekt.features.extract import extract
from affekt.features.prepare import Recipe, Task
from affekt.features.store import Store
from affekt.features.worker import line

pytestmark = pytest.mark.slow

N_SONGS = 12
PLAN = ClipPlan(2, 1.0)
RATE_HZ = 22_050

#: Extracts slowly with two workers, to be stopped.
#: A test run in a shell's background inherits an ignored SIGINT; a user's terminal does not.
RUN = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from affekt.audio.clips import ClipPlan
from affekt.data.base import Song
from affekt.encoders import build_encoder
from affekt.features.extract import extract
from affekt.features.store import Store

folder = Path(sys.argv[1])
encoder = build_encoder("mambavision-nano", "random")
heard, plain = [], encoder.activations
def slowly(clips, cut):
    time.sleep(0.3)
    return plain(clips, cut)
encoder.activations = slowly
songs = [Song(path.stem, path, (5.0, 5.0)) for path in sorted(folder.glob("*.wav"))]
extract(encoder, encoder.cut("all"), songs, ClipPlan(2, 1.0), Store(folder / "store"), workers=2)
"""


@pytest.fixture
def songs(tmp_path: Path) -> list[Song]:
    rng = np.random.default_rng(0)
    for number in range(N_SONGS):
        soundfile.write(tmp_path / f"{number:02}.wav", 0.1 * rng.standard_normal(3 * RATE_HZ), RATE_HZ)
    return [Song(path.stem, path, (5.0, 5.0)) for path in sorted(tmp_path.glob("*.wav"))]


def started(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def goes_on(songs: list[Song], folder: Path) -> tuple[int, int, int]:
    """How many songs are there already, how many are new and how many fail, when the same is asked for again, here."""
    encoder = build_encoder("mambavision-nano", "random")
    found = extract(encoder, encoder.cut("all"), songs, PLAN, Store(folder / "store"), workers=0)
    return found.n_reused, found.n_extracted, len(found.skipped)


def n_stored(folder: Path) -> int:
    return len(list(folder.glob("store/*/[!.]*.safetensors")))


def wait_for_some(folder: Path, process: subprocess.Popen[str]) -> None:
    while n_stored(folder) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def members(session: int) -> list[int]:
    """Processes of a session that still run, apart from the dead that nobody has buried."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if int(of) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_killed_in_the_middle_nothing_stored_is_computed_again(songs: list[Song], tmp_path: Path) -> None:
    process = started(tmp_path)
    wait_for_some(tmp_path, process)
    assert len(members(process.pid)) == 3, "two workers beside the process itself"
    process.kill()
    process.communicate()
    stored = n_stored(tmp_path)
    assert 3 <= stored < N_SONGS
    deadline = time.monotonic() + 60
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert members(process.pid) == [], "workers see that their parent is gone"
    assert goes_on(songs, tmp_path) == (stored, N_SONGS - stored, 0)


def test_ctrl_c_keeps_what_is_finished(songs: list[Song], tmp_path: Path) -> None:
    process = started(tmp_path)
    wait_for_some(tmp_path, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers get it, too
    _, errors = process.communicate()
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    stored = n_stored(tmp_path)
    assert 3 <= stored < N_SONGS
    assert goes_on(songs, tmp_path) == (stored, N_SONGS - stored, 0)


def test_a_song_that_kills_its_workers_is_named(
    songs: list[Song], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's interpreter is told to die of one file, as of a bug in a decoder."""
    deadly = songs[4].audio_path
    monkeypatch.setattr(
        "affekt.features.crew._START",
        "import sys, os; sys.path[:] = sys.argv[1:]\n"
        "from affekt.features import prepare, worker\n"
        "plain = prepare.Recipe.__call__\n"
        f"die = lambda self, task: os._exit(7) if str(task.path) == {str(deadly)!r} else plain(self, task)\n"
        "prepare.Recipe.__call__ = die\n"
        "worker.main()",
    )
    encoder = build_encoder("mambavision-nano", "random")
    found = extract(encoder, encoder.cut("all"), songs, PLAN, Store(tmp_path / "store"), workers=2)
    assert list(found.skipped) == [songs[4].id]
    assert str(deadly) in found.skipped[songs[4].id] and "exit code 7" in found.skipped[songs[4].id]
    assert found.n_extracted == N_SONGS - 1


def test_windows_over_time_are_the_same_in_workers(songs: list[Song], tmp_path: Path) -> None:
    times_s = np.arange(1.0, 3.0, 0.5)
    curve = Curve(times_s, np.full((len(times_s), 2), 5.0))
    over_time = [Song(song.id, song.audio_path, (5.0, 5.0), curve=curve) for song in songs[:4]]
    encoder = build_encoder("mambavision-nano", "random")
    threads, workers = (
        extract(encoder, encoder.cut("all"), over_time, FramePlan(1.0), Store(tmp_path / f"store{n}"), workers=n)
        for n in (0, 2)
    )
    assert not threads.skipped and list(threads.arrays) == list(workers.arrays)
    for song, value in threads.arrays.items():
        assert len(value) == len(times_s)
        np.testing.assert_array_equal(value, workers.arrays[song])


def test_what_runs_in_workers_is_built_there_by_its_name() -> None:
    encoder = build_encoder("handcrafted")
    clips = np.random.default_rng(0).standard_normal((2, 22_050)).astype(np.float32)
    cut = encoder.cut("all")
    assert encoder.runs_in_workers and encoder.spec.sample_rate_hz
    told = json.loads(json.dumps(Recipe(encoder.spec.sample_rate_hz, encoder, cut).as_dict()))
    built = Recipe.of(told).encoder
    assert built is not None
    np.testing.assert_array_equal(built.activations(clips, cut), encoder.activations(clips, cut))
    told["encoder"]["digest"] = "of another"
    with pytest.raises(EncoderError, match="another encoder"):
        Recipe.of(told)


@pytest.mark.parametrize("heard", [ClipPlan(3, 0.7), Windows(1.5, False, (0.1 + 0.2, 1 / 3, 2.0))])
def test_a_task_is_told_to_the_last_digit(heard: ClipPlan | Windows) -> None:
    task = Task(Path("a\udcff b\n.wav"), heard)  # a name that is not UTF-8, with a line break
    assert Task.of(json.loads(line(task.as_dict()))) == task


def test_where_no_worker_starts_songs_are_prepared_here(
    songs: list[Song], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affekt.features.crew._START", "raise SystemExit(3)")
    encoder = build_encoder("mambavision-nano", "random")
    found = extract(encoder, encoder.cut("all"), songs, PLAN, Store(tmp_path / "store"), workers=2)
    assert found.n_extracted == N_SONGS and not found.skipped
