"""Small models and folders that the tests of encoders share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

#: Sizes of a waveform model that runs in milliseconds: one frame each 80 samples.
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8),
    "conv_kernel": (16, 9),
    "conv_stride": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
DATA2VEC = {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def make_tiny() -> Make:
    """A function (family, **changes to its configuration) -> a tiny model of transformers whose weights are random.

    Biases and norms are moved away from 0 and 1, so that leaving one out changes the result.
    """

    def make(family: str = "wav2vec2", seed: int = 0, **changes: Any) -> Any:
        own = DATA2VEC if family == "data2vec-audio" else {}
        config = transformers.AutoConfig.for_model(family, **{**SIZES, **own, **changes})
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = transformers.AutoModel.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return model

    return make


@pytest.fixture
def saved(make_tiny: Make, tmp_path: Path) -> Path:
    """A folder that holds a tiny Wav2Vec 2.0 as its authors would publish it."""
    folder = tmp_path / "tiny"
    make_tiny().save_pretrained(folder)
    return folder
