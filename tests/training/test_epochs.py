"""The loop of a fit: its order of clips, its threads, what it writes and when, and what a kill leaves of it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from affekt.config import LossSection, TrainingSection
from affekt.data.splits import Fold
from affekt.encoders.baselines import PrecomputedEncoder
from affekt.errors import ConfigError
from affekt.training import epochs as module
from affekt.training.epochs import Clips, HeldClips, Recipe, build_optimizer, epoch_order, start_fabric, threads_for
from affekt.training.fit import fit_suffix
from affekt.training.table import ClipTable, Fitted, Task

RECIPE = Recipe.of("mlp", TrainingSection(epochs=5, batch_size=8, lr=1e-4, accelerator="cpu"), LossSection())


def fit(folder: Path, recipe: Recipe = RECIPE, on_epoch: Callable[[Any], None] = lambda history: None) -> Fitted:
    """Heads on looked-up embeddings of 60 songs."""
    rng = np.random.default_rng(0)
    ids = tuple(f"song{i}" for i in range(60))
    x = dict(zip(ids, rng.standard_normal((60, 6)).astype(np.float16), strict=True))
    labels = dict(zip(ids, rng.uniform(1, 9, (60, 2)), strict=True))
    encoder = PrecomputedEncoder("precomputed:x", x)
    task = Task(
        ClipTable({song: one[None] for song, one in x.items()}), labels, Fold(ids[:40], ids[40:50], ids[50:]), 3
    )
    return fit_suffix(task, encoder, encoder.cut("all"), recipe, folder, on_epoch)


def same(left: Fitted, right: Fitted) -> bool:
    alike = all(np.array_equal(left.predictions[song], right.predictions[song]) for song in right.predictions)
    return alike and left.history == right.history and left.chosen == right.chosen


# Saved, killed, taken up again


def _killed(folder: Path, after: int) -> None:
    """A fit in a process that ends at once, with nothing flushed or tidied up, as by a kill or a power cut."""
    module.SAVE_EVERY_S = 0.0
    torch.set_num_threads(1)
    fit(folder, on_epoch=lambda history: os._exit(9) if len(history) == after else None)


def test_a_fit_that_was_killed_gives_the_numbers_of_one_that_was_not(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(tmp_path / "killed", 3))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["last.ckpt"]
    told: list[int] = []
    again = fit(tmp_path / "killed", on_epoch=lambda history: told.append(len(history)))
    assert told == [4, 5]
    assert same(again, fit(tmp_path / "whole"))


def test_quick_epochs_are_not_each_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    save = torch.save

    def watch(state: Any, file: Any) -> None:
        written.append(len(state["history"]))
        save(state, file)

    monkeypatch.setattr(torch, "save", watch)
    monkeypatch.setattr(module, "SAVE_EVERY_S", 1e9)
    fit(tmp_path / "quick")
    assert written == [5], "the last one, for what comes behind it may still fail"
    written.clear()
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    fit(tmp_path / "slow")
    assert written == [1, 2, 3, 4, 5]


def test_what_is_written_late_is_the_finished_epoch_and_not_the_one_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_EVERY_S", 1e9)
    whole, step = fit(tmp_path / "whole"), module.Training._step

    def stop(self: module.Training, *batch: torch.Tensor) -> Any:
        found = step(self, *batch)
        if len(self.history) == 3:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.Training, "_step", stop)
        fit(tmp_path / "stopped")
    told: list[int] = []
    assert same(fit(tmp_path / "stopped", on_epoch=lambda history: told.append(len(history))), whole)
    assert told == [4, 5]


# Order and clips


def test_an_epoch_takes_some_clips_of_every_song() -> None:
    song = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 6])
    seen = [epoch_order(song, 3, epoch, 2).tolist() for epoch in range(20)]
    for order in seen:
        assert len(order) == len(set(order)) == 1 + 6 * 2
        assert np.bincount(song[order]).tolist() == [1, 2, 2, 2, 2, 2, 2]
    assert set().union(*seen) == set(range(len(song))), "in time every clip is heard"
    assert seen[0] != seen[1]
    assert epoch_order(song, 3, 0, 2).tolist() == seen[0]
    assert sorted(epoch_order(song, 3, 0).tolist()) == list(range(len(song)))


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 6), st.integers(0, 2**32), st.integers(0, 50)
)
def test_a_song_gives_the_first_of_its_clips_in_the_order_of_all(
    n_clips: list[int], per_song: int, seed: int, epoch: int
) -> None:
    song = np.repeat(np.arange(len(n_clips)), n_clips)
    wanted, taken = [], [0] * len(n_clips)
    for clip in epoch_order(song, seed, epoch).tolist():
        taken[song[clip]] += 1
        if taken[song[clip]] <= per_song:
            wanted.append(clip)
    assert epoch_order(song, seed, epoch, per_song).tolist() == wanted


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 100))
def test_clips_held_in_memory_come_in_the_same_batches(n: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {f"{i}": rng.standard_normal((2, 3)).astype(np.float16) for i in range(n)}
    clips = Clips(ClipTable(arrays), list(arrays), rng.standard_normal((2 * n, 2)))
    held = HeldClips(clips, clips.activations(np.arange(2 * n)))
    order = rng.permutation(2 * n)[: 1 + n]
    assert len(held) == len(clips)
    left, right = list(clips.batches(order, size)), list(held.batches(order, size))
    assert [len(labels) for _, labels in left] == [len(labels) for _, labels in right]
    for one, other in zip(left, right, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# Threads and devices


@pytest.mark.parametrize(("flop", "threads"), [(module.ONE_THREAD_FLOP / 2, 1), (module.ONE_THREAD_FLOP * 2, 2)])
def test_small_steps_run_on_one_thread(flop: float, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt), threads_for(flop):
            assert torch.get_num_threads() == threads
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2, "whatever ends it"
    finally:
        torch.set_num_threads(before)


def test_heads_alone_give_the_same_numbers_however_many_threads_there_are(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    fitted = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fitted.append(fit(tmp_path / str(threads)))
    finally:
        torch.set_num_threads(before)
    assert same(*fitted)


def test_a_device_that_is_not_there_is_a_mistake_in_the_settings() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "gpu"
    with pytest.raises(ConfigError, match=f"accelerator {missing}.*does not work on this machine"):
        start_fabric(replace(RECIPE, accelerator=missing))


def test_gradients_are_clipped_before_the_step_whatever_the_precision(tmp_path: Path) -> None:
    """A fused optimiser would take the scale of half precision off too late."""
    for precision in ("32-true", "bf16-mixed", "16-mixed"):
        optimizer = build_optimizer(nn.Linear(2, 2), replace(RECIPE, precision=precision))
        assert optimizer.defaults["fused"] == (precision != "16-mixed")
    fitted = fit(tmp_path, replace(RECIPE, precision="bf16-mixed"))
    assert all(np.isfinite(y).all() for y in fitted.predictions.values())
