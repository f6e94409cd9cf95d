"""How fast does 45 s of music become a wav2vec2-base embedding, against transformers' own loop?

Ours runs nine windows of 5 s through the prefix that extraction runs; transformers' loop runs the song in one pass, as
notebooks do, with eager and with sdpa attention; and the same nine windows through transformers' modules as they are
say what is gained by the windows alone. All in single precision, with random weights, which cost the same. Run from
anywhere:

    python benchmarks/wav2vec2.py --rounds 5 --json wav2vec2.json
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from affekt.encoders import Cut, build_encoder
from affekt.encoders.inference import faster, memory_kept, rebuilt
from affekt.encoders.stages import run_stages
from affekt.encoders.waveform import WaveformEncoder
from common import GEMM_FLOP, Job, Row, gemm_job, gemm_rate, machine, median_times, parse_options, table, write_json

N_WINDOWS, WINDOW_S = 9, 5
WANTED_SHARE, WANTED_RATIO = 0.85, 1.6


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time wav2vec2-base against transformers' own loop.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    encoder = build_encoder("wav2vec2-base", "random")
    assert isinstance(encoder, WaveformEncoder)
    rows = _rows(encoder, options.rounds)
    print(table(rows, "affekt", "transformers"))
    print(f"\nWanted: {WANTED_SHARE:.0%} of the GEMM rate, and {WANTED_RATIO} times the one pass with sdpa.")
    if options.json:
        write_json(options.json, rows)


def _rows(encoder: WaveformEncoder, rounds: int) -> list[Row]:
    """Ours beside each of the peers, all of them taking turns."""
    rate_hz = encoder.spec.sample_rate_hz
    assert rate_hz is not None
    song = 0.1 * torch.randn(1, N_WINDOWS * WINDOW_S * rate_hz, generator=torch.Generator().manual_seed(0))
    windows = song.view(N_WINDOWS, -1)
    cut = encoder.cut("all")
    peers = {
        "one pass, eager": _one_pass(encoder, song, "eager"),
        "one pass, sdpa": _one_pass(encoder, song, "sdpa"),
        "the same windows, sdpa": _plain_windows(encoder, windows, cut),
    }
    times = median_times({"ours": _ours(encoder, windows, cut), **peers, "gemm": gemm_job()}, rounds)
    share = _count_flop(encoder, windows, cut) / times["ours"] / (GEMM_FLOP / times["gemm"])
    title = f"{N_WINDOWS} x {WINDOW_S} s against"
    return [Row(f"{title} {name}", times["ours"], times[name], times[name] / times["ours"], share) for name in peers]


def _ours(encoder: WaveformEncoder, windows: Tensor, cut: Cut) -> Job:
    """What extraction runs; memory is kept as there, but for each call anew."""

    def job() -> object:
        with memory_kept():
            return encoder.activations(windows.numpy(), cut)

    return job


def _one_pass(encoder: WaveformEncoder, song: Tensor, attention: str) -> Job:
    """Transformers' own forward over the whole song, then the mean over frames."""

    @torch.inference_mode()
    def job() -> Tensor:
        encoder.model.set_attn_implementation(attention)
        embedding: Tensor = encoder.model(encoder.preprocess(song)).last_hidden_state.mean(1)
        encoder.model.set_attn_implementation("sdpa")
        return embedding

    return job


def _plain_windows(encoder: WaveformEncoder, windows: Tensor, cut: Cut) -> Job:
    """The stages as transformers' modules are, all windows in one batch."""

    @torch.inference_mode()
    def job() -> Tensor:
        return run_stages(encoder.heard()[: cut.index], encoder.preprocess(windows))

    return job


def _count_flop(encoder: WaveformEncoder, windows: Tensor, cut: Cut) -> int:
    """Operations of products and convolutions as the network is written; what a transform saves counts as done."""

    def plain(module: nn.Module) -> nn.Module | None:  # the counter does not see through weight norm
        return faster(module) if parametrize.is_parametrized(module) else None

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run_stages(rebuilt(encoder.heard()[: cut.index], plain), windows[:1])
    return int(counter.get_total_flops()) * N_WINDOWS


if __name__ == "__main__":
    main()
