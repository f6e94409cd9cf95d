"""How fast are songs scored, beside a public predictor of valence and energy?

Ours is `affekt predict`: a whole process, from the command to the table. The peer is the command of VibeNet 0.1.0
(EfficientNet in ONNX Runtime), in an environment and a process of its own: it is under the GPL and never a dependency.
Both start anew in every turn, load what they need and score the same files. Run from anywhere:

    python benchmarks/prediction.py --model models/emotify --songs ~/emotify/audio --peer ~/vibenet/bin/vibenet

Without `--model`, a model of untrained mambavision-nano and generated songs stand in: a time, and no peer.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import affekt
from affekt.config import parse_experiment
from affekt.features.store import Store
from affekt.model.batch import find_files
from affekt.model.train import train_model
from common import Job, Row, gemm_job, gemm_rate, machine, median_times, table, write_json


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = _options()
    rate = gemm_rate(options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        model, songs = (options.model, options.songs) if options.model else _stand_ins(Path(folder))
        files = find_files([songs])[: options.n_songs]
        jobs: dict[str, Job] = {"affekt": _command(sys.executable, "-m", "affekt", "predict", model, *files)}
        if options.peer:
            jobs["VibeNet"] = _command(options.peer, "--format", "csv", *files)
        times = median_times({**jobs, "gemm": gemm_job()}, options.rounds)
    print(f"{machine()}, matrix product {rate / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    ours = times["affekt"]
    rows = [Row(f"{len(files)} songs, against {name}", ours, times[name], times[name] / ours) for name in jobs]
    print(table(rows, "affekt", "peer"))
    print("\n" + ", ".join(f"{name} {len(files) / times[name]:.2f} songs a second" for name in jobs))
    if options.json:
        write_json(options.json, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time scoring songs against a public predictor.")
    parser.add_argument("--model", type=Path, help="folder of a model; needs --songs")
    parser.add_argument("--songs", type=Path, help="folder of songs")
    parser.add_argument("--peer", type=Path, help="the command vibenet of an environment that holds it")
    parser.add_argument("--n-songs", type=int, default=40, help="how many of them")
    parser.add_argument("--rounds", type=int, default=5, help="turns to take the median over")
    parser.add_argument("--json", type=Path, help="where to keep the numbers")
    return parser.parse_args()


def _command(*words: object) -> Job:
    """A process; it fails the benchmark if it fails."""
    run = functools.partial(subprocess.run, [str(word) for word in words], check=True, capture_output=True)
    return lambda: run()


def _stand_ins(folder: Path) -> tuple[Path, Path]:
    """A model and songs that can be made anywhere."""
    songs = affekt.load_dataset("demo", root=folder / "demo", n_songs=40, progress=False)
    audio = songs.songs[0].audio_path
    assert audio is not None  # it was just generated
    value = {"dataset": {"name": "demo", "root": str(folder / "demo"), "n_songs": 40}, "encoders": ["mambavision-nano"]}
    experiment = parse_experiment(value)
    train_model(experiment, "mambavision-nano", folder / "model", folder / "run", Store(folder / "store"), quiet=True)
    return folder / "model", audio.parent


if __name__ == "__main__":
    main()
