"""Hearing another layer than the last: its embedding, what is never run, and a sum whose weights are learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from affekt.encoders import build_encoder
from affekt.encoders.layers import LayerWeights, layer_weights
from affekt.encoders.staged import StagedEncoder
from affekt.errors import ConfigError
from affekt.features.keys import DTYPE

Make = Callable[..., Any]

#: Families whose layers are alike, with the number of layers of the tiny ones, and those whose blocks differ in width.
LAYERED = {"wav2vec2": 3, "wavlm": 3, "audio-spectrogram-transformer": 2, "whisper": 2, "vit": 2, "deit": 2}
WIDENING = ("clap", "convnext", "convnextv2", "swin")


def built(publish: Make, folder: Path, family: str, **changes: Any) -> StagedEncoder:
    publish(family, folder / family, **changes)
    encoder = build_encoder(f"hf:{folder / family}")
    assert isinstance(encoder, StagedEncoder)
    return encoder


@pytest.fixture(params=list(LAYERED))
def encoder(request: pytest.FixtureRequest, publish: Make, tmp_path: Path) -> StagedEncoder:
    return built(publish, tmp_path, request.param)


@pytest.fixture
def clips() -> np.ndarray:
    """Three clips of 0.4 s at 16 kHz."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (3, 6400)).astype(np.float32)


def heard(encoder: StagedEncoder, layer: str | int, clips: np.ndarray, freeze: str = "all") -> np.ndarray:
    """Activations before the cut while `layer` is heard."""
    encoder.hear(layer)
    found = encoder.activations(clips, encoder.cut(freeze))
    encoder.hear("last")
    return found


def n_layers(encoder: StagedEncoder) -> int:
    return sum(stage.is_layer for stage in encoder.stages())


# --- one layer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}])
def test_a_layer_is_the_hidden_state_of_transformers(
    publish: Make, tmp_path: Path, clips: np.ndarray, changes: dict[str, Any]
) -> None:
    model = publish("wav2vec2", tmp_path, **changes)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, StagedEncoder)
    seen: list[torch.Tensor] = []
    for layer in model.encoder.layers:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        model(encoder.preprocess(torch.from_numpy(clips)))
    for number, hidden in enumerate(seen, start=1):
        found = heard(encoder, number, clips)
        expected = hidden[0] if isinstance(hidden, tuple) else hidden
        np.testing.assert_allclose(found, expected.mean(dim=1).numpy(), rtol=1e-4, atol=2e-5)


def test_layers_differ_and_the_last_is_the_default(encoder: StagedEncoder, clips: np.ndarray) -> None:
    last = encoder.activations(clips, encoder.cut("all"))
    by_layer = [heard(encoder, number, clips) for number in range(1, n_layers(encoder) + 1)]
    assert all(pooled.shape == last.shape == (3, encoder.spec.embedding_dim) for pooled in by_layer)
    assert min(np.abs(by_layer[0] - pooled).max() for pooled in by_layer[1:]) > 1e-3
    np.testing.assert_array_equal(heard(encoder, "last", clips), last)
    # Without a norm behind the last layer it is the network's output.
    norm_last = [module for module in encoder.stages()[-1].modules if isinstance(module, nn.LayerNorm)]
    assert np.allclose(by_layer[-1], last, atol=1e-5) == (not norm_last)


def test_layers_above_are_never_run(encoder: StagedEncoder, clips: np.ndarray) -> None:
    whole, before = encoder.n_parameters(), heard(encoder, 1, clips)
    above = [stage for stage in encoder.stages() if stage.is_layer][1:]

    def fail(*args: Any) -> None:
        raise AssertionError("was run")

    for stage in above:
        stage.modules[0].register_forward_pre_hook(fail)
    np.testing.assert_array_equal(heard(encoder, 1, clips), before)
    encoder.hear(1)
    behind = [*above, encoder.stages()[-1]]
    assert encoder.n_parameters() == whole - sum(p.numel() for stage in behind for p in stage.parameters())
    with pytest.raises(AssertionError, match="was run"):
        heard(encoder, 2, clips)


def test_the_last_of_the_heard_layers_can_be_trained(encoder: StagedEncoder, clips: np.ndarray) -> None:
    layer = n_layers(encoder) - 1
    encoder.hear(layer)
    whole = encoder.activations(clips, encoder.cut("all"))
    for freeze in (f"last{layer}", "none"):
        cut = encoder.cut(freeze)
        suffix = encoder.suffix(cut)
        assert suffix is not None and not cut.frozen
        embeddings = suffix.eval()(torch.from_numpy(encoder.activations(clips, cut)))
        np.testing.assert_allclose(embeddings.detach().numpy(), whole, rtol=1e-4, atol=1e-5)
        embeddings.square().sum().backward()
        assert all(parameter.grad is not None for parameter in suffix.parameters())
    with pytest.raises(ConfigError, match=rf'freeze = "last{layer + 1}", but the encoder has {layer} layers'):
        encoder.cut(f"last{layer + 1}")


# --- the sum of all --------------------------------------------------------------------------------------------------


def test_the_sum_starts_as_the_mean_of_what_is_stored(encoder: StagedEncoder, clips: np.ndarray) -> None:
    by_layer = np.stack([heard(encoder, k, clips) for k in range(1, n_layers(encoder) + 1)], axis=1)
    encoder.hear("weighted")
    cut = encoder.cut("all")
    stored = encoder.activations(clips, cut)
    assert (cut.name, cut.frozen) == ("layer_weights", False)
    assert stored.shape == (3, n_layers(encoder), encoder.spec.embedding_dim)
    np.testing.assert_allclose(stored, by_layer, rtol=1e-4, atol=1e-5)
    assert np.abs(stored).max() < np.finfo(DTYPE).max
    suffix = encoder.suffix(cut)
    assert suffix is not None
    with torch.no_grad():
        np.testing.assert_allclose(suffix(torch.from_numpy(stored)), by_layer.mean(axis=1), rtol=1e-4, atol=1e-5)
    assert layer_weights(suffix) == pytest.approx([1 / n_layers(encoder)] * n_layers(encoder))
    assert [parameter.numel() for parameter in suffix.parameters()] == [n_layers(encoder)]


def test_the_weights_find_the_layer_that_matters(publish: Make, tmp_path: Path) -> None:
    encoder = built(publish, tmp_path, "wav2vec2")
    encoder.hear("weighted")
    suffix = encoder.suffix(encoder.cut("all"))
    assert suffix is not None
    model = nn.Sequential(suffix, nn.Linear(16, 1))
    layers = torch.randn(200, 3, 16, generator=torch.Generator().manual_seed(0))  # (clips, layers, dim)
    target = layers[:, 1] @ torch.linspace(-1, 1, 16)[:, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (model(layers) - target).square().mean().backward()
        optimizer.step()
    shares = layer_weights(model)
    assert shares is not None
    assert sum(shares) == pytest.approx(1) and shares[1] > 0.9
    fresh = encoder.suffix(encoder.cut("all"))
    assert fresh is not None and layer_weights(fresh) == pytest.approx([1 / 3] * 3)


def test_models_without_a_choice_have_no_weights(encoder: StagedEncoder) -> None:
    suffix = encoder.suffix(encoder.cut("last1"))
    assert suffix is not None and layer_weights(suffix) is None


@pytest.mark.parametrize("freeze", ["last1", "none"])
def test_the_sum_needs_frozen_layers(encoder: StagedEncoder, freeze: str) -> None:
    encoder.hear("weighted")
    with pytest.raises(ConfigError, match=rf'freeze = "{freeze}", but with layer = "weighted" .* Use freeze "all"'):
        encoder.cut(freeze)


def test_weights_are_positive_and_sum_to_one() -> None:
    weights = LayerWeights(3)
    with torch.no_grad():
        weights.logits.copy_(torch.tensor([-5.0, 0.0, 5.0]))
    shares = weights.shares()
    assert (shares > 0).all() and shares.sum().item() == pytest.approx(1)
    pooled = torch.arange(12.0).reshape(2, 3, 2)
    torch.testing.assert_close(weights(pooled), (shares[None, :, None] * pooled).sum(dim=1))


# --- choosing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, -1, 4, 99, "first", "3", True, 1.5, None])
def test_no_such_layer(publish: Make, tmp_path: Path, layer: Any) -> None:
    encoder = built(publish, tmp_path, "wav2vec2")
    with pytest.raises(ConfigError, match=rf'layer = {layer}; allowed are "last", "weighted" and 1 to 3'):
        encoder.hear(layer)
    assert encoder.layer == "last"


@pytest.mark.parametrize("family", WIDENING)
@pytest.mark.parametrize("layer", [1, "weighted"])
def test_no_layers_to_choose_from(publish: Make, tmp_path: Path, family: str, layer: str | int) -> None:
    encoder = built(publish, tmp_path, family)
    encoder.hear("last")
    with pytest.raises(ConfigError, match=rf"layer = {layer}, but this encoder has no layers to choose from"):
        encoder.hear(layer)


def test_mambavision_has_no_layers_to_choose_from() -> None:
    with pytest.raises(ConfigError, match="no layers to choose from"):
        build_encoder("mambavision-nano").hear(3)


def test_the_choice_is_part_of_the_key(encoder: StagedEncoder) -> None:
    keys = []
    for layer in ("last", *range(1, n_layers(encoder) + 1), "weighted"):
        encoder.hear(layer)
        keys.append(encoder.settings(encoder.cut("all")))
        assert encoder.settings().get("layer", "last") == layer
    assert len({str(key) for key in keys}) == len(keys)
    encoder.hear("last")
    assert encoder.settings(encoder.cut("all")) == keys[0]


def test_the_same_activations_have_the_same_key(encoder: StagedEncoder) -> None:
    """What leaves layer 1 is the same, whichever layer above it is heard."""
    n_above = n_layers(encoder) - 1
    whole = encoder.settings(encoder.cut(f"last{n_above}"))
    encoder.hear(2)
    assert encoder.settings(encoder.cut("last1")) == whole
    assert encoder.settings() != whole
