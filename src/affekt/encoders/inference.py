"""A network rebuilt to run quickly on a processor where no gradient is wanted: the same function, other arithmetic.

The rebuilt modules share their tensors with the network they come from, which stays as it is. What is gained, measured
on two cores with AVX2 (`benchmarks/wav2vec2.py`, `benchmarks/mambavision.py`):

- A linear layer's weights are brought once into the order in which oneDNN multiplies; BLAS does so in every call.
- Two-dimensional convolutions hold their weights channels last, oneDNN's own order.
- A norm behind a convolution becomes part of it; a weight that is computed from others is computed once.
- Memory once obtained is kept between calls: pages that the system hands out afresh cost as much as a norm does.

Rounding differs in the last digits, as it does between processors; the tests hold every encoder to its plain version.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from affekt.encoders.stages import Stage

#: Says what to put in a module's place; None to look at its parts instead.
Rule = Callable[[nn.Module], nn.Module | None]

#: glibc's names for the size above which memory is mapped anew each time, and for what is given back; mallopt(3).
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_KEPT_BYTES = 2**30
_GLIBC_MOST_BYTES = 2**25


def rebuilt(stages: Sequence[Stage], rule: Rule) -> list[Stage]:
    """The same stages, quicker. They are to be run in evaluation mode, without gradients, on a processor."""
    return [_rebuilt(stage, rule) for stage in stages]


def faster(module: nn.Module) -> nn.Module | None:
    """The rule for modules of torch, whatever network they are in."""
    if parametrize.is_parametrized(module):
        return _with_plain_weight(module)
    if type(module) is nn.Linear and packable(module):
        return PackedLinear(module)
    if type(module) is nn.Conv2d:
        return channels_last(module)
    return None


class PackedLinear(nn.Module):
    """A linear layer with its weights in oneDNN's own order."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias  # for code that multiplies by itself
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return y


def packable(linear: nn.Linear) -> bool:
    """Whether this build of torch has oneDNN's product, which takes single precision alone."""
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    return known and linear.weight.dtype == torch.float32 and linear.weight.device.type == "cpu"


def channels_last(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, whose weights lie channels last; what it puts out then does so as well."""
    weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
    return twin(conv, parameters={"weight": nn.Parameter(weight, requires_grad=False)})


def folded(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """A two-dimensional convolution that a batch norm follows, as one convolution."""
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return channels_last(fuse_conv_bn_eval(copy.deepcopy(conv).eval(), copy.deepcopy(norm).eval()))


def twin(module: Any, modules: dict[str, nn.Module] | None = None, parameters: dict[str, Any] | None = None) -> Any:
    """A module that shares everything with `module` but some of its direct parts and parameters."""
    other = copy.copy(module)
    other.__dict__["_modules"] = {**module._modules, **(modules or {})}
    other.__dict__["_parameters"] = {**module._parameters, **(parameters or {})}
    return other


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """Let the C library keep what is freed within, instead of giving it back and asking for it again.

    Only glibc can be told so; elsewhere nothing changes. What was kept is given back at the end.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
    libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _GLIBC_MOST_BYTES)  # as high as glibc itself raises it
        libc.mallopt(_TRIM_THRESHOLD, 2 * _GLIBC_MOST_BYTES)
        libc.malloc_trim(0)


def _glibc() -> Any | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def _rebuilt(value: Any, rule: Rule) -> Any:
    """`value`, with every module in it rebuilt: a module, a stage, or what a stage's function is bound to."""
    if isinstance(value, nn.Module):
        return _rebuilt_module(value, rule)
    if isinstance(value, Stage):
        modules = tuple(_rebuilt_module(module, rule) for module in value.modules)
        return replace(value, modules=modules, function=_rebuilt(value.function, rule))
    if isinstance(value, partial):
        bound = {name: _rebuilt(argument, rule) for name, argument in value.keywords.items()}
        return partial(value.func, *(_rebuilt(argument, rule) for argument in value.args), **bound)
    if isinstance(value, (list, tuple)):
        return type(value)(_rebuilt(item, rule) for item in value) if type(value) in (list, tuple) else value
    return value


def _rebuilt_module(module: nn.Module, rule: Rule) -> nn.Module:
    made = rule(module)
    if made is not None:
        return made.eval()
    parts = {name: part for name, part in module._modules.items() if part is not None}
    return twin(module, {name: _rebuilt_module(part, rule) for name, part in parts.items()})


def _with_plain_weight(module: nn.Module) -> nn.Module | None:
    """A convolution of weight norm and the like, with the weight that its parts come to."""
    if not isinstance(module, nn.Conv1d) or set(module.parametrizations) != {"weight"}:  # type: ignore[arg-type]
        return None
    size = (module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding)
    plain = nn.Conv1d(*size, module.dilation, module.groups, module.bias is not None, module.padding_mode)  # type: ignore[arg-type]
    plain.weight = nn.Parameter(module.weight.detach(), requires_grad=False)
    plain.bias = module.bias
    return plain.eval()
