"""The founding loss in a sound form: squared error, and two penalties on what a batch of predictions looks like.

    loss = MSE + variance * sum_t max(0, var(y_t) - var(p_t)) + correlation * mean_(s<t) (corr(p_s, p_t) - c_st)^2

y are standardised labels, p predictions, both (batch, n_targets); variances are population moments within the batch.
The target correlation c_st is that of the labels in the batch (`toward="labels"`) or 0 (`toward="zero"`, the founding
form, which pushes valence and arousal apart although labels of DEAM correlate).

Of a batch of 64 clips and two targets the arithmetic is nothing and the number of operations is all: `founding_loss`
finds value and gradient in closed form, from the covariances of the batch. `variance_penalty` and `correlation_penalty`
are the same formula to be read.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
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
    if len(prediction) < 3:  # two points always correlate perfectly; penalties would be noise
        return torch.nn.functional.mse_loss(prediction, target)
    loss: Tensor = _FoundingLoss.apply(prediction, target, variance, correlation, toward)
    return loss


class _FoundingLoss(torch.autograd.Function):
    """Value and gradient at once, in numpy: of arrays this small its operations take a fifth of torch's time."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, y: Tensor, variance: float, correlation: float, toward: str) -> Tensor:
        arrays = p.detach().cpu().numpy(), y.cpu().numpy()
        value, gradient = _value_and_gradient(*arrays, variance, correlation, toward)
        ctx.save_for_backward(torch.from_numpy(gradient).to(p.device))
        return p.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors  # (batch, n_targets)
        return gradient * outer[0], None, None, None, None


def _value_and_gradient(
    p: np.ndarray, y: np.ndarray, variance: float, correlation: float, toward: str
) -> tuple[float, np.ndarray]:
    """Both penalties depend on the predictions' covariance alone, a few numbers: the gradient goes through it."""
    (n, n_targets), error = p.shape, p - y
    centred = p - p.sum(axis=0) / n
    products = centred.T @ centred  # (n_targets, n_targets), n times the covariance
    y_centred = y - y.sum(axis=0) / n
    y_products = y_centred.T @ y_centred
    shortfall = (y_products.diagonal() - products.diagonal()).clip(min=0)  # (n_targets,), n times that of the variance
    scale = 1 / np.sqrt(products.diagonal() + EPSILON)  # (n_targets,)
    scales = np.multiply.outer(scale, scale)
    r = products * scales
    excess = r.copy()
    if toward == "labels":
        y_scale = 1 / np.sqrt(y_products.diagonal() + EPSILON)
        excess -= y_products * np.multiply.outer(y_scale, y_scale)
    np.fill_diagonal(excess, 0)
    of_variance, of_pair = variance / n, correlation / max(1, n_targets * (n_targets - 1))  # each pair stands twice
    value = np.vdot(error, error) / error.size + of_variance * shortfall.sum() + of_pair * np.vdot(excess, excess)
    slope = 2 * of_pair * excess * scales  # d value / d products, (n_targets, n_targets)
    own = 2 * of_pair * (excess * r).sum(axis=1) * scale**2 + of_variance * np.sign(shortfall)
    slope[np.diag_indices(n_targets)] -= own
    return float(value), ((2 / error.size) * error + 2 * (centred @ slope)).astype(p.dtype)


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
