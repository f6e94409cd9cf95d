"""A Ray of two cores for tests, whose processes are told what the names of files mean.

One that begins with "slow" takes a while, one that begins with "deadly" kills whoever reads it, and all are noted in
`begun.log` beside them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Runs as `sitecustomize` in every process of Ray; what it changes is loaded only where songs are heard.
HABITS = """
import importlib.util, os, signal, sys, time

class Habits:
    def find_spec(self, name, path, target=None):
        if name != "affekt.features.prepare":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), change(module)) and None
        return spec

def change(prepare):
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

if any("default_worker" in word for word in sys.orig_argv):
    sys.meta_path.insert(0, Habits())
"""


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


def copied(song_folder: Path, songs: Path, kind: str, n: int) -> None:
    for number, path in enumerate(sorted((song_folder / "audio").iterdir())[:n]):
        shutil.copy(path, songs / f"{kind}{number:02d}.wav")


def begun(songs: Path) -> list[tuple[int, str]]:
    log = songs / "begun.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]
