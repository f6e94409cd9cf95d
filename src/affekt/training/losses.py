"""The founding loss in a sound form: squared error, and two penalties on what a batch of predictions looks like.

    loss = MSE + variance * sum_t max(0, var(y_t) - var(p_t)) + correlation * mean_(s<t) (corr(p_s, p_t) - c_st)^2

y are standardised labels, p predictions, both (batch, n_targets); variances are population moments within the batch.
The target correlation c_st is that of the labels in the batch (`toward="labels"`) or 0 (`toward="zero"`, the founding
form, which pushes valence and arousal apart although labels of DEAM correlate).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

EPSILON = 1e-6


def founding_loss(
    prediction: Tensor,
    target: Tensor,
    variance: float = 0.05,
    correlation: float = 0.05,
    toward: Literal["labels", "zero"] = "labels",
) -> Tensor:
    """MSE with both penalties; see the module's formula.

    Args:
        prediction: (batch, n_targets), standardised.
        target: same shape.
        variance: weight of the penalty for predictions that spread less than the labels.
        correlation: weight of the penalty for targets that are coupled otherwise than `toward` says.
        toward: where the correlation is pulled.

    Returns:
        a scalar.
    """
    loss = torch.nn.functional.mse_loss(prediction, target)
    if len(prediction) < 3:  # two points always correlate perfectly; penalties would be noise
        return loss
    return (
        loss
        + variance * variance_penalty(prediction, target)
        + correlation * correlation_penalty(prediction, target, toward)
    )


def variance_penalty(prediction: Tensor, target: Tensor) -> Tensor:
    """Sum over targets of how much the predictions' variance falls short of the labels'."""
    shortfall = target.var(dim=0, correction=0) - prediction.var(dim=0, correction=0)  # (n_targets,)
    return shortfall.clamp(min=0).sum()


def correlation_penalty(prediction: Tensor, target: Tensor, toward: Literal["labels", "zero"]) -> Tensor:
    """Mean squared distance between the correlations of the predictions and those they are pulled to."""
    n_targets = prediction.shape[1]
    if n_targets < 2:
        return prediction.new_zeros(())
    first, second = torch.triu_indices(n_targets, n_targets, offset=1)
    wanted = _correlations(target)[first, second] if toward == "labels" else 0.0
    return (_correlations(prediction)[first, second] - wanted).square().mean()


def _correlations(x: Tensor) -> Tensor:
    """Pearson's r between columns, (n_targets, n_targets); 0 where a column is constant."""
    centred = x - x.mean(dim=0)
    norm = (centred.square().sum(dim=0) + EPSILON).sqrt()  # (n_targets,)
    return (centred.T @ centred) / (norm[:, None] * norm[None, :])
