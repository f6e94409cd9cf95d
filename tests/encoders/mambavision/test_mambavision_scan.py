"""The fast selective scan against the plain one, and both against results known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from affekt.encoders.mambavision import scan as scan_module
from affekt.encoders.mambavision import selective_scan, selective_scan_sequential
from affekt.errors import ShapeError

SCANS = [selective_scan, selective_scan_sequential]
NAMES = ("x", "delta", "a", "b", "c", "d")
Scan = Callable[..., Tensor]


def random_inputs(
    time: int, batch: int, channels: int, n_states: int, dtype: torch.dtype = torch.float32, scale: float = 1.0
) -> list[Tensor]:
    """Arguments of a scan in its order; `scale` multiplies the step sizes."""
    generator = torch.Generator().manual_seed(time + 100 * batch)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    delta = torch.nn.functional.softplus(draw(time, batch, channels)) * scale
    a = -torch.exp(draw(channels, n_states))
    b, c = draw(time, batch, n_states), draw(time, batch, n_states)
    return [draw(time, batch, channels), delta, a, b, c, draw(channels)]


def gradients(scan: Scan, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of a random projection of the result with respect to all arguments."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    y = scan(*leaves)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return torch.autograd.grad((y * weights).sum(), leaves)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a block so small that short inputs fill several."""
    monkeypatch.setattr(scan_module, "_BLOCK_NUMBERS", 36)


shapes = st.tuples(st.integers(1, 60), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))


@settings(max_examples=30, deadline=None)
@given(shape=shapes, dtype=st.sampled_from([torch.float32, torch.float64]), block=st.sampled_from([1, 64, 2**18]))
def test_fast_agrees_with_sequential(shape: tuple[int, int, int, int], dtype: torch.dtype, block: int) -> None:
    inputs = random_inputs(*shape, dtype=dtype)
    rtol, atol = (1e-4, 1e-4) if dtype is torch.float32 else (1e-9, 1e-10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_module, "_BLOCK_NUMBERS", block)
        y, gradient = selective_scan(*inputs), gradients(selective_scan, inputs)
    torch.testing.assert_close(y, selective_scan_sequential(*inputs), rtol=rtol, atol=atol)
    for name, fast, plain in zip(NAMES, gradient, gradients(selective_scan_sequential, inputs), strict=True):
        assert torch.allclose(fast, plain, rtol=rtol, atol=atol), name


@pytest.mark.parametrize("time", [49, 196])
def test_agreement_at_the_lengths_of_the_model(time: int) -> None:
    inputs = random_inputs(time, 2, 24, 8)
    torch.testing.assert_close(selective_scan(*inputs), selective_scan_sequential(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e6])
def test_extreme_step_sizes_stay_finite_and_agree(scale: float) -> None:
    inputs = random_inputs(300, 1, 6, 4, scale=scale)
    y = selective_scan(*inputs)
    assert torch.isfinite(y).all()
    torch.testing.assert_close(y, selective_scan_sequential(*inputs), rtol=1e-4, atol=1e-5 * max(scale, 1))
    assert all(torch.isfinite(gradient).all() for gradient in gradients(selective_scan, inputs))


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.usefixtures("small_blocks")
def test_constant_input_gives_a_geometric_series(scan: Scan) -> None:
    ones = torch.ones(20, 1, 1, dtype=torch.float64)
    y = scan(ones, ones, torch.tensor([[-math.log(2)]], dtype=torch.float64), ones, ones, torch.zeros(1))
    wanted = 2 - 0.5 ** torch.arange(20, dtype=torch.float64)  # 1 + 1/2 + 1/4 + ...
    torch.testing.assert_close(y.flatten(), wanted)


@pytest.mark.parametrize("scan", SCANS)
def test_without_input_weights_only_the_direct_path_is_left(scan: Scan) -> None:
    x, delta, a, b, c, d = random_inputs(7, 2, 3, 4)
    torch.testing.assert_close(scan(x, delta, a, torch.zeros_like(b), c, d), d * x)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.usefixtures("small_blocks")
def test_the_past_does_not_see_the_future(scan: Scan) -> None:
    inputs = random_inputs(12, 2, 3, 2)
    changed = [inputs[0].clone(), *inputs[1:]]
    changed[0][8:] += 1
    y, y_changed = scan(*inputs), scan(*changed)
    assert torch.equal(y[:8], y_changed[:8])
    assert (y[8:] != y_changed[8:]).any()


@pytest.mark.usefixtures("small_blocks")
def test_gradients_against_finite_differences() -> None:
    inputs = [tensor.requires_grad_() for tensor in random_inputs(7, 2, 2, 3, dtype=torch.float64)]
    assert torch.autograd.gradcheck(selective_scan, inputs)
    assert torch.autograd.gradgradcheck(selective_scan, inputs)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_one_argument_alone(name: str) -> None:
    inputs = random_inputs(5, 2, 3, 2)
    index = NAMES.index(name)
    leaf = inputs[index].requires_grad_()
    (alone,) = torch.autograd.grad(selective_scan(*inputs).square().sum(), leaf)
    (wanted,) = torch.autograd.grad(selective_scan_sequential(*inputs).square().sum(), leaf)
    torch.testing.assert_close(alone, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("recorded", [False, True])
def test_arguments_are_left_alone(recorded: bool) -> None:
    inputs = [tensor.requires_grad_(recorded) for tensor in random_inputs(9, 2, 3, 2)]
    before = [tensor.detach().clone() for tensor in inputs]
    selective_scan(*inputs)
    assert all(torch.equal(now, then) for now, then in zip(inputs, before, strict=True))


@pytest.mark.usefixtures("small_blocks")
def test_recorded_and_unrecorded_agree() -> None:
    inputs = [tensor.requires_grad_() for tensor in random_inputs(31, 2, 3, 2)]
    recorded = selective_scan(*inputs)
    with torch.no_grad():
        unrecorded = selective_scan(*inputs)
    assert recorded.requires_grad
    assert not unrecorded.requires_grad
    torch.testing.assert_close(recorded, unrecorded)


def test_memory_layout_does_not_matter() -> None:
    inputs = random_inputs(11, 3, 4, 2)
    strided = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in inputs[:2]]
    torch.testing.assert_close(selective_scan(*strided, *inputs[2:]), selective_scan(*inputs))


@pytest.mark.parametrize("scan", SCANS)
def test_autocast_changes_nothing(scan: Scan) -> None:
    inputs = random_inputs(20, 2, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = scan(*inputs)
    assert y.dtype == torch.float32
    assert torch.equal(y, scan(*inputs))


@pytest.mark.parametrize("scan", SCANS)
def test_half_precision_is_computed_in_fp32(scan: Scan) -> None:
    inputs = [tensor.bfloat16() for tensor in random_inputs(40, 2, 3, 4)]
    y = scan(*inputs)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, scan(*(tensor.float() for tensor in inputs)).bfloat16())


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_wrong_shape_is_named(scan: Scan, name: str) -> None:
    inputs = random_inputs(5, 2, 3, 4)
    index = NAMES.index(name)
    inputs[index] = torch.cat([inputs[index], inputs[index]])
    with pytest.raises(ShapeError, match=rf"\b{'delta' if name == 'a' else name} is"):
        scan(*(inputs if name != "a" else [*inputs[:1], inputs[1][:, :, :1], *inputs[2:]]))


@pytest.mark.parametrize("scan", SCANS)
def test_no_time_step_and_no_time_axis_are_refused(scan: Scan) -> None:
    x, delta, a, b, c, d = random_inputs(5, 2, 3, 4)
    with pytest.raises(ShapeError, match="at least one time step"):
        scan(x[:0], delta[:0], a, b[:0], c[:0], d)
    with pytest.raises(ShapeError, match="time axis first"):
        scan(x[0], delta[0], a, b[0], c[0], d)


@settings(max_examples=30, deadline=None)
@given(shape=shapes)
def test_the_scan_of_a_traced_graph_agrees_with_sequential(shape: tuple[int, int, int, int]) -> None:
    inputs = random_inputs(*shape)
    found, expected = scan_module._scan_unrolled(*inputs), selective_scan_sequential(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("time", [49, 125, 196])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3, 1e6])
def test_the_scan_of_a_traced_graph_at_the_lengths_of_the_model(time: int, scale: float) -> None:
    inputs = random_inputs(time, 2, 6, 8, scale=scale)
    found, expected = scan_module._scan_unrolled(*inputs), selective_scan_sequential(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * max(1.0, scale))
