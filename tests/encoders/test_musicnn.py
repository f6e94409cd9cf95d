"""musicnn: the reader of checkpoints, the way of its weights, and its numbers against TensorFlow's and numpy's."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import struct
import sys
import tempfile
import threading
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from affekt.encoders import build_encoder
from affekt.encoders.musicnn import MusicnnEncoder, build, checkpoint, musicnn, read_checkpoint, weights
from affekt.encoders.musicnn.encoder import patches
from affekt.encoders.musicnn.model import RowNorm
from affekt.encoders.staged import state_digest
from affekt.errors import StorageError, WeightsError

GOLDEN = Path(__file__).parents[1] / "golden" / "musicnn"

# ---- a writer of checkpoints, by the same documents as the reader ----------------------------------------------------


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A protobuf message; numbers as varints."""
    parts = []
    for number, value in fields:
        kind, content = (0, varint(value)) if isinstance(value, int) else (2, varint(len(value)) + value)
        parts.append(varint(number << 3 | kind) + content)
    return b"".join(parts)


def crc32c(data: bytes) -> int:
    """Bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def block(entries: list[tuple[bytes, bytes]], restart_every: int = 16, compression: int = 0) -> bytes:
    """A block with its trailer; a name that is no restart stores only what differs from the one before."""
    body, restarts, before = b"", [], b""
    for number, (name, value) in enumerate(entries):
        n_shared = 0
        if number % restart_every == 0:
            restarts.append(len(body))
        else:
            n_shared = len([*takewhile(lambda pair: pair[0] == pair[1], zip(before, name, strict=False))])
        new = name[n_shared:]
        body += varint(n_shared) + varint(len(new)) + varint(len(value)) + new + value
        before = name
    body += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    return body + bytes([compression]) + masked(body + bytes([compression]))


def table(entries: dict[bytes, bytes], per_block: int = 20, **how: int) -> bytes:
    """An index file."""
    ordered = sorted(entries.items())
    written, handles = b"", []

    def add(content: bytes) -> bytes:
        nonlocal written
        handle = varint(len(written)) + varint(len(content) - 5)
        written += content
        return handle

    for first in range(0, len(ordered), per_block):
        part = ordered[first : first + per_block]
        handles.append((part[-1][0], add(block(part, **how))))
    meta, index = add(block([])), add(block(handles, restart_every=1))
    return written + (meta + index).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = {b"": message((1, 1), (3, message((1, 1))))}


def described(array: np.ndarray, offset: int, *more: tuple[int, int | bytes], checksum: bytes | None = None) -> bytes:
    """What an index says of an array that begins at `offset`."""
    shape = message(*((2, message((1, size))) for size in array.shape))
    raw = array.tobytes()
    start = ((4, offset),) if offset else ()  # protobuf leaves zeros out
    fields = message((1, 1), (2, shape), *start, (5, len(raw)), *more)
    return fields + varint(6 << 3 | 5) + (masked(raw) if checksum is None else checksum)


def written(arrays: dict[str, np.ndarray], per_block: int = 20) -> tuple[bytes, bytes]:
    """Index and data of a checkpoint."""
    entries, data = dict(HEADER), b""
    for name, array in arrays.items():
        entries[name.encode()] = described(array, len(data))
        data += array.tobytes()
    return table(entries, per_block), data


def small() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"conv/kernel": (3, 2, 1, 4), "conv/bias": (4,), "conv_1/kernel": (2, 5), "step": (), "none": (0, 3)}
    return {name: np.asarray(rng.standard_normal(shape), dtype="<f4") for name, shape in shapes.items()}


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the Castagnoli polynomial
    assert struct.pack("<I", checkpoint.masked_crc32c(b"123456789")) == masked(b"123456789")


@pytest.mark.parametrize("per_block", [1, 2, 20])
def test_arrays_come_back_as_they_were(per_block: int) -> None:
    arrays = small()
    found = read_checkpoint(*written(arrays, per_block), list(arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape and found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)


def test_only_what_is_asked_for_is_read() -> None:
    arrays = small()
    index, data = written(arrays)
    assert list(read_checkpoint(index, data, ["step"])) == ["step"]
    assert read_checkpoint(index, b"", []) == {}


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=40), st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=60),
    st.integers(1, 25),
)
def test_any_names_and_shapes(shapes: dict[str, list[int]], per_block: int) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: np.asarray(rng.standard_normal(shape), dtype="<f4") for name, shape in shapes.items()}
    found = read_checkpoint(*written(arrays, per_block), list(arrays))
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_as_it_was(data: st.DataObject) -> None:
    """Whatever bytes change, get lost or come along: never other numbers, never another kind of error."""
    arrays = small()
    index, content = written(arrays, per_block=2)
    which = data.draw(st.sampled_from(["index", "content"]))
    changed = bytearray(index if which == "index" else content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        how = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if how == "flip":
            changed[at] ^= data.draw(st.integers(1, 255))
        elif how == "cut" and at:
            del changed[at:]
        else:
            changed[at:at] = data.draw(st.binary(max_size=9))
    pair = (bytes(changed), content) if which == "index" else (index, bytes(changed))
    try:
        found = read_checkpoint(*pair, list(arrays))
    except WeightsError as error:
        assert str(error).startswith("not a usable TensorFlow checkpoint: ")
    else:
        assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2**64 - 1) | st.binary(max_size=12)), max_size=8))
def test_a_description_of_anything_is_refused(fields: list[tuple[int, int | bytes]]) -> None:
    """With right checksums: made by somebody, not damaged by chance."""
    index = table(HEADER | {b"a": message(*fields)})
    with pytest.raises(WeightsError, match="not a usable TensorFlow checkpoint"):
        read_checkpoint(index, bytes(64), ["a"])


ONE = np.ones((2, 3), "<f4")


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (b"", "does not end as a table does"),
        (b"PK\x03\x04" * 40, "does not end as a table does"),
        (table(HEADER | {b"b": described(ONE, 0)}), "1 variables are missing: a"),
        (table(HEADER | {b"a": described(ONE, 0)}, compression=1), "compressed; only uncompressed"),
        (table(HEADER | {b"a": described(ONE, 0).replace(b"\x08\x01", b"\x08\x03", 1)}), "a has type 3; only 32-bit"),
        (table(HEADER | {b"a": described(ONE, 0, (3, 1))}), "spread over several places"),
        (table(HEADER | {b"a": described(ONE, 0, (7, b""))}), "spread over several places"),
        (table(HEADER | {b"a": described(ONE, 4)}), r"a should be \(2, 3\), but the file has 20 bytes"),
        (table(HEADER | {b"a": described(ONE, 0, checksum=bytes(4))}), r"a is damaged \(checksum\)"),
        (table({b"": message((1, 2)), b"a": described(ONE, 0)}), "must lie in one file, little-endian"),
        (table({b"": message((1, 1), (2, 1)), b"a": described(ONE, 0)}), "must lie in one file, little-endian"),
        (table({b"a": described(ONE, 0)}), "must lie in one file, little-endian"),
    ],
)
def test_what_is_wrong_is_said(index: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_checkpoint(index, ONE.tobytes(), ["a"])


# ---- a wheel as it is published, with other numbers ------------------------------------------------------------------

#: Convolutions of the published checkpoints, in the order they are numbered in: (frames, bands, in, out).
KERNELS = [(7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)]
KERNELS += [(7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)]
NORMS = [1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200]


def published_arrays(seed: int) -> dict[str, np.ndarray]:
    """Random numbers under the names and in the shapes of a published checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {"dense/kernel": (1506, 200), "dense/bias": (200,)}
    shapes |= {"dense_1/kernel": (200, 50), "dense_1/bias": (50,), "beta1_power": (), "conv2d/bias/Adam": (204,)}
    for number, kernel in enumerate(KERNELS):
        name = f"conv2d_{number}" if number else "conv2d"
        shapes |= {f"{name}/kernel": kernel, f"{name}/bias": kernel[-1:]}
    for number, width in enumerate(NORMS):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        shapes |= {f"{name}/{part}": (width,) for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    rng = np.random.default_rng(seed)
    arrays = {name: 0.05 * rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    return {name: np.abs(array) + 0.5 if "variance" in name else array for name, array in arrays.items()}


def write_wheel(path: Path, checkpoints: dict[str, dict[str, np.ndarray]]) -> Path:
    metadata = "Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0\nRequires-Dist: tensorflow>=1.14\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("musicnn-0.1.0.dist-info/METADATA", metadata)
        archive.writestr("musicnn-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("musicnn-0.1.0.dist-info/RECORD", "")
        archive.writestr("musicnn/__init__.py", "raise SystemExit('the code in the wheel was run')\n")
        for folder, arrays in checkpoints.items():
            index, data = written(arrays)
            archive.writestr(f"musicnn/{folder}/.index", index)
            archive.writestr(f"musicnn/{folder}/.data-00000-of-00001", data)
    return path


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return published_arrays(0)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]) -> Path:
    """A wheel with the real layout, some 3 MB."""
    path = tmp_path_factory.mktemp("wheel") / "musicnn-0.1.0-py3-none-any.whl"
    with pytest.MonkeyPatch.context() as patch:  # bit by bit would take a minute; checked against it above
        patch.setitem(globals(), "masked", lambda data: struct.pack("<I", checkpoint.masked_crc32c(data)))
        return write_wheel(path, {"MTT_musicnn": arrays})


@pytest.fixture(scope="module")
def digest(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the network with the numbers in `wheel`."""
    path = tmp_path_factory.mktemp("converted") / "musicnn.safetensors"
    weights.convert(wheel, "MTT_musicnn", path)
    model = build()
    model.load_state_dict({key: torch.from_numpy(a) for key, a in safetensors.numpy.load_file(path).items()}, False)
    return state_digest(model)


@pytest.fixture
def as_published(wheel: Path, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wheel` counts as the one that is published."""
    monkeypatch.setattr(weights, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setitem(weights.PUBLISHED, "musicnn", replace(weights.PUBLISHED["musicnn"], digest=digest))


# ---- a package index on this machine ---------------------------------------------------------------------------------


@dataclass
class Index:
    """What the index offers, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def fetched(self) -> list[str]:
        return [path for path in self.requests if path.endswith(".whl")]


class Handler(BaseHTTPRequestHandler):
    def __init__(self, index: Index, *args: Any) -> None:
        self.index = index
        super().__init__(*args)

    def do_GET(self) -> None:
        self.index.requests.append(self.path)
        name = self.path.rsplit("/", 1)[-1]
        if self.path == "/simple/musicnn/":
            links = "".join(f'<a href="/files/{name}">{name}</a>' for name in self.index.files)
            self.answer(200, "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode())
        elif self.path.startswith("/files/") and name in self.index.files:
            self.answer(200, "application/octet-stream", self.index.files[name])
        else:
            self.answer(404, "text/plain", b"")

    def answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def index(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """A package index with `wheel`, the only one that pip knows of."""
    offered = Index({wheel.name: wheel.read_bytes()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, offered))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield offered
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("as_published")
def test_weights_are_fetched_and_converted_once(index: Index, affekt_home: Path) -> None:
    first = build_encoder("musicnn")
    assert len(index.fetched()) == 1
    (kept,) = (affekt_home / "weights").iterdir()
    assert kept.suffix == ".safetensors"
    written_at, n_requests = kept.stat().st_mtime_ns, len(index.requests)
    second = build_encoder("musicnn", seed=7)
    assert len(index.requests) == n_requests and kept.stat().st_mtime_ns == written_at
    assert second.settings() == first.settings() != build_encoder("musicnn", "random").settings()
    assert first.spec.licence == "ISC" and "MagnaTagATune" in first.spec.weights
    assert first.spec.weights == second.spec.weights


@pytest.mark.usefixtures("as_published")
def test_every_number_arrives_where_it_belongs(wheel: Path, arrays: dict[str, np.ndarray]) -> None:
    encoder = musicnn("musicnn", str(wheel), 0)
    assert "MagnaTagATune" in encoder.spec.weights  # told by its numbers, however it came
    clip = torch.randn(1, 1, 187, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = encoder.model(clip)
    np.testing.assert_allclose(found[0].numpy(), by_numpy(clip[0, 0].numpy(), arrays), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("digest")
def test_another_wheel_than_the_published_one_is_not_used(index: Index, affekt_home: Path) -> None:
    with pytest.raises(WeightsError, match=r"another file than the published one \(SHA-256 .*`weights: <that file>`"):
        build_encoder("musicnn")
    assert index.fetched()
    assert not (affekt_home / "weights").exists()


@pytest.mark.usefixtures("as_published")
def test_a_wheel_damaged_on_the_way(index: Index, wheel: Path, affekt_home: Path) -> None:
    content = bytearray(index.files[wheel.name])
    content[len(content) // 2] ^= 1
    index.files[wheel.name] = bytes(content)
    with pytest.raises(WeightsError, match="run again"):
        build_encoder("musicnn")
    assert not (affekt_home / "weights").exists()


@pytest.mark.usefixtures("as_published")
def test_an_index_without_it(index: Index, affekt_home: Path) -> None:
    index.files.clear()
    with pytest.raises(WeightsError, match="No matching distribution"):
        build_encoder("musicnn")
    assert not (affekt_home / "weights").exists()


@pytest.mark.usefixtures("index")
def test_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody answers on the discard port
    with pytest.raises(WeightsError, match=r"cannot be fetched .* `weights: <that file>`, or use `weights: random`"):
        build_encoder("musicnn")


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(WeightsError, match=r"No module named pip.*pip download --no-deps musicnn==0.1.0"):
        build_encoder("musicnn")


@pytest.mark.usefixtures("as_published", "index")
def test_damaged_weights_in_the_cache(affekt_home: Path) -> None:
    build_encoder("musicnn")
    (kept,) = (affekt_home / "weights").iterdir()
    content = kept.read_bytes()
    for damaged in (b"", content[: len(content) // 2], content[:-4] + struct.pack("<f", 0.25)):
        kept.write_bytes(damaged)
        with pytest.raises(WeightsError, match=rf"{kept.name}: damaged.*Delete the file and run again"):
            build_encoder("musicnn")
    kept.unlink()
    build_encoder("musicnn")
    assert kept.read_bytes() == content


@pytest.mark.usefixtures("as_published", "index")
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AFFEKT_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot write"):
        build_encoder("musicnn")


def test_the_random_twin_needs_no_download(index: Index) -> None:
    encoder = build_encoder("musicnn", "random", seed=3)
    assert encoder.spec.weights == "random weights (seed 3)" and encoder.spec.licence == "none"
    assert index.requests == []


@pytest.mark.usefixtures("as_published", "index")
def test_no_room_for_temporary_files(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, affekt_home: Path
) -> None:
    """The message names the folder that is full, and not the cache."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    for source in ("pretrained", str(wheel)):
        with pytest.raises(StorageError, match=r"No temporary folder can be made .*gone.* set TMPDIR") as caught:
            build_encoder("musicnn", source)
        assert str(affekt_home) not in str(caught.value)


def test_a_disk_that_fills_while_pip_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'ERROR: [Errno 28] No space left on device' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(StorageError, match=rf"{tmp_path}: the wheel .* cannot be written \(No space left on device\)"):
        weights.fetch_wheel(tmp_path)


def test_pip_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(WeightsError, match=r"pip cannot be started: .*gone"):
        weights.fetch_wheel(tmp_path)


# ---- files that the user names ---------------------------------------------------------------------------------------


def test_weights_from_files(wheel: Path, tmp_path: Path, affekt_home: Path) -> None:
    """A wheel, and what it was converted to, are the same weights; not the published ones, they are named as given."""
    weights.convert(wheel, "MTT_musicnn", tmp_path / "mine.safetensors")
    one, other = build_encoder("musicnn", str(wheel)), build_encoder("musicnn", str(tmp_path / "mine.safetensors"))
    assert one.settings() == other.settings()
    assert (one.spec.weights, one.spec.licence) == (f"file {wheel.name}", "as given")
    assert (other.spec.weights, other.spec.licence) == ("file mine.safetensors", "as given")
    assert list(affekt_home.iterdir()) == []


@pytest.mark.parametrize("name", ["missing.whl", "missing.safetensors"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=rf"There is no file .*{name}"):
        build_encoder("musicnn", str(tmp_path / name))


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "musicnn.pth").write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsError, match=r"Allowed are the wheel of musicnn==0.1.0 \(.whl\) and .safetensors"):
        build_encoder("musicnn", str(tmp_path / "musicnn.pth"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_wheel(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.whl").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a.whl: not a whole wheel of musicnn==0.1.0 \("):
        build_encoder("musicnn", str(tmp_path / "a.whl"))


def test_a_wheel_cut_short(wheel: Path, tmp_path: Path) -> None:
    content = wheel.read_bytes()
    (tmp_path / "a.whl").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="not a whole wheel"):
        build_encoder("musicnn", str(tmp_path / "a.whl"))


@pytest.mark.parametrize("shape", [(7, 64, 1, 32), (7, 64, 2, 64)])
def test_a_checkpoint_of_another_architecture(
    arrays: dict[str, np.ndarray], tmp_path: Path, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "masked", lambda data: struct.pack("<I", checkpoint.masked_crc32c(data)))
    other = arrays | {"conv2d_7/kernel": np.zeros(shape, "<f4")}
    path = write_wheel(tmp_path / "a.whl", {"MTT_musicnn": other})
    with pytest.raises(WeightsError, match=r"mid\.2\.conv\.weight: shape|not a whole wheel"):
        build_encoder("musicnn", str(path))
    with pytest.raises(WeightsError, match="MSD_musicnn"):
        musicnn("musicnn-msd", str(path), 0)


# ---- the network against plain numpy ---------------------------------------------------------------------------------


def by_numpy(patch: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The embedding of one patch (187, 96), in the words of the checkpoint and in double precision."""

    def norm(x: np.ndarray, number: int) -> np.ndarray:  # (..., channel)
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        gamma, beta, mean, variance = (
            arrays[f"{name}/{part}"].astype(float) for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def conv(x: np.ndarray, number: int) -> np.ndarray:  # (frame, band) -> (frame, place, filter)
        name = f"conv2d_{number}" if number else "conv2d"
        kernel = arrays[f"{name}/kernel"][:, :, 0].astype(float)  # (frames, bands, filter)
        n_frames, n_bands, _ = kernel.shape
        left = (n_frames - 1) // 2
        padded = np.pad(x, ((left, n_frames - 1 - left), (0, 0)))
        windows = sliding_window_view(padded, (n_frames, n_bands))  # (frame, place, frames, bands)
        out = np.tensordot(windows, kernel, axes=([2, 3], [0, 1])) + arrays[f"{name}/bias"]
        return norm(np.maximum(out, 0), number + 1)

    x = norm(patch.astype(float)[..., None], 0)[..., 0]
    front = np.concatenate([conv(x, number).max(axis=1) for number in range(5)], axis=1)  # (frame, 561)
    first = conv(front, 5)[:, 0]  # (frame, 64)
    second = conv(first, 6)[:, 0] + first
    third = conv(second, 7)[:, 0] + second
    every = np.concatenate([front, first, second, third], axis=1)  # (frame, 753)
    pooled = np.empty(1506)
    pooled[0::2], pooled[1::2] = every.max(axis=0), every.mean(axis=0)
    dense = norm(pooled, 9) @ arrays["dense/kernel"].astype(float) + arrays["dense/bias"]
    return norm(np.maximum(dense, 0), 10)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_network_is_numpys(seed: int) -> None:
    """With every number of every layer drawn at random, negative scales of norms included."""
    arrays = published_arrays(seed)
    arrays = {name: array * 5 if "gamma" in name or "beta" in name else array for name, array in arrays.items()}
    model = build()
    tensors = {key: torch.from_numpy(weights._reordered(key, arrays[v])) for key, v in weights.variables().items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    x = np.random.default_rng(seed).uniform(0, 5, (3, 187, 96)).astype(np.float32)
    expected = np.stack([by_numpy(patch, arrays) for patch in x])
    with torch.no_grad():
        found = torch.cat([model(torch.from_numpy(x[:1, None])), model(torch.from_numpy(x[None, 1:]))]).numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4 * scale)
    np.testing.assert_allclose(found[1], expected[1:].mean(axis=0), atol=1e-4 * scale)  # a clip of two patches


def test_more_patches_than_go_through_the_front_end_at_a_time() -> None:
    model = build()
    x = torch.rand(1, 5, 187, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone = torch.stack([model(patch[None, None])[0] for patch in x[0]]).mean(dim=0)
        torch.testing.assert_close(model(x)[0], alone, rtol=1e-4, atol=1e-5)


def test_a_norm_takes_a_single_row_in_training() -> None:
    norm = RowNorm(4).train()
    norm(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))
    row = torch.randn(1, 4)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    torch.testing.assert_close(norm(row), (row - mean) / torch.sqrt(variance + norm.eps))


# ---- clips to patches ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twin() -> MusicnnEncoder:
    return musicnn("musicnn", "random", 0)


@pytest.mark.parametrize(
    ("length_s", "n_patches"), [(0.01, 1), (0.5, 1), (2.9, 1), (3.0, 1), (3.1, 2), (5.0, 2), (6.0, 3), (45.0, 16)]
)
def test_as_few_patches_as_cover_the_clip(twin: MusicnnEncoder, length_s: float, n_patches: int) -> None:
    found = twin.preprocess(torch.rand(2, round(length_s * 16000)) - 0.5)
    assert found.shape == (2, n_patches, 187, 96)


@pytest.mark.parametrize("n_frames", [187, 188, 300, 374, 375, 1000])
def test_patches_begin_at_the_start_end_at_the_end_and_leave_no_gap(n_frames: int) -> None:
    numbered = torch.arange(n_frames).float().expand(1, 96, n_frames)
    firsts = patches(numbered)[0, :, 0, 0]
    assert firsts[0] == 0 and firsts[-1] == n_frames - 187
    steps = firsts.diff()
    assert (steps <= 187).all() and (steps > 0).all()
    assert not len(steps) or steps.max() - steps.min() <= 1


def test_a_short_clip_is_repeated(twin: MusicnnEncoder) -> None:
    short = torch.rand(1, 12_345) - 0.5
    torch.testing.assert_close(twin.preprocess(short), twin.preprocess(short.repeat(1, 4)[:, : 187 * 256]))


def test_a_patch_is_librosas_spectrogram(twin: MusicnnEncoder) -> None:
    librosa = pytest.importorskip("librosa")
    clip = golden_clips()["plucked"]
    power = librosa.feature.melspectrogram(
        y=clip, sr=16000, n_fft=512, hop_length=256, n_mels=96, center=True, pad_mode="reflect"
    )
    found = twin.preprocess(torch.from_numpy(clip[None]))
    np.testing.assert_allclose(found[0, 0].numpy(), np.log10(1 + 10_000 * power).T[:187], atol=1e-4)


# ---- the published weights -------------------------------------------------------------------------------------------


def golden_clips() -> dict[str, np.ndarray]:
    spec = importlib.util.spec_from_file_location("golden_musicnn", GOLDEN / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    clips: dict[str, np.ndarray] = module.clips()
    return clips


@pytest.fixture(scope="session")
def published_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real wheel from the package index, fetched once; skipped only where no index answers."""
    folder = tmp_path_factory.mktemp("published")
    try:
        return weights.fetch_wheel(folder)
    except WeightsError as error:
        if "cannot be fetched" not in str(error):
            raise
        pytest.skip(f"the package index does not serve musicnn here: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(weights.PUBLISHED))
def test_the_published_weights_give_tensorflows_numbers(name: str, published_wheel: Path) -> None:
    """Against the original graph run by TensorFlow; golden/musicnn/make.py says how."""
    golden = json.loads((GOLDEN / "embeddings.json").read_text())[name]
    encoder = musicnn(name, str(published_wheel), 0)
    assert encoder.spec.licence == "ISC"  # told by the digest: these are the published numbers
    for clip, samples in golden_clips().items():
        found = encoder.activations(samples[None], encoder.cut("all"))[0]
        np.testing.assert_allclose(found, golden[clip], atol=2e-4, err_msg=clip)


@pytest.mark.parametrize("kernel", [(7, 5), (7, 9), (8, 1), (3, 1)])
def test_best_match_is_the_maximum_of_the_block(kernel: tuple[int, int]) -> None:
    from affekt.encoders.musicnn.inference import BestMatch
    from affekt.encoders.musicnn.model import Block

    torch.manual_seed(0)
    block = Block(torch.nn.Conv2d(1, 12, kernel)).eval()
    torch.nn.init.normal_(block.norm.weight)  # of both signs
    torch.nn.init.normal_(block.norm.bias)
    block.norm.running_mean.normal_()
    x = torch.randn(3, 1, 20, 9)
    with torch.inference_mode():
        torch.testing.assert_close(BestMatch(block)(x), block(x).amax(dim=3, keepdim=True))
