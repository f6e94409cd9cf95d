"""A pool of processes stores what this process would, whatever becomes of it. What names of files mean: `ray_pool`."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt.audio.clips import ClipPlan
from affekt.audio.frames import FramePlan
from affekt.config import EncoderSection, parse_experiment
from affekt.data.base import Curve, Song
from affekt.encoders import build_section
from affekt.errors import AffektError, AudioError
from affekt.experiment import run_experiment
from affekt.features import remote as module
from affekt.features.cluster import Cluster, torch_threads
from affekt.features.crew import Prepared
from affekt.features.extract import Features, extract
from affekt.features.keys import Plan
from affekt.features.prepare import sound
from affekt.features.remote import Remote
from affekt.features.store import Store
from ray_pool import begun, copied

pytestmark = pytest.mark.slow
PLAN = ClipPlan(2, 1.5)
ONE, TWO = Cluster(n_actors=1), Cluster(n_actors=2)


def section(name: str = "mambavision-nano", **settings: Any) -> EncoderSection:
    (found,) = parse_experiment({"encoders": [{"name": name, **settings}]}).encoders
    return found


def songs_in(folder: Path, over_time: bool = False) -> list[Song]:
    times_s = np.arange(1.0, 5.0, 0.5)
    curve = Curve(times_s, np.zeros((len(times_s), 2))) if over_time else None
    paths = sorted(path for path in folder.iterdir() if path.suffix != ".log")
    return [Song(path.stem, path, (5.0, 5.0), curve=curve) for path in paths]


def heard(what: EncoderSection, songs: list[Song], store: Path, cluster: Cluster | None, plan: Plan = PLAN) -> Features:
    encoder, cut = build_section(what, 0)
    with torch_threads(1):
        return extract(
            encoder, cut, songs, plan, Store(store), workers=0 if cluster is None else Remote(cluster, what, 0)
        )


def stored(store: Path) -> dict[str, bytes]:
    """Every value, by key."""
    return {entry.key: Store(store).get(entry.key).tobytes() for entry in Store(store).entries()}


@pytest.mark.parametrize(
    ("what", "plan"),
    [
        ({"name": "mambavision-nano", "freeze": "last1", "head": "seed"}, FramePlan(1.0)),
        ({"name": "handcrafted"}, PLAN),
    ],
    ids=["cut before the last layer, over time", "descriptors"],
)
def test_the_same_values_bit_for_bit(
    ray: Any, song_folder: Path, tmp_path: Path, what: dict[str, Any], plan: Plan
) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    copied(song_folder, folder, "song", 5)
    shutil.copy(folder / "song00.wav", folder / "the same.wav")
    (folder / "broken.mp3").write_text("no music")
    songs = songs_in(folder, over_time=isinstance(plan, FramePlan))
    here = heard(section(**what), songs, tmp_path / "here", None, plan)
    there = heard(section(**what), songs, tmp_path / "there", ONE, plan)
    assert stored(tmp_path / "there") == stored(tmp_path / "here") and len(stored(tmp_path / "here")) == 5
    assert there.keys == here.keys and there.skipped == here.skipped and list(there.skipped) == ["broken"]
    assert list(there.arrays) == [song.id for song in songs if song.id != "broken"]
    again = heard(section(**what), songs, tmp_path / "there", ONE, plan)
    assert again.n_reused == 6 and again.n_extracted == 0


def test_an_actor_that_is_killed_loses_nothing(ray: Any, song_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    copied(song_folder, folder, "slow", 10)

    def kill_one() -> None:
        while len(begun(folder)) < 4:
            time.sleep(0.02)
        os.kill(begun(folder)[-1][0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    songs = songs_in(folder)
    found = heard(section(), songs, tmp_path / "there", TWO)
    killer.join()
    assert found.skipped == {} and len(begun(folder)) > len(songs), "a song in hand was heard again"
    heard(section(), songs, tmp_path / "here", None)
    assert stored(tmp_path / "there") == stored(tmp_path / "here")


def test_a_song_that_kills_its_actors_is_named() -> None:
    task = module.Task(Path("deadly.wav"), PLAN)
    content = module.Extracting(section().model_dump_json(), 0, "", 3).deadly(module.Item("key", module.told(task)))
    with pytest.raises(AudioError, match=r"deadly\.wav: the process that hears it dies each time"):
        module.RemoteAnswer.of("key", content).taken()


def test_another_encoder_is_refused(ray: Any, song_folder: Path, tmp_path: Path) -> None:
    """Say, because another machine has other weights under the same path."""
    folder = tmp_path / "songs"
    folder.mkdir()
    copied(song_folder, folder, "song", 2)
    encoder, cut = build_section(section(), 0)
    elsewhere = Remote(ONE, section(), 1)  # other weights are drawn
    with pytest.raises(AffektError, match=r"a process of the pool cannot go on: .* is another encoder here"):
        extract(encoder, cut, songs_in(folder), PLAN, Store(tmp_path / "store"), workers=elsewhere)
    assert stored(tmp_path / "store") == {} and begun(folder) == []


def test_another_file_under_the_same_path_is_not_taken(song_folder: Path) -> None:
    """What an actor does on a machine where the song is another one."""
    encoder, cut = build_section(section(), 0)
    first, second = sorted((song_folder / "audio").iterdir())[:2]
    task = module.Task(first, PLAN)
    item = module.Item(module.store_key(second, module.prefix_settings(encoder, cut, PLAN)), module.told(task))
    prepared = Prepared(sound(task, 16_000), 0.0)
    with pytest.raises(AudioError, match=f"{first.name}: holds something else on the machine"):
        module._answer(encoder, cut, item, prepared)


def test_a_comparison_on_a_cluster_gives_the_same_numbers(ray: Any, song_folder: Path, tmp_path: Path) -> None:

    shutil.copytree(song_folder, tmp_path / "songs")  # what is heard is noted beside it
    experiment = parse_experiment(
        {
            "dataset": {"name": "folder", "root": str(tmp_path / "songs"), "scale": [1, 9]},
            "split": {"folds": 4},
            "clips": {"count": 2, "length_s": 1.5},
            "encoders": ["mean", {"name": "mambavision-nano", "weights": "random"}],
            "seeds": [0, 1],
        }
    )
    with torch_threads(1):
        here, _ = run_experiment(experiment, tmp_path / "here", Store(tmp_path / "a"), quiet=True)
    there, _ = run_experiment(experiment, tmp_path / "there", Store(tmp_path / "b"), quiet=True, workers=ONE)
    assert stored(tmp_path / "a") == stored(tmp_path / "b")
    assert there.table().equals(here.table())
