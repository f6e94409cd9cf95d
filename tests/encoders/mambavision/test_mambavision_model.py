"""MambaVision as a module: sizes, gradients, initialisation, drop path, training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affekt.encoders.mambavision import VARIANTS, MambaVision, MambaVisionConfig, build, selective_scan_sequential
from affekt.encoders.mambavision.model import ConvBlock, DropPath, MambaMixer, TokenBlock, from_windows, to_windows
from affekt.errors import ShapeError


@pytest.mark.parametrize("size", [(1, 1), (2, 31), (33, 47), (64, 64), (128, 400)])
def test_any_height_and_width(tiny: MambaVision, size: tuple[int, int]) -> None:
    with torch.no_grad():
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        features, scores = tiny.forward_features(images), tiny(images)
    assert features.shape == (2, 64)
    assert torch.isfinite(features).all()
    torch.testing.assert_close(scores, tiny.head(features))
    assert scores.shape == (2, 5)


@torch.no_grad()
def test_an_image_does_not_see_its_batch(tiny: MambaVision, images: Tensor) -> None:
    together = tiny(images)
    for index in range(len(images)):
        torch.testing.assert_close(tiny(images[index : index + 1]), together[index : index + 1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1])


@torch.no_grad()
def test_memory_layout_of_images_does_not_matter(tiny: MambaVision, images: Tensor) -> None:
    other = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(tiny(other), tiny(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_classes_forward_gives_features(tiny_config: MambaVisionConfig, images: Tensor) -> None:
    model = build(replace(tiny_config, num_classes=0), seed=0).eval()
    assert torch.equal(model(images), model.forward_features(images))
    assert not [key for key in model.state_dict() if key.startswith("head")]


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 0, 32), (0, 3, 32, 32)])
def test_other_shapes_are_refused(tiny: MambaVision, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="batch, 3, height, width"):
        tiny(torch.zeros(shape))


@torch.no_grad()
def test_the_plain_scan_gives_the_same_features(tiny: MambaVision, images: Tensor) -> None:
    fast = tiny(images)
    mixers = [module for module in tiny.modules() if isinstance(module, MambaMixer)]
    for mixer in mixers:
        mixer.scan = selective_scan_sequential
    assert len(mixers) == 3
    torch.testing.assert_close(tiny(images), fast, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_float64_agrees_with_fp32(tiny: MambaVision, images: Tensor) -> None:
    single = tiny(images)
    double = tiny.double()(images.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_autocast_stays_close(tiny: MambaVision, images: Tensor) -> None:
    exact = tiny(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = tiny(images)
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)


def test_every_parameter_gets_a_gradient(tiny: MambaVision, images: Tensor) -> None:
    torch.autograd.backward(tiny(images).square().sum())
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_windows_are_read_row_by_row() -> None:
    grid = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    windows = to_windows(grid, 2)
    assert windows.shape == (2 * 6, 4, 1)
    assert windows[0].flatten().tolist() == [0, 1, 6, 7]
    assert windows[1].flatten().tolist() == [2, 3, 8, 9]
    assert windows[3].flatten().tolist() == [12, 13, 18, 19]
    assert torch.equal(from_windows(windows, 2, grid.shape), grid)


def test_one_window_is_not_copied() -> None:
    grid = torch.zeros(3, 7, 7, 5)
    assert to_windows(grid, 7).data_ptr() == grid.data_ptr()


# Initialisation


def test_seed_alone_decides_the_weights(tiny_config: MambaVisionConfig) -> None:
    torch.manual_seed(0)
    first = build(tiny_config, seed=5).state_dict()
    torch.manual_seed(99)
    second, other = build(tiny_config, seed=5).state_dict(), build(tiny_config, seed=6).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_building_does_not_disturb_the_callers_random_numbers(tiny_config: MambaVisionConfig) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(4)
    torch.manual_seed(7)
    build(tiny_config, seed=5)
    assert torch.equal(torch.rand(4), wanted)


def test_initial_values() -> None:
    model = build(replace(VARIANTS["nano"], layer_scale=1e-5), seed=0)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert all(0.01 < module.weight.std() < 0.03 for module in linear if module.weight.numel() > 500)
    assert all((module.bias == 0).all() for module in linear if module.bias is not None)
    mixer = next(module for module in model.modules() if isinstance(module, MambaMixer))
    torch.testing.assert_close(mixer.A_log.exp(), torch.arange(1.0, 9).expand(32, 8))
    assert (mixer.D == 1).all()
    block = next(module for module in model.modules() if isinstance(module, TokenBlock))
    assert block.gamma_1 is not None
    assert torch.equal(block.gamma_1, torch.full((64,), 1e-5))


# Drop path


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    y = DropPath(0.25)(torch.ones(4000, 2, 3))
    assert all(len(sample.unique()) == 1 for sample in y[:50])
    assert y.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert y.mean() == pytest.approx(1, abs=0.05)


def test_drop_path_is_active_in_training_only(tiny_config: MambaVisionConfig, images: Tensor) -> None:
    model = build(replace(tiny_config, drop_path_rate=0.9), seed=0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # so that only drop path can make a difference
    torch.manual_seed(0)
    with torch.no_grad():
        trained = [model(images) for _ in range(4)]
        model.eval()
        evaluated = [model(images) for _ in range(2)]
    assert any(not torch.equal(trained[0], other) for other in trained[1:])
    assert torch.equal(*evaluated)


def test_drop_path_rates_of_the_blocks(tiny_config: MambaVisionConfig) -> None:
    model = build(replace(tiny_config, drop_path_rate=0.7), seed=0)
    blocks = [module for module in model.modules() if isinstance(module, ConvBlock | TokenBlock)]
    assert [block.drop_path.rate for block in blocks] == pytest.approx([0.7 * i / 7 for i in range(8)])


# Training


def test_training_from_scratch_lowers_the_loss() -> None:
    """Tell horizontal from vertical stripes of random phase."""
    generator = torch.Generator().manual_seed(0)
    phase = 6.3 * torch.rand(16, 1, generator=generator)
    waves = torch.sin(torch.arange(32) * 0.8 + phase)[:, None, None, :].expand(16, 3, 32, 32)
    labels = torch.arange(16) % 2
    stripes = torch.where(labels[:, None, None, None] == 0, waves, waves.mT)
    config = replace(VARIANTS["nano"], dim=8, in_dim=8, window_sizes=(8, 8, 2, 1), num_classes=2)
    model = build(config, seed=0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    torch.manual_seed(0)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(model(stripes), labels)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.693, abs=0.1)
    assert max(losses[-3:]) < 0.2
