"""MambaVisionConfig: what it derives and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from affekt.encoders.mambavision import VARIANTS, MambaVisionConfig
from affekt.errors import EncoderError


@pytest.mark.parametrize(
    ("name", "level2", "level3"),
    [
        ("t", "MMMMAAAA", "MMAA"),
        ("t2", "MMMMMMAAAAA", "MMAA"),
        ("s", "MMMMAAA", "MMMAA"),
        ("b", "MMMMMAAAAA", "MMMAA"),
        ("l", "MMMMMAAAAA", "MMMAA"),
    ],
)
def test_mixers_come_first_and_attention_last(name: str, level2: str, level3: str) -> None:
    config = VARIANTS[name]
    for level, wanted in ((2, level2), (3, level3)):
        assert "".join("AM"[config.is_mamba(level, block)] for block in range(config.depths[level])) == wanted


@pytest.mark.parametrize("name", VARIANTS)
def test_drop_path_rises_evenly_over_all_blocks(name: str) -> None:
    config = VARIANTS[name]
    rates = [config.drop_path(level, block) for level in range(4) for block in range(config.depths[level])]
    steps = [later - earlier for earlier, later in pairwise(rates)]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(config.drop_path_rate)
    assert all(math.isclose(step, steps[0]) for step in steps)


def test_published_features() -> None:
    features = {name: config.n_features for name, config in VARIANTS.items() if name != "nano"}
    assert features == {"t": 640, "t2": 640, "s": 768, "b": 1024, "l": 1568, "l2": 1568}


@pytest.mark.parametrize("name", VARIANTS)
def test_no_padding_at_the_intended_image_size(name: str) -> None:
    config = VARIANTS[name]
    assert config.image_size % 32 == 0
    assert config.image_size // 16 % config.window_sizes[2] == 0
    assert config.image_size // 32 % config.window_sizes[3] == 0


def test_all_mistakes_in_one_error() -> None:
    with pytest.raises(EncoderError) as caught:
        MambaVisionConfig(
            depths=(1, 0, 1, 1), dim=7, in_dim=0, num_heads=(1, 1, 1, 1), drop_path_rate=1.0, crop_fraction=0.0
        )
    message = str(caught.value)
    assert message.startswith("5 problems")
    for part in ("dim = 7", "in_dim = 0", "drop_path_rate = 1.0", "crop_fraction = 0.0", "depths = (1, 0, 1, 1)"):
        assert part in message


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(EncoderError, match=r"num_heads\[3\] = 7: must divide the level's width, 128"):
        replace(VARIANTS["nano"], num_heads=(1, 1, 2, 7))
