"""Small models that the tests of MambaVision share."""

from __future__ import annotations

import pytest
import torch

from affekt.encoders.mambavision import MambaVision, MambaVisionConfig, build


@pytest.fixture(scope="session")
def tiny_config() -> MambaVisionConfig:
    """Two blocks in each token level, windows that fit no image used here: padding everywhere."""
    return MambaVisionConfig(
        depths=(1, 2, 2, 3),
        dim=8,
        in_dim=4,
        num_heads=(1, 1, 2, 4),
        window_sizes=(8, 8, 3, 2),
        layer_scale=0.5,
        num_classes=5,
    )


@pytest.fixture
def tiny(tiny_config: MambaVisionConfig) -> MambaVision:
    """A tiny model in eval mode whose normalisations and biases are not the identity."""
    model = build(tiny_config, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1 and not name.endswith("D"):
            tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.3)
    return model


@pytest.fixture
def images() -> torch.Tensor:
    """Two images whose sides are no multiple of anything."""
    return torch.randn(2, 3, 75, 52, generator=torch.Generator().manual_seed(3))
