"""What does 8-bit arithmetic buy the frozen layers of wav2vec2-base on a CPU?

Nine clips of 5 s through all layers, random weights: torch against OpenVINO in 8 bits, and transformers' own model on
the same 45 s in one pass and as nine clips. All of them take turns. Quantising and compiling, which each clip length
needs once in a run, is timed apart. Run from anywhere:

    python benchmarks/engines.py --rounds 7 --json engines.json
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from affekt.encoders import build_encoder
from affekt.encoders.engines import OPENVINO_INT8, TORCH
from affekt.encoders.waveform import WaveformEncoder
from common import GEMM_FLOP, Job, Row, gemm_job, machine, median_times, parse_options, table, write_json

N_CLIPS = 9
CLIP_S = 5


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time the engines that run the frozen layers of wav2vec2-base.", rounds=5)
    encoder = build_encoder("wav2vec2-base", "random")
    assert isinstance(encoder, WaveformEncoder)
    clips = np.random.default_rng(0).normal(scale=0.1, size=(N_CLIPS, CLIP_S * 16_000)).astype(np.float32)
    baseline = _job(TORCH, clips)
    jobs = {OPENVINO_INT8: _compiled(OPENVINO_INT8, clips)}
    jobs["transformers, 45 s in one pass"] = _transformers(encoder, clips.reshape(1, -1))
    jobs["transformers, nine clips"] = _transformers(encoder, clips)
    times = median_times({TORCH: baseline, **jobs, "gemm": gemm_job()}, options.rounds)
    rate = GEMM_FLOP / times["gemm"]
    print(f"{machine()}, matrix product {rate / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    rows = [_row(name, times, _count_flop(encoder, clips) / rate) for name in (TORCH, *jobs)]
    print(table(rows, "engine", TORCH))
    if options.json:
        write_json(options.json, rows)


def _count_flop(encoder: WaveformEncoder, clips: np.ndarray) -> int:
    """Operations in the matrix products and convolutions of all clips; all else is little beside them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder.model.eval()(torch.from_numpy(clips[:1]))
    return int(counter.get_total_flops()) * len(clips)


def _row(name: str, times: dict[str, float], at_gemm_rate_s: float) -> Row:
    """Times beside torch's; the share of the GEMM rate counts the work of nine clips, which one pass exceeds."""
    return Row(name, times[name], times[TORCH], times[TORCH] / times[name], at_gemm_rate_s / times[name])


def _job(engine: str, clips: np.ndarray) -> Job:
    """The encoder as it is run in an extraction."""
    encoder = build_encoder("wav2vec2-base", "random")
    encoder.run_with(engine)
    cut = encoder.cut("all")
    return lambda: encoder.activations(clips, cut)


def _compiled(engine: str, clips: np.ndarray) -> Job:
    """The same, compiled before it is timed."""
    job, started = _job(engine, clips), time.perf_counter()
    job()
    print(f"{engine}: {time.perf_counter() - started:.0f} s to compile and run once")
    return job


def _transformers(encoder: WaveformEncoder, clips: np.ndarray) -> Job:
    model, inputs = encoder.model.eval(), encoder.preprocess(torch.from_numpy(clips))

    @torch.inference_mode()
    def job() -> torch.Tensor:
        output: torch.Tensor = model(inputs).last_hidden_state.mean(dim=1)
        return output

    return job


if __name__ == "__main__":
    main()
