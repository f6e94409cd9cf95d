"""Write embeddings.json: what the original network, run by TensorFlow itself, makes of two synthetic clips.

    python -m venv golden && golden/bin/pip install tensorflow-cpu librosa && pip download --no-deps musicnn==0.1.0
    golden/bin/python make.py musicnn-0.1.0-py3-none-any.whl

Nothing of affekt is used. The graph is the one that lies in the wheel beside the weights; librosa makes its input. A
clip's spectrogram is cut as affekt documents it: without its last frame, as few patches as cover it, evenly spread.
"""

import json
import math
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

RATE_HZ, N_FRAMES = 16_000, 187
INPUT, TRAINING = "model/Placeholder:0", "model/Placeholder_2:0"
EMBEDDING = "model/batch_normalization_10/batchnorm/add_1:0"
FOLDERS = {"musicnn": "MTT_musicnn", "musicnn-msd": "MSD_musicnn"}


def main(wheel: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        found = {name: run(Path(folder) / "musicnn" / of) for name, of in FOLDERS.items()}
    made_with = ", ".join(f"{package} {version(package)}" for package in ("tensorflow-cpu", "librosa"))
    text = json.dumps({"made_with": made_with, **found}, indent=1)
    Path(__file__).with_name("embeddings.json").write_text(text + "\n")


def clips() -> dict[str, np.ndarray]:
    """A chirp of 5 s, 100 Hz to 6 kHz, and plucked fifths of 3 s over soft noise."""
    t_s = np.arange(5 * RATE_HZ) / RATE_HZ
    chirp = 0.5 * np.sin(2 * np.pi * (100 * t_s + 590 * t_s**2))
    t_s = t_s[: 3 * RATE_HZ]
    since_s = t_s % 0.375
    root_hz = 110 * 2 ** (np.floor(t_s / 0.375) / 12)
    pluck = np.exp(-6 * since_s) * sum(np.sin(2 * np.pi * k * root_hz * since_s) / k for k in (1, 1.5, 2, 3, 4))
    noise = np.random.default_rng(0).standard_normal(len(t_s))
    return {"chirp": chirp.astype(np.float32), "plucked": (0.2 * pluck + 0.01 * noise).astype(np.float32)}


def patches(clip: np.ndarray) -> np.ndarray:
    """Shape (n_patches, 187, 96)."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=clip, sr=RATE_HZ, n_fft=512, hop_length=256, n_mels=96, center=True, pad_mode="reflect"
    )
    frames = np.log10(1 + 10_000 * power).T[: len(clip) // 256]
    n = math.ceil(len(frames) / N_FRAMES)
    firsts = [(len(frames) - N_FRAMES) * i // max(1, n - 1) for i in range(n)]
    return np.stack([frames[first : first + N_FRAMES] for first in firsts])


def run(folder: Path) -> dict[str, list[float]]:
    """Each clip's embedding, the mean over its patches."""
    import tensorflow as tf

    meta = tf.compat.v1.MetaGraphDef()
    meta.ParseFromString((folder / ".meta").read_bytes())
    # without the gradients, which today's TensorFlow no longer reads
    graph = tf.compat.v1.graph_util.extract_sub_graph(meta.graph_def, [EMBEDDING.removesuffix(":0")])
    checkpoint = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
    names = [node.name for node in graph.node if node.op == "VariableV2"]
    fed = {f"{name}/read:0": checkpoint.get_tensor(name) for name in names} | {TRAINING: False}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph, name="")
        embeddings = {name: session.run(EMBEDDING, fed | {INPUT: patches(clip)}) for name, clip in clips().items()}
    return {name: [round(float(value), 5) for value in found.mean(axis=0)] for name, found in embeddings.items()}


if __name__ == "__main__":
    main(sys.argv[1])
