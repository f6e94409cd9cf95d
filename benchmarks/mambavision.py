"""How fast is the selective scan, and what does it buy the whole MambaVision on a CPU?

Compares `selective_scan` with the plain loop `selective_scan_sequential`, alone, for the two lengths that occur with
images of 224 x 224: 196 tokens in level 2 and 49 in level 3; with the parallel scan of mambapy (MIT) where that is
installed; and the whole of MambaVision-S, as extraction runs it, with its plain modules and the plain loop. The scan's
share of the whole is the time of its seven calls over that of the whole, in the same turns. Run from anywhere:

    python benchmarks/mambavision.py --rounds 7 --json mambavision.json
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from affekt.encoders.inference import faster as faster_of_torch
from affekt.encoders.inference import memory_kept, rebuilt
from affekt.encoders.mambavision import VARIANTS, MambaVision, build, faster, selective_scan, selective_scan_sequential
from affekt.encoders.mambavision.model import STATE_SIZE, MambaMixer
from affekt.encoders.stages import Stage, run_stages
from common import (
    GEMM_FLOP,
    Job,
    Row,
    compare,
    gemm_job,
    gemm_rate,
    machine,
    median_times,
    parse_options,
    table,
    write_json,
)

N_IMAGES, SIDE = 6, 224
#: Channels of the scans in MambaVision-S, and the steps of time that they run over.
LENGTHS = {384: 49, 192: 196}
Scan = Callable[..., Tensor]


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time MambaVision's scan, alone and within the model.")
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    rows = [
        *(row for channels, length in LENGTHS.items() for row in _scan_rows(length, channels, options.rounds)),
        *_model_rows(options.rounds),
    ]
    print(table(rows, "ours", "peer"))
    if options.json:
        write_json(options.json, rows)


def _scan_rows(length: int, channels: int, rounds: int) -> list[Row]:
    """Compare both scans with the sizes of one level of MambaVision-S, forward and with the backward pass."""
    inputs = _scan_inputs(length, channels)
    title = f"scan, {length} steps x {N_IMAGES} x {channels}"
    rows = []
    for what, make_job in (("forward", _forward_job), ("forward and backward", _backward_job)):
        candidate, baseline = (make_job(scan, inputs) for scan in (selective_scan, selective_scan_sequential))
        rows.append(compare(f"{title}: {what}", candidate, baseline, rounds))
        if importlib.util.find_spec("mambapy"):
            rows.append(compare(f"{title}: {what}, against mambapy", candidate, make_job(_mambapy, inputs), rounds))
    return rows


def _mambapy(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The same scan by mambapy's parallel one, whose tensors are (batch, time, channels, state)."""
    from mambapy.pscan import pscan

    decay = torch.exp(delta[..., None] * a).transpose(0, 1).contiguous()
    drive = ((delta * x)[..., None] * b[:, :, None]).transpose(0, 1).contiguous()
    states = pscan(decay, drive).transpose(0, 1)
    return (states * c[:, :, None]).sum(-1) + d * x


def _scan_inputs(length: int, channels: int) -> list[Tensor]:
    """Random arguments of a scan in its order: x, delta, a, b, c, d."""
    generator = torch.Generator().manual_seed(0)
    steps = (length, N_IMAGES)
    return [
        torch.randn(*steps, channels, generator=generator),
        torch.rand(*steps, channels, generator=generator),
        -torch.arange(1.0, STATE_SIZE + 1).repeat(channels, 1),
        torch.randn(*steps, STATE_SIZE, generator=generator),
        torch.randn(*steps, STATE_SIZE, generator=generator),
        torch.ones(channels),
    ]


def _forward_job(scan: Scan, inputs: list[Tensor]) -> Job:
    @torch.no_grad()
    def job() -> Tensor:
        return scan(*inputs)

    return job


def _backward_job(scan: Scan, inputs: list[Tensor]) -> Job:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]

    def job() -> tuple[Tensor, ...]:
        return torch.autograd.grad(scan(*leaves).sum(), leaves)

    return job


def _model_rows(rounds: int) -> list[Row]:
    """Compare MambaVision-S with its plain self, and with the plain loop as well; features only, no gradient."""
    model = build(replace(VARIANTS["s"], num_classes=0), seed=0).eval()
    looped = copy.deepcopy(model)
    for module in looped.modules():
        if isinstance(module, MambaMixer):
            module.scan = selective_scan_sequential
    images = torch.randn(N_IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    jobs = {
        "ours": _model_job(rebuilt(model.stages(SIDE, SIDE), lambda m: faster(m) or faster_of_torch(m)), images),
        "plain modules": _model_job(model.stages(SIDE, SIDE), images),
        "plain modules and loop": _model_job(looped.stages(SIDE, SIDE), images),
        "scan": _all_scans(model),
        "gemm": gemm_job(),
    }
    times = median_times(jobs, rounds)
    print(f"The scan takes {times['scan'] / times['ours']:.1%} of the time of MambaVision-S.\n")
    flop = _count_flop(_model_job(model.stages(SIDE, SIDE), images))
    share = flop / times["ours"] / (GEMM_FLOP / times["gemm"])
    title = f"MambaVision-S, {N_IMAGES} images of {SIDE} x {SIDE}: against"
    peers = ("plain modules", "plain modules and loop")
    return [Row(f"{title} {name}", times["ours"], times[name], times[name] / times["ours"], share) for name in peers]


def _model_job(stages: list[Stage], images: Tensor) -> Job:
    @torch.no_grad()
    def job() -> Tensor:
        with memory_kept():
            return run_stages(stages, images)

    return job


def _all_scans(model: MambaVision) -> Job:
    """The scans of one forward pass, on random numbers."""
    mixers = [module for module in model.modules() if isinstance(module, MambaMixer)]
    channels = [mixer.D.numel() for mixer in mixers]
    inputs = [_scan_inputs(LENGTHS[n], n) for n in channels]

    @torch.no_grad()
    def job() -> None:
        for each in inputs:
            selective_scan(*each)

    return job


def _count_flop(job: Job) -> int:
    """Operations in the matrix products and convolutions of a job; all else is little beside them."""
    with FlopCounterMode(display=False) as counter:
        job()
    return int(counter.get_total_flops())


if __name__ == "__main__":
    main()
