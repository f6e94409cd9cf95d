"""How fast is the selective scan, and what does it buy the whole MambaVision on a CPU?

Compares `selective_scan` with the plain loop `selective_scan_sequential`, alone and within MambaVision-S, for the two
lengths that occur with images of 224 x 224: 196 tokens in level 2 and 49 in level 3. Run from anywhere:

    python benchmarks/mambavision.py --rounds 7 --json mambavision.json
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from affekt.encoders.mambavision import VARIANTS, MambaVision, build, selective_scan, selective_scan_sequential
from affekt.encoders.mambavision.model import STATE_SIZE, MambaMixer
from common import Job, Row, compare, gemm_rate, machine, parse_options, table, write_json

N_IMAGES = 6
Scan = Callable[..., Tensor]


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time MambaVision's scan, alone and within the model.")
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    rows = [
        *_scan_rows(length=49, channels=384, rounds=options.rounds),
        *_scan_rows(length=196, channels=192, rounds=options.rounds),
        *_model_rows(options.rounds),
    ]
    print(table(rows, "fast scan", "sequential scan"))
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
    return rows


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
    """Compare MambaVision-S with itself, the scan replaced; features only, no gradient."""
    fast = build(replace(VARIANTS["s"], num_classes=0), seed=0).eval()
    plain = copy.deepcopy(fast)
    for module in plain.modules():
        if isinstance(module, MambaMixer):
            module.scan = selective_scan_sequential
    images = torch.randn(N_IMAGES, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    candidate, baseline = (_model_job(model, images) for model in (fast, plain))
    title = f"MambaVision-S, {N_IMAGES} images of 224 x 224"
    return [compare(title, candidate, baseline, rounds, flop=_count_flop(candidate))]


def _model_job(model: MambaVision, images: Tensor) -> Job:
    @torch.no_grad()
    def job() -> Tensor:
        return model.forward_features(images)

    return job


def _count_flop(job: Job) -> int:
    """Operations in the matrix products and convolutions of a job; all else is little beside them."""
    with FlopCounterMode(display=False) as counter:
        job()
    return int(counter.get_total_flops())


if __name__ == "__main__":
    main()
