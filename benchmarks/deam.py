"""How fast is a copy of DEAM checked: its labels against `pandas.read_csv`, its audio against a loop of `librosa.load`?

Both copies are generated. The labels have DEAM's size (1802 songs, two samples a second over time); pandas reads the
four files and checks nothing. The audio is the demo corpus (45 s clips, synthetic music); librosa only decodes it, one
file after the other, and ours also looks for silence, clipping, cuts and duplicates. Run from anywhere:

    python benchmarks/deam.py --rounds 5 --json deam.json
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import librosa
import numpy as np
import pandas as pd

from affekt.data import load_dataset
from affekt.data.audit.sound import listen_to_all
from affekt.data.deam import STATIC_NAMES, load_deam
from common import Row, compare, gemm_rate, machine, parse_options, table, write_json

N_SONGS, N_FRAMES, N_CLIPS = 1802, 60, 16


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time the check of a copy of DEAM against readers that check nothing.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = [_labels(Path(folder), options.rounds), _audio(Path(folder), options.rounds)]
    print(table(rows, "affekt.data", "peer"))
    if options.json:
        write_json(options.json, rows)


def _labels(folder: Path, rounds: int) -> Row:
    files = _write_labels(folder)
    return compare(
        f"labels of {N_SONGS} songs, read and checked (peer: pandas, read alone)",
        candidate=lambda: load_deam(folder, labels="raw"),
        baseline=lambda: [pd.read_csv(file, skipinitialspace=True) for file in files],
        rounds=rounds,
    )


def _audio(folder: Path, rounds: int) -> Row:
    songs = load_dataset("demo", root=folder / "demo", n_songs=N_CLIPS, progress=False).songs
    audio = {song.id: song.audio_path for song in songs if song.audio_path}
    return compare(
        f"audio of {len(audio)} clips of 45 s, checked (peer: librosa.load, decoded alone)",
        candidate=lambda: listen_to_all(audio, quiet=True),
        baseline=lambda: [librosa.load(path, sr=None) for path in audio.values()],
        rounds=rounds,
    )


def _write_labels(folder: Path) -> list[Path]:
    """Static annotations, and those over time that they follow, in DEAM's files."""
    rng = np.random.default_rng(0)
    ids = np.concatenate([np.arange(1, 745), np.arange(1001, 2001), np.arange(2001, 2059)])[:N_SONGS]
    mean = np.clip(rng.normal(5, 1.2, (N_SONGS, 2)), 2.5, 7.5)
    static = pd.DataFrame({"song_id": ids})
    for column, target in enumerate(("valence", "arousal")):
        static[f"{target}_mean"], static[f"{target}_std"] = mean[:, column].round(2), 1.5
    first = folder / STATIC_NAMES[0], folder / STATIC_NAMES[1]
    static[static.song_id <= 2000].to_csv(first[0], index=False)
    static[static.song_id > 2000].to_csv(first[1], index=False)
    times = [f"sample_{15000 + 500 * i}ms" for i in range(N_FRAMES)]
    paths = []
    for column, target in enumerate(("valence", "arousal")):
        values = (mean[:, [column]] - 5) / 4 + rng.normal(0, 0.02, (N_SONGS, N_FRAMES))
        series = pd.DataFrame(np.clip(values, -1, 1).round(6), columns=times)
        series.insert(0, "song_id", ids)
        paths.append(folder / f"{target}.csv")
        series.to_csv(paths[-1], index=False)
    return [*first, *paths]


if __name__ == "__main__":
    main()
