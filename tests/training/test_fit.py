"""Training behind the cut: from stored activations alone, resumable to the last bit, blind to test songs."""

from __future__ import annotations

import copy
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import nn

from affekt.audio.clips import ClipPlan
from affekt.audio.decode import SampleStream
from affekt.audio.spectrogram import SpecAugment
from affekt.config import LossSection, TrainingSection
from affekt.data.base import Dataset
from affekt.data.folder import load_folder
from affekt.data.splits import Fold, draw_split
from affekt.encoders import build_encoder
from affekt.encoders.base import Cut
from affekt.encoders.baselines import PrecomputedEncoder
from affekt.errors import ConfigError, DivergedError, StorageError
from affekt.features.extract import extract
from affekt.features.store import Store
from affekt.training import epochs as epochs_module
from affekt.training import fit as module
from affekt.training.epochs import Clips, Recipe, Training, build_optimizer, build_schedule
from affekt.training.fit import Regressor, fit_suffix
from affekt.training.table import ClipTable, Fitted, Standardiser, Task

OnEpoch = Callable[[list[dict[str, float]]], None]
RECIPE = Recipe.of("mlp", TrainingSection(epochs=4, batch_size=8, accelerator="cpu"), LossSection())


@dataclass
class Case:
    """Everything that one fit needs."""

    task: Task
    encoder: Any
    cut: Cut

    def fit(self, folder: Path, recipe: Recipe = RECIPE, on_epoch: OnEpoch = lambda history: None) -> Fitted:
        return fit_suffix(self.task, self.encoder, self.cut, recipe, folder, on_epoch)

    def with_task(self, **changes: Any) -> Case:
        return replace(self, task=replace(self.task, **changes))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small models are faster so, and nothing depends on how a sum was shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(song_folder: Path) -> Dataset:
    return load_folder(song_folder)


@pytest.fixture(scope="module")
def case(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The last layer of wav2vec2-nano on one fold; songs have two clips, one has a single clip."""
    return make("wav2vec2-nano", "last1", dataset, ClipPlan(2, 2.0), tmp_path_factory.mktemp("store"))


def make(name: str, freeze: str, dataset: Dataset, plan: ClipPlan, folder: Path) -> Case:
    encoder = build_encoder(name)
    cut = encoder.cut(freeze)
    arrays = dict(extract(encoder, cut, dataset.songs, plan, Store(folder)).arrays)
    fold = draw_split(dataset, "kfold", 0, 4).folds[0]
    arrays[fold.test[0]] = arrays[fold.test[0]][:1]
    labels = {song.id: np.array(song.targets) for song in dataset.songs}
    return Case(Task(ClipTable(arrays), labels, fold, seed=0), encoder, cut)


@pytest.fixture(scope="module")
def fitted(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A fit that nothing disturbed."""
    return case.fit(tmp_path_factory.mktemp("fit"))


def same(left: Fitted, right: Fitted) -> bool:
    assert left.predictions.keys() == right.predictions.keys()
    alike = all(np.array_equal(left.predictions[song], right.predictions[song]) for song in left.predictions)
    return alike and left.history == right.history and left.chosen == right.chosen


# Nothing before the cut


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[Any]]:
    """Counts decoded files, opened audio files, and forward passes of every module, by class and by identity."""
    counted: Counter[Any] = Counter()

    plain = SampleStream.__init__

    def opened(self: SampleStream, *arguments: Any) -> None:
        counted["decode"] += 1
        plain(self, *arguments)

    class CountingFile(soundfile.SoundFile):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            counted["audio file"] += 1
            super().__init__(*arguments, **options)

    monkeypatch.setattr(SampleStream, "__init__", opened)
    monkeypatch.setattr(soundfile, "SoundFile", CountingFile)
    hook = nn.modules.module.register_module_forward_hook(
        lambda called, *_: counted.update([type(called).__name__, called])
    )
    yield counted
    hook.remove()


def test_an_epoch_never_decodes_audio_nor_runs_a_frozen_layer(
    dataset: Dataset, calls: Counter[Any], tmp_path: Path
) -> None:
    """Fine-tuning the last layer of wav2vec2-nano runs from the stored prefix."""
    encoder: Any = build_encoder("wav2vec2-nano")
    cut = encoder.cut("last1")
    features = extract(encoder, cut, dataset.songs, ClipPlan(2, 2.0), Store(tmp_path / "store"))
    n_songs = len(dataset)
    layer, frontend = type(encoder.model.encoder.layers[0]).__name__, "ConvStack"  # what the front end is rebuilt as
    assert calls["decode"] == n_songs
    assert calls["audio file"] >= n_songs
    assert calls[frontend] == n_songs
    assert calls[layer] == 3 * n_songs, "all but the last of four"
    projections = [type(encoder.model.feature_projection).__name__, type(encoder.model.encoder.pos_conv_embed).__name__]
    assert [calls[name] for name in projections] == [n_songs, n_songs]

    calls.clear()
    fold = draw_split(dataset, "kfold", 0, 4).folds[0]
    labels = {song.id: np.array(song.targets) for song in dataset.songs}
    fit_suffix(Task(ClipTable(features.arrays), labels, fold, 0), encoder, cut, RECIPE, tmp_path / "fit")
    assert calls["decode"] == calls["audio file"] == 0
    assert [calls[name] for name in (frontend, *projections)] == [0, 0, 0]
    assert [calls[module] for module in encoder.model.modules()] == [0] * len(list(encoder.model.modules()))
    ran = [module for module in calls if type(module).__name__ == layer]
    assert len(ran) == 1, "one copy of the last layer, and no copy of another"
    n_batches = sum(-(-2 * len(songs) // RECIPE.batch_size) for songs in (fold.train, fold.validation))
    assert calls[layer] == RECIPE.epochs * n_batches + 2, "training, validation; statistics before, predictions after"


@pytest.mark.parametrize(("name", "freeze"), [("wav2vec2-nano", "last1"), ("mambavision-nano", "last1")])
def test_only_what_stands_behind_the_cut_is_trained(name: str, freeze: str) -> None:
    encoder: Any = build_encoder(name)
    cut = encoder.cut(freeze)
    model = Regressor(encoder.suffix(cut), encoder.spec.embedding_dim, 2, RECIPE)
    behind = [p for stage in encoder.stages()[cut.index :] for p in stage.parameters()]
    head = sum(p.numel() for p in model.head.parameters())
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(p.numel() for p in behind) + head
    assert sum(p.numel() for p in behind) < encoder.n_parameters()


def test_the_encoder_itself_stays_as_it_was(case: Case, tmp_path: Path) -> None:
    before = copy.deepcopy(case.encoder.model.state_dict())
    case.fit(tmp_path, replace(RECIPE, epochs=1))
    after = case.encoder.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


# The numbers


def test_it_learns(fitted: Fitted, case: Case) -> None:
    assert fitted.history[-1]["train_mse"] < 0.6 * fitted.history[0]["train_mse"]
    assert [epoch["epoch"] for epoch in fitted.history] == [1, 2, 3, 4]
    assert fitted.training_s > 0
    for predicted in fitted.predictions.values():
        assert predicted.shape == (2,)
        assert ((predicted > 0) & (predicted < 10)).all(), "on the data set's scale"


def test_the_epoch_with_the_lowest_validation_loss_is_kept(case: Case, tmp_path: Path) -> None:
    # validation songs that contradict the training songs, so that the last epoch is not the best
    contrary = {song: 10 - case.task.labels[song] for song in case.task.fold.validation}
    case = case.with_task(labels={**case.task.labels, **contrary})
    recipe = replace(RECIPE, epochs=5, schedule="constant", lr=1e-3)
    fitted = case.fit(tmp_path, recipe)
    losses = [epoch["validation_loss"] for epoch in fitted.history]
    best = int(np.argmin(losses)) + 1
    assert best < 5, "learning must do harm here"
    assert fitted.chosen == {"epoch": best}
    assert [epoch["epoch"] for epoch in fitted.history if epoch["best"]] == [best]
    until_then = case.fit(tmp_path / "shorter", replace(recipe, epochs=best))
    assert until_then.chosen == {"epoch": best}
    for song, predicted in fitted.predictions.items():
        np.testing.assert_array_equal(predicted, until_then.predictions[song])


def test_only_the_best_weights_remain_and_predictions_follow_from_them(case: Case, tmp_path: Path) -> None:
    fitted = case.fit(tmp_path / "fit")
    assert [path.name for path in (tmp_path / "fit").iterdir()] == ["best.safetensors"]
    model = Regressor(case.encoder.suffix(case.cut), case.encoder.spec.embedding_dim, 2, RECIPE).eval()
    model.load_state_dict(load_file(tmp_path / "fit" / "best.safetensors"))
    labels = Standardiser.fit(case.task.y(case.task.fold.train))
    n_clips = []
    for song in case.task.fold.test:
        rows, _ = case.task.table.rows([song])
        n_clips.append(len(rows))
        with torch.inference_mode():
            by_clip = [model(torch.from_numpy(case.task.table.gather(rows[[i]])).float())[0] for i in range(len(rows))]
        wanted = np.mean([labels.undo(clip.numpy().astype(float)) for clip in by_clip], axis=0)
        np.testing.assert_allclose(fitted.predictions[song], wanted, rtol=1e-4)
    assert set(n_clips) == {1, 2}, "songs of different length among them"


def test_the_same_seed_gives_the_same_numbers(case: Case, fitted: Fitted, tmp_path: Path) -> None:
    torch.manual_seed(123)  # whatever was drawn before
    before = torch.get_rng_state()
    assert same(case.fit(tmp_path / "again"), fitted)
    assert torch.equal(torch.get_rng_state(), before), "and the caller's draws go on as if nothing had been"


def test_another_seed_gives_others(case: Case, fitted: Fitted, tmp_path: Path) -> None:
    other = case.with_task(seed=1).fit(tmp_path)
    assert not same(other, fitted)
    assert other.history[0]["train_mse"] != fitted.history[0]["train_mse"]


def test_tables_in_memory_and_mapped_train_alike(
    case: Case, fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affekt.training.table.IN_MEMORY_BYTES", 0)
    table = case.task.table
    arrays = dict(zip(table._rows, table._arrays, strict=True))
    assert same(case.with_task(table=ClipTable(arrays)).fit(tmp_path), fitted)


def test_each_epoch_has_its_own_order_and_each_step_its_own_dropout(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: dict[int, list[bytes]] = {}
    states: list[bytes] = []
    step = Training._step

    def watch(self: Training, activations: torch.Tensor, target: torch.Tensor) -> Any:
        orders.setdefault(len(self.history), []).extend(clip.numpy().tobytes() for clip in activations)
        states.append(torch.get_rng_state().numpy().tobytes())
        return step(self, activations, target)

    monkeypatch.setattr(Training, "_step", watch)
    case.fit(tmp_path)
    assert len(orders) == 4
    assert len({tuple(order) for order in orders.values()}) == 4
    rows, _ = case.task.table.rows(case.task.fold.train)
    every_clip = sorted(clip.astype(np.float32).tobytes() for clip in case.task.table.gather(rows))
    assert all(sorted(order) == every_clip for order in orders.values())
    assert len(states) == len(set(states)) > 4


def test_nothing_is_written_outside_the_folder(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no temporary folder"))
    monkeypatch.chdir(tmp_path)
    case.fit(tmp_path / "fit", replace(RECIPE, epochs=2))
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


# Stopped and taken up again


def stopped(case: Case, folder: Path, after: int, recipe: Recipe = RECIPE) -> None:
    def stop(history: list[dict[str, float]]) -> None:
        if len(history) == after:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        case.fit(folder, recipe, stop)
    assert signal.getsignal(signal.SIGINT) is before, "the next Ctrl-C must be heard"


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_fit_that_was_stopped_gives_the_numbers_of_one_that_was_not(
    case: Case, fitted: Fitted, tmp_path: Path, after: int
) -> None:
    stopped(case, tmp_path, after)
    assert not (tmp_path / "best.safetensors").exists()
    told: list[list[dict[str, float]]] = []
    assert same(case.fit(tmp_path, on_epoch=told.append), fitted)
    assert [len(history) for history in told] == list(range(after + 1, 5)), "finished epochs are not trained again"
    assert [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]


def test_every_epoch_is_told_with_all_that_went_before(case: Case, fitted: Fitted, tmp_path: Path) -> None:
    """Also to one who did not hear the beginning: so a curve that is drawn while training goes on is whole."""
    without_best = [{name: value for name, value in epoch.items() if name != "best"} for epoch in fitted.history]
    stopped(case, tmp_path, 2)
    told: list[list[dict[str, float]]] = []
    case.fit(tmp_path, on_epoch=told.append)
    assert told == [without_best[:3], without_best]


def test_the_learning_rate_is_noted_at_the_end_of_each_epoch(fitted: Fitted) -> None:
    """Two epochs up to the maximum, two down again: `triangular2`."""
    rates = [epoch["lr"] for epoch in fitted.history]
    np.testing.assert_allclose(rates, [(RECIPE.lr + RECIPE.max_lr) / 2, RECIPE.max_lr, rates[0], RECIPE.lr])


def test_stopped_twice(case: Case, fitted: Fitted, tmp_path: Path) -> None:
    stopped(case, tmp_path, 1)
    stopped(case, tmp_path, 3)
    assert same(case.fit(tmp_path), fitted)


def test_stopped_within_an_epoch(case: Case, fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = Training._step, Counter[int]()

    def stop(self: Training, activations: torch.Tensor, target: torch.Tensor) -> Any:
        calls[len(self.history)] += 1
        if calls[2] == 2:
            raise KeyboardInterrupt
        return step(self, activations, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "_step", stop)
        case.fit(tmp_path)
    told: list[list[dict[str, float]]] = []
    assert same(case.fit(tmp_path, on_epoch=told.append), fitted)
    assert [len(history) for history in told] == [3, 4]


def test_stopped_when_all_was_done_but_the_last_file(
    case: Case, fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_keep", stop)
        case.fit(tmp_path)
    assert same(case.fit(tmp_path), fitted)


def test_a_full_disk_is_one_clear_error_and_leaves_the_last_epoch(
    case: Case, fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs_module, "SAVE_EVERY_S", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(history: list[dict[str, float]]) -> None:
        if len(history) == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))

    try:
        with pytest.raises(StorageError, match="Free some space"):
            case.fit(tmp_path, on_epoch=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]
    told: list[list[dict[str, float]]] = []
    assert same(case.fit(tmp_path, on_epoch=told.append), fitted)
    assert [len(history) for history in told] == [3, 4]


def test_a_disk_that_is_full_when_the_best_weights_are_written(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = module._keep
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(*arguments: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            keep(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(module, "_keep", full)
    with pytest.raises(StorageError, match="Free some space"):
        case.fit(tmp_path, replace(RECIPE, epochs=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]


def test_a_folder_that_cannot_be_written(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        case.fit(tmp_path / "file" / "fit", replace(RECIPE, epochs=1))


def test_training_that_diverges_says_so(case: Case, tmp_path: Path) -> None:
    wild = replace(RECIPE, lr=1e30, max_lr=1e38, grad_clip=0.0, schedule="constant")
    with pytest.raises(DivergedError, match=r"diverged in epoch \d.*training.max_lr") as caught:
        case.fit(tmp_path, wild)
    assert isinstance(caught.value, ConfigError), "outside a search it is a mistake in the settings"


# Nothing is learnt from those who are scored


def changed(labels: Mapping[str, np.ndarray], songs: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {song: 10 - 0.5 * y if song in songs else y for song, y in labels.items()}


def test_labels_of_test_songs_change_nothing(case: Case, fitted: Fitted, tmp_path: Path) -> None:
    other = case.with_task(labels=changed(case.task.labels, case.task.fold.test)).fit(tmp_path)
    assert same(other, fitted)


def test_labels_of_validation_songs_choose_the_epoch_and_no_more(case: Case, fitted: Fitted, tmp_path: Path) -> None:
    other = case.with_task(labels=changed(case.task.labels, case.task.fold.validation)).fit(tmp_path)
    for name in ("train_mse", "train_loss"):
        assert [epoch[name] for epoch in other.history] == [epoch[name] for epoch in fitted.history]
    assert other.history[0]["validation_mse"] != fitted.history[0]["validation_mse"]


def test_clips_of_other_songs_leave_the_standardisation_alone(case: Case, fitted: Fitted, tmp_path: Path) -> None:
    """Statistics of embeddings come from training songs: another test song's sound changes its own score only."""
    table, (first, *others) = case.task.table, case.task.fold.test
    arrays = dict(zip(table._rows, table._arrays, strict=True))
    arrays[first] = (arrays[first] * 3 + 1).astype(np.float16)
    other = case.with_task(table=ClipTable(arrays)).fit(tmp_path)
    assert other.history == fitted.history
    assert not np.array_equal(other.predictions[first], fitted.predictions[first])
    for song in others:
        np.testing.assert_allclose(other.predictions[song], fitted.predictions[song], rtol=1e-5)


def linear_task(permuted: bool) -> tuple[Case, np.ndarray]:
    """Looked-up embeddings of 80 songs, labels linear in them, or dealt out at random."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(80, 6)).astype(np.float32)
    y = 5 + x @ rng.normal(size=(6, 2))
    if permuted:
        y = rng.permutation(y)
    ids = tuple(f"song{i}" for i in range(80))
    encoder = PrecomputedEncoder("precomputed:x", dict(zip(ids, x, strict=True)))
    table = ClipTable({song: vector[None] for song, vector in zip(ids, x, strict=True)})
    fold = Fold(ids[:50], ids[50:60], ids[60:])
    return Case(Task(table, dict(zip(ids, y, strict=True)), fold, 0), encoder, encoder.cut("all")), y[60:]


@pytest.mark.parametrize("head", ["linear", "mlp", "seed"])
def test_heads_alone_learn_what_is_there_and_nothing_else(head: str, tmp_path: Path) -> None:
    recipe = replace(
        RECIPE, head=head, epochs=15, lr=1e-2 if head != "linear" else 1e-1, schedule="constant", max_lr=1.0
    )
    scores = []
    for permuted in (False, True):
        case, y = linear_task(permuted)
        fitted = case.fit(tmp_path / str(permuted), recipe)
        predicted = np.stack([fitted.predictions[song] for song in case.task.fold.test])
        scores.append(1 - ((y - predicted) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0))
    assert (scores[0] > 0.6).all()
    assert scores[1].mean() <= 0


# The recipe


def test_the_schedule_is_triangular2(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = Training._step

    def watch(self: Training, activations: torch.Tensor, target: torch.Tensor) -> Any:
        rates.append(self._optimizer.param_groups[0]["lr"])
        return step(self, activations, target)

    monkeypatch.setattr(Training, "_step", watch)
    case.fit(tmp_path, replace(RECIPE, epochs=8))
    n = len(rates) // 8  # steps per epoch; up for two epochs, down for two, then half as high
    assert rates[0] == pytest.approx(RECIPE.lr)
    assert rates[2 * n] == pytest.approx(RECIPE.max_lr)
    assert rates[4 * n] == pytest.approx(RECIPE.lr)
    assert rates[6 * n] == pytest.approx(RECIPE.lr + (RECIPE.max_lr - RECIPE.lr) / 2)
    assert max(rates) == rates[2 * n]


def test_a_constant_rate(case: Case) -> None:
    recipe = replace(RECIPE, schedule="constant")
    optimizer = build_optimizer(Regressor(case.encoder.suffix(case.cut), 96, 2, recipe), recipe)
    assert {group["lr"] for group in optimizer.param_groups} == {RECIPE.lr}
    assert build_schedule(optimizer, recipe, 10) is None


def test_the_state_space_takes_no_weight_decay() -> None:
    encoder: Any = build_encoder("mambavision-nano")
    model = Regressor(encoder.suffix(encoder.cut("none")), 128, 2, RECIPE)
    groups = build_optimizer(model, RECIPE).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(decay) == len(trained)
    free = {name for name, p in trained.items() if decay[id(p)] == 0}
    assert free == {name for name in trained if name.endswith((".A_log", ".D"))}
    assert len(free) >= 4
    assert {decay[id(p)] for name, p in trained.items() if name not in free} == {RECIPE.weight_decay}


# MambaVision, whole


@pytest.fixture
def few(dataset: Dataset) -> Dataset:
    return dataset.select(dataset.ids[:10])


def shorten(case: Case) -> Case:
    fold = case.task.fold
    return case.with_task(fold=Fold(fold.train[:4], fold.validation[:1], fold.test[:2]))


def test_everything_is_trained_and_masks_fall_in_training_alone(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """freeze: none stores images; SpecAugment perturbs them in each step and never where scores come from."""
    calls: list[tuple[bool, bool]] = []
    forward = SpecAugment.forward

    def watch(self: SpecAugment, images: torch.Tensor) -> torch.Tensor:
        masked = forward(self, images)
        calls.append((self.training, torch.equal(masked, images)))
        return masked

    monkeypatch.setattr(SpecAugment, "forward", watch)
    case = shorten(make("mambavision-nano", "none", few, ClipPlan(1, 2.0), tmp_path / "store"))
    recipe = replace(RECIPE, epochs=3, batch_size=4)
    fitted = case.fit(tmp_path / "fit", recipe)
    in_training = [untouched for training, untouched in calls if training]
    elsewhere = [untouched for training, untouched in calls if not training]
    assert len(in_training) == 3, "one step for each epoch"
    assert not all(in_training)
    assert len(elsewhere) == 3 + 2, "validation; statistics before, predictions after"
    assert all(elsewhere)
    assert fitted.n_trainable > case.encoder.n_parameters()
    stopped(case, tmp_path / "stopped", 1, recipe)
    assert same(case.fit(tmp_path / "stopped", recipe), fitted), "masks included"


def test_the_last_layer_of_mambavision(few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpecAugment, "forward", lambda self, images: pytest.fail("no image comes past the cut"))
    case = make("mambavision-nano", "last1", few, ClipPlan(1, 2.0), tmp_path / "store")
    recipe = replace(RECIPE, batch_size=4, epochs=6, schedule="constant", lr=3e-4)
    fitted = case.fit(tmp_path / "fit", recipe)
    assert fitted.history[-1]["train_mse"] < fitted.history[0]["train_mse"]
    assert fitted.n_trainable < case.encoder.n_parameters()
    assert same(case.fit(tmp_path / "again", recipe), fitted)


@pytest.mark.parametrize("name", ["wav2vec2-nano", "mambavision-nano"])
@pytest.mark.parametrize("freeze", ["last1", "none"])
def test_training_begins_with_embeddings_on_their_own_scale(name: str, freeze: str) -> None:
    """Batch norm sees the batch in training: statistics learnt otherwise begin with most values beyond 5."""
    encoder = build_encoder(name)
    cut = encoder.cut(freeze)
    clips = np.random.default_rng(0).standard_normal((48, 16000)).astype(np.float32)
    activations = torch.from_numpy(encoder.activations(clips, cut))
    recipe = Recipe("linear", 1, 16, 1e-3, 1e-3, 0.0, "constant", 1.0, "32-true", "cpu", 1, {})
    model = Regressor(encoder.suffix(cut), encoder.spec.embedding_dim, 2, recipe)
    songs = Clips(ClipTable({"song": activations.numpy()}), ["song"])
    model.standardise.learn(module._embed(model, songs))
    model.train()
    with torch.no_grad():
        first = model.standardise(model.suffix(activations[:16]))
    assert (first.abs() > 5).float().mean() < 0.02
    assert 0.3 < first.std() < 3
