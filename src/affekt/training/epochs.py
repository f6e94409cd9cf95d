"""The loop behind every fit: epochs of steps, the best one kept, and a state that a stopped fit goes on from.

Lightning Fabric brings devices, precision and processes; the loop is our own, because between two steps of a small
head even a function that does nothing can be felt. Whatever is random in an epoch is seeded by fit and epoch when the
epoch begins, and a fit is taken up again between epochs alone: so a fit that was stopped or killed gives the numbers of
one that was not. Losses are means over clips, of standardised labels.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.optim.lr_scheduler import CyclicLR

from affekt.config import LossSection, TrainingSection
from affekt.errors import ConfigError, DivergedError
from affekt.files import atomic
from affekt.training.losses import founding_loss
from affekt.training.table import ClipTable, Standardiser, Task

#: Parameters that take no weight decay, by the last part of their name: decay rates and direct paths of scans.
NO_DECAY = ("A_log", "D")
#: One half of the triangle of the cyclic schedule, in epochs.
HALF_CYCLE_EPOCHS = 2
#: Of quick epochs not each is written to disk: a fit that is killed repeats at most about so many seconds.
SAVE_EVERY_S = 1.0
#: A step whose forward pass has fewer operations runs on one thread: sharing it out costs more than it saves, and far
#: more as soon as another process takes a core.
ONE_THREAD_FLOP = 2e8

History = list[dict[str, float]]
#: Loss of a batch, its squared error alone, and how many clips it has.
Losses = tuple[Tensor, Tensor, int]
#: Activations (batch, ...) and labels (batch, n_targets).
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How to train; the experiment file's `head`, `training` and `loss` for one encoder."""

    head: str
    epochs: int
    batch_size: int
    lr: float
    max_lr: float
    weight_decay: float
    schedule: str
    grad_clip: float
    precision: str
    accelerator: str
    devices: int | str
    loss: dict[str, Any]
    clip_embeddings: float | None = 5.0
    clips_per_epoch: int | None = None

    @classmethod
    def of(cls, head: str, training: TrainingSection, loss: LossSection, clip_embeddings: float | None = 5.0) -> Recipe:
        """As sections of an experiment file say."""
        settings = training.model_dump(exclude={"validation"})
        return cls(head=head, loss=loss.model_dump(), clip_embeddings=clip_embeddings, **settings)


class Clips:
    """Clips of some songs, fetched from their table a batch at a time.

    Attributes:
        song: the number of each clip's song, shape (n_clips,).
    """

    def __init__(
        self,
        table: ClipTable,
        songs: Sequence[str],
        labels: np.ndarray | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self._table = table
        self._rows, self.song = table.rows(songs)
        labels = np.empty((len(self._rows), 0)) if labels is None else labels
        self.labels = torch.from_numpy(labels.astype(np.float32)).to(device)  # (n_clips, n_targets)

    @classmethod
    def of(cls, task: Task, songs: Sequence[str], labels: Standardiser, device: str | torch.device = "cpu") -> Clips:
        """The clips of `songs` with the standardised labels of their song."""
        return cls(task.table, songs, labels.apply(task.y_of_rows(songs)), device)

    def __len__(self) -> int:
        return len(self._rows)

    def activations(self, clips: np.ndarray) -> Tensor:
        """Activations of the clips of these numbers, (batch, ...), in single precision."""
        return torch.from_numpy(self._table.gather(self._rows[clips])).to(self.labels.device).float()

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        """Activations (batch, ...) and labels (batch, n_targets) of the clips of these numbers, `size` at a time."""
        for start in range(0, len(order), size):
            some = order[start : start + size]
            yield self.activations(some), self.labels[torch.from_numpy(some)]


class HeldClips(Clips):
    """Clips whose activations lie in memory as the model takes them: an epoch is put in order once, batches are views.

    Args:
        clips: whose activations they are.
        activations: of all clips, (n_clips, ...).
    """

    def __init__(self, clips: Clips, activations: Tensor) -> None:
        self.song, self.labels = clips.song, clips.labels
        self._activations = activations

    def __len__(self) -> int:
        return len(self._activations)

    def activations(self, clips: np.ndarray) -> Tensor:
        """(batch, ...)."""
        return self._activations[torch.from_numpy(clips)]

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        """As of `Clips`."""
        labels = self.labels[torch.from_numpy(order)]
        return zip(self.activations(order).split(size), labels.split(size), strict=True)


class Training:
    """A fit between two epochs: weights, optimiser, schedule, history, and the best weights so far.

    Args:
        fabric: of `start_fabric`.
        model: activations (batch, ...) to standardised values (batch, n_targets), on Fabric's device.
        train: clips to learn from.
        validation: clips that choose the epoch; None to keep the last one.
        recipe: how to train.
        seed: of the order of clips, dropout and augmentation.
        path: the file of a stopped fit's state; it is read if it is there.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        train: Clips,
        validation: Clips | None,
        recipe: Recipe,
        seed: int,
        path: Path,
    ) -> None:
        self.history: History = []
        self.best_epoch = -1
        self._best: dict[str, Tensor] = {}
        self._fabric, self._recipe, self._seed, self._path = fabric, recipe, seed, path
        self._train, self._validation = train, validation
        self._model = model
        # Wrapped for several processes only: the wrapper is felt in a small head's step.
        self._shared = fabric.setup_module(model) if fabric.world_size > 1 else model
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._optimizer = build_optimizer(model, recipe)
        n_steps = -(-len(self._order(0)) // recipe.batch_size)
        self._schedule = build_schedule(self._optimizer, recipe, n_steps)
        self._unsaved: dict[str, Any] | None = None
        self._saved_at = time.monotonic()
        if path.is_file():
            self._load()

    def run(self, on_epoch: Callable[[History], None]) -> None:
        """Train all epochs that are left; what is finished is saved, whatever ends them.

        Raises:
            KeyboardInterrupt: on Ctrl-C.
            StorageError: the state cannot be written.
            DivergedError: a loss is no finite number.
        """
        try:
            for epoch in range(len(self.history), self._recipe.epochs):
                self._note(self._epoch(epoch))
                on_epoch([dict(past) for past in self.history])
        finally:
            self._save()

    def take_best(self) -> None:
        """Give the model the weights of the epoch with the lowest validation loss, of the last one without any."""
        self._model.load_state_dict(self._best)

    def _epoch(self, epoch: int) -> dict[str, float]:
        """Train on all clips once, then validate."""
        torch.manual_seed(int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0]))
        self._model.train()
        trained = self._means("train", [self._step(*batch) for batch in self._batches(self._train, self._order(epoch))])
        validated = {} if self._validation is None else self._validate(self._validation)
        return {"epoch": epoch + 1, **trained, **validated, "lr": float(self._optimizer.param_groups[0]["lr"])}

    def _validate(self, clips: Clips) -> dict[str, float]:
        self._model.eval()
        everything = self._batches(clips, np.arange(len(clips)))
        with torch.no_grad():
            return self._means("validation", [self._losses(self._model, *batch) for batch in everything])

    def _step(self, activations: Tensor, target: Tensor) -> Losses:
        # Optimiser and precision are called without Fabric's wrappers, which are felt in a small head's step.
        precision = self._fabric.strategy.precision
        loss, mse, n_clips = self._losses(self._shared, activations, target)
        for weights in self._trained:
            weights.grad = None
        self._fabric.backward(loss)
        if self._recipe.grad_clip:
            precision.unscale_gradients(self._optimizer)
            nn.utils.clip_grad_norm_(self._trained, self._recipe.grad_clip)
        precision.optimizer_step(self._optimizer)
        if self._schedule:
            self._schedule.step()
        return loss.detach(), mse, n_clips

    def _losses(self, model: nn.Module, activations: Tensor, target: Tensor) -> Losses:
        """What a batch costs."""
        with self._fabric.autocast():
            prediction = model(activations)
        prediction = prediction.float()
        loss = founding_loss(prediction, target, **self._recipe.loss)
        return loss, nn.functional.mse_loss(prediction.detach(), target), len(target)

    def _means(self, side: str, batches: list[Losses]) -> dict[str, float]:
        """Over all clips, those of other processes included."""
        weighted = [(float(loss) * n, float(mse) * n, n) for loss, mse, n in batches]
        sums = torch.tensor(weighted, dtype=torch.float64).sum(dim=0)  # (3,)
        if self._fabric.world_size > 1:
            sums = cast(Tensor, self._fabric.all_reduce(sums, reduce_op="sum")).cpu()
        loss, mse, n_clips = sums.tolist()
        return {f"{side}_mse": mse / n_clips, f"{side}_loss": loss / n_clips}

    def _order(self, epoch: int) -> np.ndarray:
        """Rows of `train` in the order of an epoch, as many for each process."""
        order = epoch_order(self._train.song, self._seed, epoch, self._recipe.clips_per_epoch)
        n = self._fabric.world_size
        return np.resize(order, -(-len(order) // n) * n)

    def _batches(self, clips: Clips, order: np.ndarray) -> Iterator[Batch]:
        """Those of this process."""
        return clips.batches(order[self._fabric.global_rank :: self._fabric.world_size], self._recipe.batch_size)

    def _note(self, figures: dict[str, float]) -> None:
        """Take up a finished epoch: into the history, as the best one if it is, to disk if that is due.

        Raises:
            DivergedError: a figure is not finite.
        """
        loss = "train_loss" if self._validation is None else "validation_loss"
        if not all(map(math.isfinite, figures.values())):
            raise DivergedError(
                f"training diverged in epoch {figures['epoch']} ({loss.replace('_', ' ')} {figures[loss]}). "
                f"Lower training.max_lr, which is {self._recipe.max_lr:g}, or training.grad_clip."
            )
        if not self.history or self._validation is None or figures[loss] < self.history[self.best_epoch][loss]:
            self.best_epoch = len(self.history)
            self._best = {name: value.detach().cpu().clone() for name, value in self._model.state_dict().items()}
        self.history = [*self.history, figures]
        self._unsaved = self._state()
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self._save()
        else:  # a copy, for the next step writes into the tensors of the optimiser and the model
            self._unsaved = copy.deepcopy(self._unsaved)

    def _state(self) -> dict[str, Any]:
        return {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict() if self._schedule else None,
            "precision": self._fabric.strategy.precision.state_dict(),
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best": self._best,
        }

    def _save(self) -> None:
        """Write the last finished epoch, unless it is written."""
        if self._unsaved is not None and self._fabric.is_global_zero:
            content = io.BytesIO()
            torch.save(self._unsaved, content)
            with atomic(self._path) as temporary:
                temporary.write_bytes(content.getbuffer())
        self._unsaved, self._saved_at = None, time.monotonic()

    def _load(self) -> None:
        state = torch.load(self._path, weights_only=True, map_location="cpu")
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._schedule:
            self._schedule.load_state_dict(state["schedule"])
        self._fabric.strategy.precision.load_state_dict(state["precision"])
        self.history, self.best_epoch, self._best = state["history"], state["best_epoch"], state["best"]


def start_fabric(recipe: Recipe) -> Fabric:
    """Devices, precision and processes as the recipe asks for them.

    Raises:
        ConfigError: this machine has not got them.
    """
    try:
        fabric = Fabric(accelerator=recipe.accelerator, devices=recipe.devices, precision=cast(Any, recipe.precision))
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        asked = f"accelerator {recipe.accelerator}, devices {recipe.devices}, precision {recipe.precision}"
        raise ConfigError(f"training with {asked} does not work on this machine: {error}") from None
    fabric.launch()
    return fabric


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over all that is trained."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in trained if n.rsplit(".", 1)[-1] not in NO_DECAY]},
        {"params": [p for n, p in trained if n.rsplit(".", 1)[-1] in NO_DECAY], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = recipe.precision != "16-mixed"  # a fused step unscales gradients itself, too late to clip them
    return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)


def build_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, n_steps: int) -> CyclicLR | None:
    """The founding cyclic schedule, for epochs of `n_steps`; None for a constant rate."""
    if recipe.schedule == "constant":
        return None
    up = HALF_CYCLE_EPOCHS * n_steps
    return CyclicLR(optimizer, recipe.lr, recipe.max_lr, step_size_up=up, mode="triangular2", cycle_momentum=False)


def epoch_order(song: np.ndarray, seed: int, epoch: int, per_song: int | None = None) -> np.ndarray:
    """An order of clips that depends on seed and epoch alone.

    Args:
        song: the number of each clip's song, shape (n_clips,).
        seed: of the draws.
        epoch: counted from 0.
        per_song: how many clips of a song an epoch takes, drawn anew for each epoch; None takes all.

    Returns:
        Numbers of clips, each at most once.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(song))
    if per_song is None:
        return order
    by_song = np.argsort(song[order], kind="stable")  # a song's clips side by side, in the order drawn
    sizes = np.bincount(song)
    place = np.empty(len(song), dtype=np.intp)  # of each clip among its song's
    place[by_song] = np.arange(len(song)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[place < per_song]


@contextlib.contextmanager
def threads_for(flop: float) -> Iterator[None]:
    """As many threads as a step of so many operations is worth; the same on every machine with as many cores.

    Args:
        flop: floating-point operations of one step's forward pass.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if flop < ONE_THREAD_FLOP else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
