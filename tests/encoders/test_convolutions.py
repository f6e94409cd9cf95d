"""The quick convolutions are held to transformers' and torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

from affekt.encoders.convolutions import ConvStack, FourierConv, rebuilt_extractor, rebuilt_position


def extractor(norm: str, bias: bool, activation: str = "gelu") -> Any:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        conv_dim=(24, 16, 32),
        conv_kernel=(10, 3, 2),
        conv_stride=(5, 2, 2),
        num_feat_extract_layers=3,
        feat_extract_norm=norm,
        conv_bias=bias,
        feat_extract_activation=activation,
    )
    made = Wav2Vec2FeatureEncoder(config).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    return made


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_stack_is_the_extractor(norm: str, bias: bool, activation: str) -> None:
    plain = extractor(norm, bias, activation)
    quick = rebuilt_extractor(plain)
    assert isinstance(quick, ConvStack)
    clips = torch.randn(3, 4001) * torch.tensor([[1.0], [1e-3], [30.0]]) + torch.tensor([[0.0], [0.1], [2.0]])
    with torch.inference_mode():
        torch.testing.assert_close(quick(clips), plain(clips), rtol=1e-3, atol=1e-4)


def test_silence_gives_what_it_gives() -> None:
    plain = extractor("group", False)
    quick = rebuilt_extractor(plain)
    assert quick is not None
    with torch.inference_mode():
        torch.testing.assert_close(quick(torch.zeros(2, 1000)), plain(torch.zeros(2, 1000)))


def test_a_stack_of_another_kind_is_left_alone() -> None:
    plain = extractor("group", False)
    plain.conv_layers[1].conv = nn.Conv1d(24, 16, 3, stride=2, groups=8)
    assert rebuilt_extractor(plain) is None


@settings(max_examples=40)
@given(kernel=st.integers(1, 140), n_frames=st.integers(1, 1200), groups=st.sampled_from([1, 2, 4]), bias=st.booleans())
def test_fourier_is_the_convolution(kernel: int, n_frames: int, groups: int, bias: bool) -> None:
    conv = nn.Conv1d(8, 4, kernel, padding=kernel // 2, groups=groups, bias=bias)
    x = torch.randn(2, 8, n_frames)
    with torch.inference_mode():
        torch.testing.assert_close(FourierConv(conv)(x), conv(x), rtol=1e-4, atol=1e-5)


def test_only_long_plain_convolutions_are_transformed() -> None:
    assert isinstance(rebuilt_position(nn.Conv1d(8, 8, 128, padding=64)), FourierConv)
    assert rebuilt_position(nn.Conv1d(8, 8, 16, padding=8)) is None
    assert rebuilt_position(nn.Conv1d(8, 8, 128, padding="same")) is None
    assert rebuilt_position(nn.Conv1d(8, 8, 128, stride=2)) is None
    assert rebuilt_position(nn.Linear(8, 8)) is None
