"""Training the suffix and the heads on stored activations, in epochs: `affekt.training.epochs` is the loop.

An epoch reads activations at the cut and nothing else: no audio is decoded and no frozen layer runs. Where songs are
annotated over time, a clip is a frame and has an annotation of its own. The epoch with the lowest validation loss is
kept. Units: losses are of standardised labels, per clip.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from affekt.encoders.base import Cut, Encoder
from affekt.encoders.layers import layer_weights
from affekt.files import atomic, storage_errors
from affekt.training.epochs import Clips, HeldClips, History, Recipe, Training, start_fabric, threads_for
from affekt.training.heads import Standardise, build_head
from affekt.training.table import Fitted, Standardiser, Task

#: Clips at a time where nothing is learnt.
BATCH = 64
#: What a fit leaves, and what one that was stopped goes on from.
BEST, STATE = "best.safetensors", "last.ckpt"

logging.getLogger("lightning.fabric").setLevel(logging.ERROR)


def fit_suffix(
    task: Task,
    encoder: Encoder,
    cut: Cut,
    recipe: Recipe,
    folder: Path,
    on_epoch: Callable[[History], None] = lambda history: None,
) -> Fitted:
    """Train what stands behind the cut, and the heads, on one fold; predict its test songs.

    Args:
        task: clips, labels, fold, seed.
        encoder: gives a fresh suffix.
        cut: where the suffix begins.
        recipe: how to train.
        folder: for the state. An unfinished fit in it is resumed; a finished one leaves `best.safetensors`.
        on_epoch: called with the figures of all epochs so far, one mapping for each, when the last of them is finished.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the last finished epoch is kept in `folder`.
        StorageError: `folder` cannot be written to.
        DivergedError: the loss left the range of numbers.
    """
    start = time.perf_counter()
    trained = train_suffix(task, encoder, cut, recipe, folder, on_epoch)
    model, ready = trained.model, time.perf_counter()
    with threads_for(_flop_per_clip(model) * recipe.batch_size):
        predictions = _predict(model, task, trained.labels)
    shares = layer_weights(model)
    return Fitted(
        predictions,
        [{**epoch, "best": number == trained.best_epoch} for number, epoch in enumerate(trained.history)],
        n_trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        training_s=ready - start,
        predict_s=time.perf_counter() - ready,
        chosen={"epoch": trained.best_epoch + 1, **({"layer_weights": shares} if shares else {})},
    )


class Trained(NamedTuple):
    """A trained suffix with its heads, on the CPU, in evaluation mode.

    Attributes:
        model: with the weights of the best epoch.
        labels: what undoes the standardisation of its values.
        history: figures of each epoch.
        best_epoch: which of them was kept, from 0.
    """

    model: Regressor
    labels: Standardiser
    history: History
    best_epoch: int


def train_suffix(
    task: Task,
    encoder: Encoder,
    cut: Cut,
    recipe: Recipe,
    folder: Path,
    on_epoch: Callable[[History], None] = lambda history: None,
) -> Trained:
    """Train what stands behind the cut, and the heads; without validation songs the last epoch is the best.

    Arguments and errors as of `fit_suffix`.
    """
    fabric = start_fabric(recipe)
    with torch.random.fork_rng(devices=[]), storage_errors(folder):
        torch.manual_seed(task.seed)
        labels = Standardiser.fit(task.y(task.fold.train))
        model = Regressor(encoder.suffix(cut), encoder.spec.embedding_dim, labels.mean.size, recipe).to(fabric.device)
        train = Clips.of(task, task.fold.train, labels, fabric.device)
        validation = Clips.of(task, task.fold.validation, labels, fabric.device) if task.fold.validation else None
        embeddings = _embed(model, train)
        with threads_for(_flop_per_clip(model) * recipe.batch_size):
            model.standardise.learn(embeddings)
            training = _training(fabric, model, train, validation, recipe, task.seed, folder / STATE)
            training.run(on_epoch)
            training.take_best()
        model = model.cpu().eval()
        _keep(model, folder)
    return Trained(model, labels, training.history, training.best_epoch)


class Regressor(nn.Module):
    """Suffix, standardisation, head: activations (batch, ...) to standardised values (batch, n_targets)."""

    def __init__(self, suffix: nn.Module | None, dim: int, n_targets: int, recipe: Recipe) -> None:
        super().__init__()
        self.suffix = suffix if suffix is not None else nn.Identity()
        # Behind a trained suffix nothing is clipped: embeddings move while it learns; a clipped one has no gradient.
        self.standardise = Standardise(dim, recipe.clip_embeddings if suffix is None else None)
        self.head = build_head(recipe.head, dim, n_targets)

    def forward(self, activations: Tensor) -> Tensor:
        """Standardised predictions, (batch, n_targets)."""
        return self.head(self.standardise(self.suffix(activations)))


def _flop_per_clip(model: Regressor) -> float:
    """Operations of a forward pass, where each weight is used once a clip; no end of them behind trained layers."""
    if any(weights.ndim > 1 for weights in model.suffix.parameters()):  # not so the weights of a sum over layers
        return math.inf
    return 2.0 * sum(weights.numel() for weights in model.head.parameters())


def _training(
    fabric: Fabric, model: Regressor, train: Clips, validation: Clips | None, recipe: Recipe, seed: int, path: Path
) -> Training:
    """Of the whole model; or, where nothing but the head can change, of the head on what it takes, kept in memory."""
    if not isinstance(model.suffix, nn.Identity):
        return Training(fabric, model, train, validation, recipe, seed, path)
    train, validation = _standardised(model, train), validation and _standardised(model, validation)
    return Training(fabric, model.head, train, validation, recipe, seed, path)


def _standardised(model: Regressor, clips: Clips) -> HeldClips:
    """What the head of a frozen encoder takes."""
    with torch.no_grad():
        return HeldClips(clips, torch.cat([model.standardise(activations) for activations in _batches(clips)]))


def _embed(model: Regressor, clips: Clips) -> Tensor:
    """Embeddings of all clips by the untrained suffix, (n_clips, dim), on the scale that training will begin with."""
    model.eval()
    for module in model.suffix.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()  # as in training: statistics of the batch, not those of whatever the weights were trained on
    with torch.no_grad():
        found = [model.suffix(activations) for activations in _batches(clips)]
    model.train()
    return torch.cat(found).clone()


def _predict(model: Regressor, task: Task, labels: Standardiser) -> dict[str, np.ndarray]:
    """Predictions of the test fold's songs, on the data set's scale."""
    songs = task.fold.test
    with torch.inference_mode():
        by_row = torch.cat([model(activations) for activations in _batches(Clips(task.table, songs))])
    return task.by_song(songs, labels.undo(by_row.double().numpy()))


def _batches(clips: Clips) -> Iterator[Tensor]:
    """Activations of all clips in their order, (batch, ...) at a time."""
    for start in range(0, len(clips), BATCH):
        yield clips.activations(np.arange(start, min(start + BATCH, len(clips))))


def _keep(model: Regressor, folder: Path) -> None:
    """Replace the state by the best weights as safetensors."""
    from safetensors.torch import save

    with atomic(folder / BEST) as temporary:
        temporary.write_bytes(save({k: v.contiguous() for k, v in model.state_dict().items()}))
    (folder / STATE).unlink(missing_ok=True)
