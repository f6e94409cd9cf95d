"""Training the suffix and the heads on stored activations, with Lightning: checkpoints, resume, mixed precision, GPUs.

An epoch reads activations at the cut and nothing else: no audio is decoded and no frozen layer runs. Shuffling is
seeded by run and epoch, dropout by run and step, so a fit that was interrupted and resumed gives the numbers of one
that was not. Where songs are annotated over time, a clip is a frame and has an annotation of its own.
The epoch with the lowest validation loss is kept. Units: losses are of standardised labels, per clip.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from affekt.encoders.base import Cut, Encoder
from affekt.encoders.layers import layer_weights
from affekt.errors import ConfigError, DivergedError
from affekt.files import atomic, storage_errors
from affekt.training.heads import Standardise, build_head
from affekt.training.losses import founding_loss
from affekt.training.table import ClipTable, Fitted, Standardiser, Task

#: Parameters that take no weight decay, by the last part of their name: decay rates and direct paths of scans.
NO_DECAY = ("A_log", "D")
#: One half of the triangle of the cyclic schedule, in epochs.
HALF_CYCLE_EPOCHS = 2

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
logging.getLogger("lightning.fabric").setLevel(logging.ERROR)


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


def fit_suffix(
    task: Task,
    encoder: Encoder,
    cut: Cut,
    recipe: Recipe,
    folder: Path,
    on_epoch: Callable[[list[dict[str, float]]], None] = lambda history: None,
) -> Fitted:
    """Train what stands behind the cut, and the heads, on one fold; predict its test songs.

    Args:
        task: clips, labels, fold, seed.
        encoder: gives a fresh suffix.
        cut: where the suffix begins.
        recipe: how to train.
        folder: for checkpoints. An unfinished fit in it is resumed; a finished one leaves `best.safetensors`.
        on_epoch: called with the figures of all epochs so far, one mapping for each, once the last of them is saved.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the last finished epoch is kept in `folder`.
        StorageError: `folder` cannot be written to.
        DivergedError: the loss left the range of numbers.
    """
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]), _quiet(), storage_errors(folder):
        torch.manual_seed(task.seed)
        labels = Standardiser.fit(task.y(task.fold.train))
        model = Regressor(encoder.suffix(cut), encoder.spec.embedding_dim, labels.mean.size, recipe, task.seed)
        model.standardise.learn(_embed(model, ClipSet.of(task, task.fold.train, labels)))
        # Two, because `save_last` of the first would skip every epoch that is not the best.
        best = ModelCheckpoint(folder, "best", monitor="validation_loss", enable_version_counter=False)
        last = ModelCheckpoint(folder, "last", enable_version_counter=False)
        trainer = _trainer(recipe, [best, last, _Epochs(on_epoch)], folder)
        _run(trainer, model, task, labels, folder)
        kept = torch.load(folder / "best.ckpt", weights_only=True, map_location="cpu")
        model.load_state_dict(kept["state_dict"])
        history = _history(model, int(kept["epoch"]))
        trained = time.perf_counter()
        predictions = _predict(model, task, labels)
        predict_s = time.perf_counter() - trained
        shares = layer_weights(model)
        _keep(model, folder)
    return Fitted(
        predictions,
        history,
        n_trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        training_s=trained - start,
        predict_s=predict_s,
        chosen={"epoch": int(kept["epoch"]) + 1, **({"layer_weights": shares} if shares else {})},
    )


class Regressor(lightning.LightningModule):
    """Suffix, standardisation, head: activations (batch, ...) to standardised values (batch, n_targets)."""

    def __init__(self, suffix: nn.Module | None, dim: int, n_targets: int, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.suffix = suffix if suffix is not None else nn.Identity()
        # Behind a trained suffix nothing is clipped: embeddings move while it learns; a clipped one has no gradient.
        self.standardise = Standardise(dim, recipe.clip_embeddings if suffix is None else None)
        self.head = build_head(recipe.head, dim, n_targets)
        self.recipe = recipe
        self.seed = seed
        self.epochs: list[dict[str, float]] = []

    def forward(self, activations: Tensor) -> Tensor:
        """Standardised predictions, (batch, n_targets)."""
        return self.head(self.standardise(self.suffix(activations)))

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Seed dropout and augmentation by run and step: a resumed fit draws what an unbroken one would.

        Once an epoch would not do: what draws a random number between its start and its first batch differs on resume.
        """
        step = [self.seed, self.current_epoch, index]
        torch.manual_seed(int(np.random.SeedSequence(step).generate_state(1)[0]))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Loss of one batch of clips."""
        return self._log_losses("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Loss of one batch of validation clips."""
        self._log_losses("validation", batch)

    def on_train_epoch_end(self) -> None:
        """Note the epoch's figures: losses, and the learning rate at its end.

        Raises:
            DivergedError: one of them is not finite.
        """
        names = ("train_mse", "train_loss", "validation_mse", "validation_loss")
        figures = {name: float(self.trainer.callback_metrics[name]) for name in names}
        if not all(map(math.isfinite, figures.values())):
            raise DivergedError(
                f"training diverged in epoch {self.current_epoch + 1} (validation loss {figures['validation_loss']}). "
                f"Lower training.max_lr, which is {self.recipe.max_lr:g}, or training.grad_clip."
            )
        lr = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.epochs.append({"epoch": self.current_epoch + 1, **figures, "lr": lr})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history with the weights, so that a resumed fit has all of it."""
        checkpoint["epochs"] = self.epochs

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the history."""
        self.epochs = list(checkpoint["epochs"])

    def configure_optimizers(self) -> Any:
        """AdamW, and the founding cyclic schedule."""
        recipe = self.recipe
        trained = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for n, p in trained if n.rsplit(".", 1)[-1] not in NO_DECAY]},
            {"params": [p for n, p in trained if n.rsplit(".", 1)[-1] in NO_DECAY], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay)
        if recipe.schedule == "constant":
            return optimizer
        per_epoch = int(self.trainer.estimated_stepping_batches) // recipe.epochs
        steps = max(1, HALF_CYCLE_EPOCHS * per_epoch)
        cyclic = torch.optim.lr_scheduler.CyclicLR(
            optimizer, recipe.lr, recipe.max_lr, step_size_up=steps, mode="triangular2", cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cyclic, "interval": "step"}}

    def _log_losses(self, side: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        activations, target = batch
        prediction = self(activations).float()
        loss = founding_loss(prediction, target, **self.recipe.loss)
        mse = nn.functional.mse_loss(prediction, target)
        figures = {f"{side}_loss": loss.detach(), f"{side}_mse": mse.detach()}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(target), sync_dist=True)
        return loss


class ClipSet(Dataset[tuple[Tensor, Tensor]]):
    """Clips of some songs with the standardised labels of their song; fetched a whole batch at a time."""

    def __init__(self, table: ClipTable, rows: np.ndarray, labels: np.ndarray) -> None:
        self._table = table
        self._rows = rows
        self._labels = torch.from_numpy(labels.astype(np.float32))

    @classmethod
    def of(cls, task: Task, songs: tuple[str, ...], labels: Standardiser) -> ClipSet:
        """The clips of `songs`."""
        rows, _ = task.table.rows(songs)
        return cls(task.table, rows, labels.apply(task.y_of_rows(songs)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Activations (batch, ...) in single precision and labels (batch, n_targets)."""
        activations = torch.from_numpy(self._table.gather(self._rows[indices])).float()
        return activations, self._labels[indices]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One clip; Lightning asks for it in distributed runs only."""
        activations, labels = self.__getitems__([index])
        return activations[0], labels[0]


class EpochShuffle(Sampler[int]):
    """An order of clips that depends on seed and epoch alone.

    Args:
        song: the number of each clip's song, shape (n_clips,).
        seed: of the draws.
        per_song: how many clips of a song an epoch takes, drawn anew for each epoch; None takes all.
    """

    def __init__(self, song: np.ndarray, seed: int, per_song: int | None = None) -> None:
        self._song = song
        self._seed = seed
        self._per_song = per_song or len(song)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._song))
        seen: Counter[int] = Counter()
        for clip in order.tolist():
            song = int(self._song[clip])
            seen[song] += 1
            if seen[song] <= self._per_song:
                yield clip

    def __len__(self) -> int:
        return int(np.minimum(np.unique(self._song, return_counts=True)[1], self._per_song).sum())


class _Epochs(Checkpoint):
    """Tells of an epoch after it is saved: Lightning calls the callbacks of this class last, in their order."""

    def __init__(self, on_epoch: Callable[[list[dict[str, float]]], None]) -> None:
        self._on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._on_epoch([dict(epoch) for epoch in pl_module.epochs])


class _AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's own way goes through the system's temporary folder: half a file where that is another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())


def _trainer(recipe: Recipe, callbacks: list[Callback], folder: Path) -> lightning.Trainer:
    try:
        return lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            precision=cast(Any, recipe.precision),
            gradient_clip_val=recipe.grad_clip or None,
            callbacks=callbacks,
            plugins=[_AtomicCheckpoints()],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ValueError) as error:
        asked = f"accelerator {recipe.accelerator}, devices {recipe.devices}, precision {recipe.precision}"
        raise ConfigError(f"training with {asked} does not work on this machine: {error}") from None


def _run(trainer: lightning.Trainer, model: Regressor, task: Task, labels: Standardiser, folder: Path) -> None:
    train = ClipSet.of(task, task.fold.train, labels)
    _, song = task.table.rows(task.fold.train)
    order = EpochShuffle(song, task.seed, model.recipe.clips_per_epoch)
    size = model.recipe.batch_size
    loaders = (
        DataLoader(train, size, sampler=order, collate_fn=_as_is),
        DataLoader(ClipSet.of(task, task.fold.validation, labels), size, collate_fn=_as_is),
    )
    last = folder / "last.ckpt"
    try:
        trainer.fit(model, *loaders, ckpt_path=last if last.is_file() else None, weights_only=True)
    except SystemExit as stop:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from stop


def _as_is(batch: Any) -> Any:
    return batch if isinstance(batch, tuple) else torch.utils.data.default_collate(batch)


def _embed(model: Regressor, clips: ClipSet) -> Tensor:
    """Embeddings of all clips by the untrained suffix, (n_clips, dim), on the scale that training will begin with."""
    model.eval()
    for module in model.suffix.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()  # as in training: statistics of the batch, not those of whatever the weights were trained on
    with torch.no_grad():
        found = [model.suffix(activations) for activations, _ in DataLoader(clips, 64, collate_fn=_as_is)]
    model.train()
    return torch.cat(found).clone()


def _predict(model: Regressor, task: Task, labels: Standardiser) -> dict[str, np.ndarray]:
    """Predictions of the test fold's songs, on the data set's scale."""
    model.eval()
    songs = task.fold.test
    rows, _ = task.table.rows(songs)
    clips = ClipSet(task.table, rows, np.zeros((len(rows), labels.mean.size)))
    with torch.inference_mode():
        by_row = torch.cat([model(activations) for activations, _ in DataLoader(clips, 64, collate_fn=_as_is)])
    return task.by_song(songs, labels.undo(by_row.double().numpy()))


def _history(model: Regressor, best: int) -> list[dict[str, Any]]:
    return [{**epoch, "best": epoch["epoch"] == best + 1} for epoch in model.epochs]


def _keep(model: Regressor, folder: Path) -> None:
    """Replace Lightning's checkpoints by the best weights as safetensors."""
    from safetensors.torch import save

    with atomic(folder / "best.safetensors") as temporary:
        temporary.write_bytes(save({k: v.contiguous() for k, v in model.state_dict().items()}))
    for name in ("last.ckpt", "best.ckpt"):  # in this order: without `last` a stopped clean-up is simply trained again
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back Lightning's advice on worker processes and loggers, which does not apply to stored activations."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        yield
