"""Parity with the published architecture: activations, keys, shapes and numbers of parameters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from affekt.encoders.mambavision import VARIANTS, MambaVision, MambaVisionConfig
from affekt.encoders.mambavision.model import from_grid

GOLDEN = Path(__file__).parents[2] / "golden" / "mambavision"
FILES = ("small_even", "small_odd_layerscale")
#: Share of a tensor's largest value. Single precision rounds in proportion to what it adds up: the golden numbers lie
#: up to 1.4e-4, one millionth of the largest value, from those of double precision; each processor rounds otherwise.
TOLERANCE = 5e-6

N_PARAMETERS = {
    "t": 31_794_248,
    "t2": 35_104_008,
    "s": 50_140_584,
    "b": 97_685_288,
    "l": 227_961_048,
    "l2": 241_554_824,
}
N_PARAMETERS_WITHOUT_HEAD = {
    "t": 31_153_248,
    "t2": 34_463_008,
    "s": 49_371_584,
    "b": 96_660_288,
    "l": 226_392_048,
    "l2": 239_985_824,
}
N_ENTRIES = {"t": 252, "t2": 298, "s": 285, "b": 356, "l": 356, "l2": 389}


def golden(name: str) -> tuple[MambaVision, dict[str, Tensor]]:
    """The model of a golden file, with its weights, and all tensors of the file."""
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        arguments = json.loads(file.metadata()["config"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    config = MambaVisionConfig(
        depths=tuple(arguments["depths"]),
        dim=arguments["dim"],
        in_dim=arguments["in_dim"],
        num_heads=tuple(arguments["num_heads"]),
        window_sizes=tuple(arguments["window_size"]),
        layer_scale=arguments["layer_scale"],
        num_classes=arguments["num_classes"],
    )
    model = MambaVision(config).eval()
    weights = {key.removeprefix("weights."): value for key, value in tensors.items() if key.startswith("weights.")}
    model.load_state_dict(weights, strict=True)
    return model, tensors


@torch.no_grad()
def activations(model: MambaVision, images: Tensor) -> dict[str, Tensor]:
    """Outputs of the stem, of each level, of the pooling and of the head, named as in the golden files."""
    names = {"stem": "stem", "level0.down": "level0", "level1.down": "level1", "level2.down": "level2"}
    found: dict[str, Tensor] = {}
    x = images
    for stage in model.stages(*images.shape[2:]):
        if stage.name == "pool":
            found["level3"] = from_grid(x, (found["level2"].shape[2], found["level2"].shape[3]))
        x = stage.run(x)
        if stage.name in names:
            found[names[stage.name]] = x
    return {**found, "features": x, "logits": model(images)}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", FILES)
def test_every_activation_is_as_published(name: str, index: int) -> None:
    model, tensors = golden(name)
    found = activations(model, tensors[f"input.{index}"])
    assert len(found) == 7
    for key, value in found.items():
        published = tensors[f"{key}.{index}"]
        torch.testing.assert_close(value, published, rtol=0, atol=TOLERANCE * float(published.abs().max()))


@pytest.mark.parametrize("name", N_PARAMETERS)
def test_numbers_of_parameters_and_entries(name: str) -> None:
    with torch.device("meta"):
        whole, headless = MambaVision(VARIANTS[name]), MambaVision(replace(VARIANTS[name], num_classes=0))
    assert sum(parameter.numel() for parameter in whole.parameters()) == N_PARAMETERS[name]
    assert sum(parameter.numel() for parameter in headless.parameters()) == N_PARAMETERS_WITHOUT_HEAD[name]
    assert len(whole.state_dict()) == N_ENTRIES[name]


@pytest.mark.parametrize("name", ["T", "S"])
def test_keys_and_shapes(name: str) -> None:
    wanted = json.loads((GOLDEN / f"mambavision_keys_{name}.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        found = MambaVision(VARIANTS[name.lower()]).state_dict()
    assert {key: list(tensor.shape) for key, tensor in found.items()} == wanted


def test_nano_is_compact() -> None:
    with torch.device("meta"):
        model = MambaVision(VARIANTS["nano"])
    assert 400_000 < sum(parameter.numel() for parameter in model.parameters()) < 600_000
