"""The selective scan of a Mamba mixer: a readable version and a fast one that must agree.

The recurrence, for every sample and channel on its own, with a state of a few numbers that starts at zero:

    state[t] = exp(delta[t] * a) * state[t-1] + delta[t] * b[t] * x[t]
    y[t]     = sum over the state of c[t] * state[t], plus d * x[t]

Conventions: arrays are **time-major**, `(time, batch, channels)`, so that one step of the recurrence reads one
contiguous block of memory. All arithmetic is at least fp32, under autocast and for half-precision inputs too, because
errors accumulate along time; the result has the dtype of `x`.

A closed form with a cumulative sum of `delta * a` would need no loop, but its `exp(-sum)` overflows within a few dozen
steps. The loop below multiplies only by numbers in (0, 1] and is safe for any `delta`.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv 2312.00752, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from affekt.errors import ShapeError

# Numbers in the states that are handled at once: few enough to stay in a processor's cache (1 MiB in fp32), which
# halves the time of long scans, and more so with the backward pass.
_BLOCK_NUMBERS = 2**18


def selective_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Run the selective scan, quickly.

    Args:
        x: input, shape (time, batch, channels).
        delta: positive step sizes, same shape.
        a: decay rates, negative, shape (channels, state).
        b: input weights, shape (time, batch, state).
        c: output weights, same shape as `b`.
        d: weights of the direct path, shape (channels,).

    Returns:
        Shape (time, batch, channels), dtype of `x`. Differentiable any number of times in every argument.

    Raises:
        ShapeError: the shapes do not fit together, or there is no time step.
    """
    if torch.compiler.is_exporting():  # to a graph that other programs run; see `affekt.model.graph`
        return _scan_unrolled(x, delta, a, b, c, d)
    _check_shapes(x, delta, a, b, c, d)
    with _without_autocast(x.device):
        y = _scan_in_blocks(*_widen(x, delta, a, b, c, d))
    return y.to(x.dtype)  # (time, batch, channels)


def selective_scan_sequential(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Run the selective scan as it is written in the paper, one step after the other.

    The reference for `selective_scan`; same arguments, result and errors.
    """
    _check_shapes(x, delta, a, b, c, d)
    with _without_autocast(x.device):
        wide_x, delta, a, b, c, d = _widen(x, delta, a, b, c, d)
        state = wide_x.new_zeros(*wide_x.shape[1:], a.shape[1])  # (batch, channels, state)
        outputs = []
        for x_t, delta_t, b_t, c_t in zip(wide_x, delta, b, c, strict=True):
            decay = torch.exp(delta_t[:, :, None] * a)  # (batch, channels, state)
            drive = (delta_t * x_t)[:, :, None] * b_t[:, None, :]  # (batch, channels, state)
            state = decay * state + drive  # (batch, channels, state)
            outputs.append((state * c_t[:, None, :]).sum(-1) + d * x_t)  # (batch, channels)
        return torch.stack(outputs).to(x.dtype)  # (time, batch, channels)


def _scan_in_blocks(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The scan, a few steps of time after the other."""
    needs_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, delta, a, b, c, d))
    advance = _advance_recorded if needs_gradient else _advance_in_place
    # Inside, the state stands before the channels: the last axis is then long, contiguous and shared by all operands.
    rates = a.T.contiguous()  # (state, channels)
    state = x.new_zeros(x.shape[1], *rates.shape)  # (batch, state, channels)
    n_steps = max(1, _BLOCK_NUMBERS // max(1, state.numel()))
    outputs = []
    for start in range(0, len(x), n_steps):
        block = slice(start, start + n_steps)
        decay = (delta[block, :, None, :] * rates).exp_()  # (steps, batch, state, channels)
        drive = (delta[block] * x[block])[:, :, None, :] * b[block, :, :, None]  # (steps, batch, state, channels)
        states = advance(decay, drive, state)  # (steps, batch, state, channels)
        outputs.append((c[block, :, None, :] @ states).squeeze(2))  # (steps, batch, channels)
        state = states[-1]  # (batch, state, channels)
    return torch.cat(outputs) + d * x  # (time, batch, channels)


def _scan_unrolled(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The scan in single precision for a graph that is exported, where time is fixed and the batch is not.

    Time is cut into runs as long as they are many. All runs advance together from zero; the state that each begins with
    is then found from run to run, and what is left of it added. So 196 steps become 14 and 14.
    """
    time = len(x)
    n_steps = math.isqrt(time - 1) + 1
    spare = (0, 0) * 3 + (0, -time % n_steps)
    decay = F.pad(torch.exp(delta[:, :, None, :] * a.T), spare).unflatten(0, (-1, n_steps))  # (run, step, batch, ...)
    drive = F.pad((delta * x)[:, :, None, :] * b[..., None], spare).unflatten(0, (-1, n_steps))
    states, shares = [drive[:, :1]], [decay[:, :1]]  # from zero; what is left of the state before the run
    # Slices keep their axis: a graph needs no operation to take it away and to bring it back.
    for decay_t, drive_t in zip(decay.split(1, 1)[1:], drive.split(1, 1)[1:], strict=True):
        states.append(decay_t * states[-1] + drive_t)  # (run, 1, batch, state, channels)
        shares.append(decay_t * shares[-1])
    before = [torch.zeros_like(states[-1][:1])]
    for share, end in zip(shares[-1].split(1)[:-1], states[-1].split(1)[:-1], strict=True):
        before.append(share * before[-1] + end)  # (1, 1, batch, state, channels)
    found = (torch.cat(states, 1) + torch.cat(shares, 1) * torch.cat(before)).flatten(0, 1)[:time]
    return (c[:, :, None, :] @ found).squeeze(2) + d * x  # (time, batch, channels)


def _advance_in_place(decay: Tensor, drive: Tensor, state: Tensor) -> Tensor:
    """All states of a block, written over `drive`; `state` is the one before the block."""
    for decay_t, state_t in zip(decay.unbind(0), drive.unbind(0), strict=True):
        state = state_t.addcmul_(decay_t, state)  # (batch, state, channels)
    return drive


def _advance_recorded(decay: Tensor, drive: Tensor, state: Tensor) -> Tensor:
    """All states of a block, kept for the backward pass; `state` is the one before the block."""
    return _recur(decay, torch.cat([state[None], drive]), backwards=False)[1:]


def _recur(decay: Tensor, drive: Tensor, *, backwards: bool) -> Tensor:
    """Apply `_Recurrence`, with types."""
    apply: Callable[..., Tensor] = _Recurrence.apply
    return apply(decay, drive, backwards)


class _Recurrence(torch.autograd.Function):
    """`states[t] = decay[t-1] * states[t-1] + drive[t]`, or the same from the last step to the first.

    `decay` belongs to the gaps between steps and is one shorter than `drive`. The gradient of a recurrence is the same
    recurrence over the same gaps in the other direction, so the backward pass calls this very function again; that
    makes it differentiable to any order.
    """

    @staticmethod
    def forward(ctx: Any, decay: Tensor, drive: Tensor, backwards: bool) -> Tensor:
        states = torch.empty_like(drive)  # (time, ...)
        steps = list(zip(drive.unbind(0), states.unbind(0), strict=True))
        gaps = decay.unbind(0)
        if backwards:
            steps, gaps = steps[::-1], gaps[::-1]
        previous = steps[0][1].copy_(steps[0][0])
        for decay_t, (drive_t, state_t) in zip(gaps, steps[1:], strict=True):
            previous = torch.addcmul(drive_t, decay_t, previous, out=state_t)
        ctx.save_for_backward(decay, states)
        ctx.backwards = backwards
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        decay, states = ctx.saved_tensors
        adjoint = _recur(decay, gradients[0], backwards=not ctx.backwards)  # (time, ...)
        target, source = (adjoint[:-1], states[1:]) if ctx.backwards else (adjoint[1:], states[:-1])
        return target * source, adjoint, None


def _widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Bring all tensors to one dtype of at least fp32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(tensor.to(dtype) for tensor in tensors)


def _without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off for a device that knows it."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _check_shapes(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> None:
    """Raise unless all shapes follow from those of `x` and `a`."""
    if x.ndim != 3 or a.ndim != 2 or len(x) == 0:
        raise ShapeError(
            f"The scan got x of shape {tuple(x.shape)} and a of shape {tuple(a.shape)}; allowed are (time, batch, "
            "channels) with at least one time step, and (channels, state). Put the time axis first."
        )
    time, batch, channels = x.shape
    n_states = a.shape[1]
    wanted = {
        "delta": (delta, (time, batch, channels)),
        "a": (a, (channels, n_states)),
        "b": (b, (time, batch, n_states)),
        "c": (c, (time, batch, n_states)),
        "d": (d, (channels,)),
    }
    wrong = [f"{n} is {tuple(t.shape)}, must be {s}" for n, (t, s) in wanted.items() if tuple(t.shape) != s]
    if wrong:
        raise ShapeError(f"The scan got x of shape {tuple(x.shape)}, but {'; '.join(wrong)}.")
