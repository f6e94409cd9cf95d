"""The founding loss against its formula, written out again in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from affekt.training.losses import correlation_penalty, founding_loss, variance_penalty

BATCHES = arrays.arrays(
    np.float32, st.tuples(st.just(2), st.integers(3, 12), st.integers(1, 4)), elements=st.floats(-3, 3, width=16)
)


def by_hand(p: np.ndarray, y: np.ndarray, variance: float, correlation: float, toward: str) -> float:
    """The formula of the module's docstring, a loop for every sum."""
    loss = np.mean((p - y) ** 2)
    for t in range(y.shape[1]):
        loss += variance * max(0.0, np.var(y[:, t]) - np.var(p[:, t]))
    pairs = [(s, t) for t in range(y.shape[1]) for s in range(t)]
    for s, t in pairs:
        wanted = np.corrcoef(y[:, s], y[:, t])[0, 1] if toward == "labels" else 0.0
        loss += correlation / len(pairs) * (np.corrcoef(p[:, s], p[:, t])[0, 1] - wanted) ** 2
    return float(loss)


@pytest.mark.parametrize("toward", ["labels", "zero"])
@pytest.mark.parametrize("n_targets", [1, 2, 3, 5])
@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_the_formula(toward: str, n_targets: int, spread: float) -> None:
    rng = np.random.default_rng(n_targets)
    y = rng.normal(size=(16, n_targets)) + 0.5 * rng.normal(size=(16, 1))
    p = spread * rng.normal(size=(16, n_targets))
    for variance, correlation in ((0.05, 0.05), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)):
        found = founding_loss(torch.from_numpy(p), torch.from_numpy(y), variance, correlation, toward)  # type: ignore[arg-type]
        assert float(found) == pytest.approx(by_hand(p, y, variance, correlation, toward), rel=1e-5)


def test_the_defaults_are_those_of_the_founding_recipe_toward_the_labels() -> None:
    rng = np.random.default_rng(0)
    p, y = rng.normal(size=(2, 8, 2))
    found = founding_loss(torch.from_numpy(p), torch.from_numpy(y))
    assert float(found) == pytest.approx(by_hand(p, y, 0.05, 0.05, "labels"), rel=1e-5)


def test_perfect_predictions_cost_nothing_toward_the_labels_and_something_toward_zero() -> None:
    y = torch.randn(16, 1, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.5])
    assert float(founding_loss(y, y, toward="labels")) == 0
    assert float(founding_loss(y, y, toward="zero")) == pytest.approx(0.05, rel=1e-3)  # r = 1 between the two


def test_only_too_little_spread_is_penalised() -> None:
    y = torch.tensor([[-1.0], [0.0], [1.0]])
    assert float(variance_penalty(2 * y, y)) == 0
    assert float(variance_penalty(0 * y, y)) == pytest.approx(2 / 3)
    assert float(variance_penalty(0 * y.expand(3, 2), y.expand(3, 2))) == pytest.approx(4 / 3), "a sum over targets"


def test_correlation_is_penalised_whatever_the_scale() -> None:
    p = torch.tensor([[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0]])
    for scale in (0.1, 1.0, 10.0):
        assert float(correlation_penalty(scale * p, -p, "zero")) == pytest.approx(1, rel=1e-3)
        assert float(correlation_penalty(scale * p, p.flip(0), "labels")) == pytest.approx(0, abs=1e-6)
        same = p[:, :1].expand(3, 2)
        assert float(correlation_penalty(scale * p, same, "labels")) == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize("n", [1, 2])
def test_in_a_batch_of_one_or_two_only_the_error_counts(n: int) -> None:
    p, y = torch.zeros(n, 2), torch.tensor([[1.0, 2.0], [3.0, 0.0]])[:n]
    assert float(founding_loss(p, y, variance=9.0, correlation=9.0)) == pytest.approx(float(y.square().mean()))


@pytest.mark.parametrize("toward", ["labels", "zero"])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize("labels", ["spread", "constant"])
def test_gradients_of_constant_predictions_are_finite(n: int, labels: str, toward: str) -> None:
    p = torch.full((n, 2), 0.25, requires_grad=True)
    y = torch.randn(n, 2, generator=torch.Generator().manual_seed(0)) if labels == "spread" else torch.ones(n, 2)
    loss = founding_loss(p, y, toward=toward)  # type: ignore[arg-type]
    loss.backward()
    assert torch.isfinite(loss)
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()
    assert p.grad.abs().sum() > 0


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.sampled_from(["labels", "zero"]))
def test_always_a_finite_number_with_a_finite_gradient(batch: np.ndarray, toward: str) -> None:
    p, y = torch.from_numpy(batch.copy())
    p.requires_grad_()
    loss = founding_loss(p, y, toward=toward)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(loss, p)
    assert loss.item() >= torch.nn.functional.mse_loss(p, y).item() * (1 - 1e-6)
    assert torch.isfinite(gradient).all()


def test_the_gradient_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    p, y = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator)
    for toward in ("labels", "zero"):
        torch.autograd.gradcheck(
            lambda p, toward=toward: founding_loss(0.5 * p, y, 0.3, 0.7, toward), p.requires_grad_()
        )
