"""The network as stages: it can be cut anywhere, and each half knows its own parameters."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from affekt.encoders.mambavision import VARIANTS, MambaVision, Stage

TINY_STAGES = [
    "stem",
    "level0.block0",
    "level0.down",
    "level1.block0",
    "level1.block1",
    "level1.down",
    "level2.block0",
    "level2.block1",
    "level2.down",
    "level3.block0",
    "level3.block1",
    "level3.block2",
    "pool",
]


def run(stages: list[Stage], x: Tensor) -> Tensor:
    for stage in stages:
        x = stage.run(x)
    return x


def test_names_do_not_depend_on_the_size(tiny: MambaVision) -> None:
    assert [stage.name for stage in tiny.stages(64, 64)] == TINY_STAGES
    assert [stage.name for stage in tiny.stages(40, 333)] == TINY_STAGES


@torch.no_grad()
@pytest.mark.parametrize("cut", range(len(TINY_STAGES) + 1))
def test_a_cut_changes_nothing(tiny: MambaVision, images: Tensor, cut: int) -> None:
    stages = tiny.stages(*images.shape[2:])
    stored = run(stages[:cut], images).contiguous().clone()  # as it comes back from a store
    assert stored.shape[0] == len(images)
    torch.testing.assert_close(run(stages[cut:], stored), tiny.forward_features(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_batch_may_be_stored_image_by_image(tiny: MambaVision, images: Tensor) -> None:
    stages = tiny.stages(*images.shape[2:])
    for cut in range(len(stages)):
        stored = torch.cat([run(stages[:cut], image[None]) for image in images])
        torch.testing.assert_close(run(stages[cut:], stored), tiny.forward_features(images), rtol=1e-4, atol=1e-5)


def test_stages_share_no_parameter_and_miss_none(tiny: MambaVision) -> None:
    names = {id(parameter): name for name, parameter in tiny.named_parameters()}
    seen = [names[id(parameter)] for stage in tiny.stages(64, 64) for parameter in stage.parameters()]
    assert len(seen) == len(set(seen))
    assert set(names.values()) - set(seen) == {"head.weight", "head.bias"}


def test_a_copied_suffix_stands_on_its_own(tiny: MambaVision, images: Tensor) -> None:
    stages = tiny.stages(*images.shape[2:])
    cut = TINY_STAGES.index("level3.block1")
    with torch.no_grad():
        before = tiny.forward_features(images)
        stored = run(stages[:cut], images)
    suffix = copy.deepcopy(stages[cut:])
    optimiser = torch.optim.SGD([p for stage in suffix for p in stage.parameters()], lr=0.1)
    torch.autograd.backward(run(suffix, stored).square().sum())
    optimiser.step()
    with torch.no_grad():
        assert torch.equal(tiny.forward_features(images), before)
        assert not torch.allclose(run(suffix, stored), before)
    assert all(parameter.grad is None for parameter in tiny.parameters())


def test_a_copied_suffix_holds_the_suffix_only(tiny: MambaVision) -> None:
    n_suffix = sum(parameter.numel() for parameter in tiny.norm.parameters())
    assert len(pickle.dumps(copy.deepcopy(tiny.stages(64, 64)[-1:]))) < 4 * n_suffix + 10_000
    assert sum(p.numel() for stage in copy.deepcopy(tiny.stages(64, 64)[-1:]) for p in stage.parameters()) == n_suffix


def test_freezing_a_prefix(tiny: MambaVision, images: Tensor) -> None:
    stages = tiny.stages(*images.shape[2:])
    cut = TINY_STAGES.index("level3.block0")
    for stage in stages[:cut]:
        for parameter in stage.parameters():
            parameter.requires_grad_(False)
    torch.autograd.backward(tiny.forward_features(images).square().sum())
    assert all(parameter.grad is None for stage in stages[:cut] for parameter in stage.parameters())
    assert all(parameter.grad is not None for stage in stages[cut:] for parameter in stage.parameters())


def test_number_of_stages_of_the_published_variants() -> None:
    for config in VARIANTS.values():
        with torch.device("meta"):
            model = MambaVision(config)
        assert len(model.stages(224, 224)) == sum(config.depths) + len(["stem", "down", "down", "down", "pool"])
