"""What does extraction cost beside the encoder itself, and against a loop that pickles one song after the other?

End to end, songs are decoded ahead, run through the encoder and stored; encode-only runs the same clips, which lie in
memory, in the same batches; the peer is the founding notebooks' loop: librosa.load, the same clips and encoder, one
pickle a song. Random weights, which cost the same. Songs are made here, 45 s of stereo MP3, or taken from a folder:

    python benchmarks/extraction.py --rounds 5 --json extraction.json
    python benchmarks/extraction.py --songs ~/Music --n 20 --encoder wav2vec2-base
"""

from __future__ import annotations

import pickle
import resource
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile

from affekt.audio.clips import ClipPlan
from affekt.audio.decode import decode
from affekt.audio.silence import native_stderr_silenced
from affekt.data.base import Song
from affekt.encoders import Encoder, build_encoder
from affekt.features.extract import extract
from affekt.features.store import Store
from common import Job, Row, gemm_rate, machine, median_times, parse_options, table, write_json

PLAN = ClipPlan(6, 5.0)
RATE_HZ, DURATION_S = 44_100, 45
WORKERS = (0, 1, 2)
OPTIONS: dict[str, dict[str, Any]] = {
    "--songs": {"type": Path, "help": "folder of songs; they are made here by default"},
    "--n": {"type": int, "default": 4, "help": "songs of one turn"},
    "--encoder": {"default": "mambavision-s", "help": "with random weights"},
}
SUFFIXES = (".mp3", ".flac", ".wav", ".ogg")


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time extraction end to end.", rounds=5, more=OPTIONS)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        songs = _given(options.songs, options.n) if options.songs else _made(folder, options.n)
        rows = _rows(build_encoder(options.encoder, "random"), songs, folder, options.rounds)
    print(table(rows, "end to end", "peer"))
    print(f"\nEnd to end reaches {rows[0].ratio:.1%} of the throughput of encoding alone. {_memory()}")
    if options.json:
        write_json(options.json, rows)


def _rows(encoder: Encoder, songs: Sequence[Song], folder: Path, rounds: int) -> list[Row]:
    """End to end, with threads and with workers, beside encoding alone and the loop that pickles."""
    title = f"{encoder.spec.name}, {len(songs)} songs of up to {PLAN.count} clips"
    with native_stderr_silenced(), encoder.on_fastest_device():
        ours = {f"{n} workers": _end_to_end(encoder, songs, folder / "store", n) for n in WORKERS}
        peers = {"encoding alone": _encoding(encoder, songs), "a pickle a song": _pickling(encoder, songs, folder)}
        times = median_times({**ours, **peers}, rounds)
    return [
        Row(f"{title}, {who}: against {peer}", times[who], times[peer], times[peer] / times[who])
        for peer in peers
        for who in ours
    ]


def _end_to_end(encoder: Encoder, songs: Sequence[Song], root: Path, workers: int) -> Job:
    def job() -> None:
        shutil.rmtree(root, ignore_errors=True)
        found = extract(encoder, encoder.cut("all"), songs, PLAN, Store(root), workers=workers)
        assert not found.skipped, found.skipped

    return job


def _encoding(encoder: Encoder, songs: Sequence[Song]) -> Job:
    rate_hz, cut = encoder.spec.sample_rate_hz, encoder.cut("all")
    assert rate_hz is not None
    clips = [PLAN.cut(decode(song.audio_path, rate_hz), rate_hz) for song in songs if song.audio_path]

    def job() -> None:
        for each in clips:
            encoder.activations(each, cut)

    return job


def _pickling(encoder: Encoder, songs: Sequence[Song], folder: Path) -> Job:
    rate_hz, cut = encoder.spec.sample_rate_hz, encoder.cut("all")
    assert rate_hz is not None

    def job() -> None:
        for song in songs:
            samples, _ = librosa.load(song.audio_path, sr=rate_hz)
            with (folder / f"{song.id}.pickle").open("wb") as file:
                pickle.dump(encoder.activations(PLAN.cut(samples, rate_hz), cut), file)

    return job


def _given(folder: Path, n_songs: int) -> list[Song]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [Song(str(number), path, (5.0, 5.0)) for number, path in enumerate(paths[:n_songs])]


def _made(folder: Path, n_songs: int) -> list[Song]:
    """Tones with noise, another for each song."""
    rng = np.random.default_rng(0)
    time_s = np.arange(DURATION_S * RATE_HZ) / RATE_HZ
    for number in range(n_songs):
        tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in rng.uniform(100, 5000, size=6))
        stereo = 0.1 * tones[:, None] + rng.normal(scale=0.02, size=(len(time_s), 2))
        soundfile.write(folder / f"{number}.mp3", stereo, RATE_HZ)
    return _given(folder, n_songs)


def _memory() -> str:
    """The highest memory of this process, and of the largest worker."""
    own, worker = (
        resource.getrusage(who).ru_maxrss / 1024**2 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return f"Peak memory {own:.2f} GiB, of a worker {worker:.2f} GiB."


if __name__ == "__main__":
    main()
