"""Modules rebuilt to run quickly are held to those they stand for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from affekt.encoders.inference import PackedLinear, faster, folded, packable, rebuilt, twin
from affekt.encoders.stages import Stage, run_stages


@given(n_in=st.integers(1, 70), n_out=st.integers(1, 70), n_rows=st.integers(1, 40), bias=st.booleans())
def test_packed_product_is_the_product(n_in: int, n_out: int, n_rows: int, bias: bool) -> None:
    linear, x = nn.Linear(n_in, n_out, bias=bias), torch.randn(2, n_rows, n_in)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(linear)(x), linear(x))


def test_half_and_double_precision_are_not_packed() -> None:
    assert packable(nn.Linear(3, 4)) == torch.backends.mkldnn.is_available()
    assert not packable(nn.Linear(3, 4).double()) and not packable(nn.Linear(3, 4).half())


def test_a_subclass_is_left_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    assert faster(Doubled(3, 4)) is None


def test_norm_folded_into_the_convolution() -> None:
    conv, norm, x = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), torch.randn(4, 3, 9, 7)
    norm(conv(x) * 3 + 1)  # running statistics other than 0 and 1
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    with torch.inference_mode():
        torch.testing.assert_close(folded(conv, norm)(x), norm.eval()(conv(x)))


def test_weight_norm_is_worked_out_and_the_original_still_works() -> None:
    conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(6, 6, 4, padding=2, groups=3), dim=2)
    x = torch.randn(2, 6, 11)
    plain = faster(conv)
    assert type(plain) is nn.Conv1d
    torch.testing.assert_close(plain(x), conv(x))


def test_a_twin_shares_and_does_not_disturb() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    other = twin(network, {"0": nn.Linear(3, 4)})
    assert other[1] is network[1] and other[0] is not network[0]
    assert len(network) == 2 and network[0].in_features == 3


def test_what_a_stage_is_bound_to_is_rebuilt_too() -> None:
    from functools import partial

    inner = Stage("inner", (nn.Linear(4, 4),), lambda linear, x: linear(x))
    outer = Stage("outer", (), partial(lambda x, layers: run_stages(layers, x), layers=[inner]))
    (quick,) = rebuilt([outer], faster)
    x = torch.randn(2, 4)
    with torch.inference_mode():
        torch.testing.assert_close(quick.run(x), outer.run(x))
    (found,) = quick.function.keywords["layers"]
    assert isinstance(found.modules[0], PackedLinear) == packable(inner.modules[0])


PAGES = """
import resource
import torch
from affekt.encoders.inference import memory_kept

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)  # 64 MiB: more than glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

afresh = pages()
with memory_kept():
    pages()
    kept = pages()
    held = resident()
print(afresh, kept, held - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be told to keep memory")
def test_memory_is_obtained_once() -> None:
    said = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True).stdout
    afresh, kept, given_back = map(int, said.split())
    assert kept < afresh / 5
    assert given_back > 2**25
