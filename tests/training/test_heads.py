"""Heads give one value per target; embeddings come to them standardised and bounded."""

from __future__ import annotations

import pytest
import torch

from affekt.errors import ConfigError
from affekt.training.heads import HIDDEN, TRAINED_HEADS, Separate, Standardise, build_head


@pytest.mark.parametrize("kind", TRAINED_HEADS)
@pytest.mark.parametrize("n_targets", [1, 2, 5])
def test_one_value_per_target(kind: str, n_targets: int) -> None:
    head = build_head(kind, 7, n_targets)
    assert head(torch.randn(4, 7)).shape == (4, n_targets)


@pytest.mark.parametrize(
    ("kind", "n_parameters"),
    [
        ("linear", 2 * (7 + 1)),
        ("mlp", HIDDEN * (7 + 1) + 2 * (HIDDEN + 1)),
        ("seed", 2 * (HIDDEN * (7 + 1) + HIDDEN + 1)),
    ],
)
def test_sizes(kind: str, n_parameters: int) -> None:
    assert sum(p.numel() for p in build_head(kind, 7, 2).parameters()) == n_parameters


def test_the_founding_heads_share_nothing() -> None:
    head = build_head("seed", 7, 2).eval()
    assert isinstance(head, Separate)
    x = torch.randn(3, 7)
    head(x)[:, 0].sum().backward()
    moved = [any(p.grad is not None and p.grad.any() for p in part.parameters()) for part in head.heads]
    assert moved == [True, False]


@pytest.mark.parametrize(("kind", "varies"), [("linear", False), ("mlp", True), ("seed", True)])
def test_dropout_acts_in_training_alone(kind: str, varies: bool) -> None:
    head, x = build_head(kind, 7, 2), torch.ones(2, 7)
    assert torch.equal(head(x), head(x)) is not varies
    head.eval()
    assert torch.equal(head(x), head(x))


@pytest.mark.parametrize("kind", ["ridge", "forest", ""])
def test_an_unknown_head_names_those_there_are(kind: str) -> None:
    with pytest.raises(ConfigError, match='"ridge", linear, mlp, seed'):
        build_head(kind, 7, 2)


def test_standardise_learns_mean_and_deviation() -> None:
    x = 3 + 2 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    layer = Standardise(4, clip=None)
    layer.learn(x)
    z = layer(x)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(dim=0, correction=0), torch.ones(4))


def test_standardise_clips_at_five() -> None:
    layer = Standardise(1)
    layer.learn(torch.tensor([[-1.0], [1.0]]))
    assert layer(torch.tensor([[-100.0], [-4.9], [4.9], [100.0]])).flatten().tolist() == pytest.approx(
        [-5, -4.9, 4.9, 5]
    )
    assert Standardise(1, clip=2.0)(torch.tensor([[9.0]])).item() == 2
    assert Standardise(1, clip=None)(torch.tensor([[9.0]])).item() == 9


def test_a_constant_dimension_is_shifted_and_not_blown_up() -> None:
    layer = Standardise(2)
    layer.learn(torch.tensor([[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]]))
    z = layer(torch.tensor([[0.1, 3.0], [0.6, 3.0]]))
    torch.testing.assert_close(z, torch.tensor([[0.0, 0.0], [0.5, 0.0]]))


def test_what_was_learnt_is_saved_and_not_trained() -> None:
    layer = Standardise(3)
    assert set(layer.state_dict()) == {"mean", "std"}
    assert list(layer.parameters()) == []
