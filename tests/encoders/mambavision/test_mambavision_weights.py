"""Loading weights: the forms they come in, and everything that can be wrong with a file."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from affekt.encoders.mambavision import MambaVision, MambaVisionConfig, build, load_checkpoint
from affekt.errors import WeightsError

State = dict[str, Tensor]


@pytest.fixture
def state(tiny: MambaVision) -> State:
    return {key: tensor.clone() for key, tensor in tiny.state_dict().items()}


@pytest.fixture
def target(tiny_config: MambaVisionConfig) -> MambaVision:
    """A model with other weights, to be filled."""
    return build(tiny_config, seed=8)


@pytest.fixture
def assert_untouched(target: MambaVision) -> Callable[[], None]:
    """A check that the model to be filled is as it was."""
    before = {key: tensor.clone() for key, tensor in target.state_dict().items()}

    def check() -> None:
        assert all(torch.equal(tensor, before[key]) for key, tensor in target.state_dict().items())

    return check


def assert_filled(model: MambaVision, state: State) -> None:
    for key, tensor in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(tensor, state[key], rtol=1e-3, atol=1e-3)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


def test_safetensors(target: MambaVision, state: State, tmp_path: Path) -> None:
    save_file(prefixed(state, "model."), tmp_path / "model.safetensors")
    load_checkpoint(target, tmp_path / "model.safetensors")
    assert_filled(target, state)


@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.pth", "tiny.pt", "pytorch_model.bin"])
def test_a_training_checkpoint(target: MambaVision, state: State, tmp_path: Path, name: str) -> None:
    arguments = Namespace(lr=0.1, model="tiny", betas=(0.9, 0.999), nested=Namespace(a=None))
    torch.save({"epoch": 3, "arch": "tiny", "args": arguments, "state_dict": state}, tmp_path / name)
    load_checkpoint(target, str(tmp_path / name))
    assert_filled(target, state)


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model."])
def test_wrappers_are_stripped(target: MambaVision, state: State, tmp_path: Path, prefix: str) -> None:
    torch.save(prefixed(state, prefix), tmp_path / "a.pth")
    load_checkpoint(target, tmp_path / "a.pth")
    assert_filled(target, state)


def test_counters_do_not_matter(target: MambaVision, state: State, tmp_path: Path) -> None:
    some = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    some["levels.9.num_batches_tracked"] = torch.tensor(1)
    save_file(some, tmp_path / "a.safetensors")
    load_checkpoint(target, tmp_path / "a.safetensors")
    assert_filled(target, state)


def test_half_precision_is_widened(target: MambaVision, state: State, tmp_path: Path) -> None:
    save_file({key: tensor.half() for key, tensor in state.items()}, tmp_path / "a.safetensors")
    load_checkpoint(target, tmp_path / "a.safetensors")
    assert target.norm.weight.dtype == torch.float32
    assert_filled(target, state)


def test_a_model_without_head_ignores_that_of_the_file(
    tiny_config: MambaVisionConfig, state: State, tmp_path: Path
) -> None:
    save_file(state, tmp_path / "a.safetensors")
    model = build(replace(tiny_config, num_classes=0), seed=0)
    load_checkpoint(model, tmp_path / "a.safetensors")
    assert_filled(model, state)


def test_a_model_with_head_wants_it(target: MambaVision, state: State, tmp_path: Path) -> None:
    save_file({key: t for key, t in state.items() if not key.startswith("head")}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"2 problems[^$]*head\.bias: missing[^$]*head\.weight: missing.*\(5, 64\)"):
        load_checkpoint(target, tmp_path / "a.safetensors")


def test_all_mistakes_are_listed(
    target: MambaVision, state: State, tmp_path: Path, assert_untouched: Callable[[], None]
) -> None:
    state["levels.5.extra"] = torch.zeros(2)
    state["norm.weight"] = torch.zeros(3)
    state["norm.bias"][0] = float("nan")
    state["head.bias"] = torch.zeros(5, dtype=torch.int32)
    del state["patch_embed.conv_down.0.weight"]
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(target, tmp_path / "a.safetensors")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("5 problems in ")
    assert lines[1] == "  patch_embed.conv_down.0.weight: missing, must be of shape (4, 3, 3, 3)."
    assert lines[2] == "  levels.5.extra: unexpected, shape (2,)."
    assert "head.bias: a torch.strided tensor of torch.int32" in lines[3]
    assert lines[4] == "  norm.bias: holds NaN or infinity, must be finite."
    assert lines[5] == "  norm.weight: shape (3,), must be (64,)."
    assert "nothing was loaded" in lines[6]
    assert_untouched()


def test_one_weight_under_two_names(target: MambaVision, state: State, tmp_path: Path) -> None:
    torch.save({**state, **prefixed(state, "model.")}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="twice"):
        load_checkpoint(target, tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "holds a list"),
        ({"state_dict": 3}, "holds a int"),
        ({"norm.weight": "abc", "epoch": 4}, "2 problems"),
        ({1: torch.zeros(2)}, "1: Tensor"),
        (torch.zeros(2), "holds a Tensor"),
    ],
)
def test_other_content_is_refused(target: MambaVision, tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=message):
        load_checkpoint(target, tmp_path / "a.pth")


def test_a_missing_file_and_a_folder(target: MambaVision, tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(WeightsError, match="There is no file"):
            load_checkpoint(target, path)


def test_another_kind_of_file(target: MambaVision, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(WeightsError, match=r"Allowed endings are \.safetensors"):
        load_checkpoint(target, tmp_path / "notes.txt")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth.tar"])
def test_truncated_files(
    target: MambaVision,
    state: State,
    tmp_path: Path,
    name: str,
    share: float,
    assert_untouched: Callable[[], None],
) -> None:
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(WeightsError, match="Download it again"):
        load_checkpoint(target, path)
    assert_untouched()


@pytest.mark.parametrize("name", ["a.safetensors", "a.bin"])
@pytest.mark.parametrize("seed", range(4))
def test_noise(target: MambaVision, tmp_path: Path, name: str, seed: int) -> None:
    noise = torch.randint(0, 256, (500,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    (tmp_path / name).write_bytes(bytes(noise.tolist()))
    with pytest.raises(WeightsError):
        load_checkpoint(target, tmp_path / name)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def _write_plain(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("write", [torch.save, _write_plain])
def test_a_malicious_pickle_runs_nothing(
    target: MambaVision,
    state: State,
    tmp_path: Path,
    write: Callable[[object, Path], None],
    assert_untouched: Callable[[], None],
) -> None:
    marker, path = tmp_path / "executed", tmp_path / "evil.pth.tar"
    write({"args": Bomb(marker), "state_dict": state}, path)
    with pytest.raises(WeightsError, match=r"Unsupported .*again from a source you trust"):
        load_checkpoint(target, path)
    assert not marker.exists()
    assert_untouched()


def test_the_bomb_is_live(tmp_path: Path) -> None:
    """The test above proves something only if an ordinary reader would have run the code."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


def test_a_bomb_named_safetensors(target: MambaVision, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "evil.safetensors"
    _write_plain(Bomb(marker), path)
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_checkpoint(target, path)
    assert not marker.exists()


def test_allowing_a_namespace_does_not_outlive_the_call(target: MambaVision, state: State, tmp_path: Path) -> None:
    torch.save({"args": Namespace(a=1), "state_dict": state}, tmp_path / "a.pth")
    load_checkpoint(target, tmp_path / "a.pth")
    with pytest.raises(pickle.UnpicklingError, match="Namespace"):
        torch.load(tmp_path / "a.pth", weights_only=True)
