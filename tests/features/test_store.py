"""The store: what is in it is whole, found by its key, and readable without running anything."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file, save

from affekt.digest import digest
from affekt.errors import StorageError
from affekt.features.store import SMALL_BYTES, Store

KEY = digest("a song")
ABOUT = {"encoder": "wav2vec2-nano", "song": "song00", "cut": "layer4", "seconds": "0.1"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(store: Store) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def run(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.float16, np.float32]),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
        elements=st.floats(-100, 100, width=16),
    )
)
def test_roundtrip(tmp_path_factory: pytest.TempPathFactory, value: np.ndarray) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    store.put(KEY, value, ABOUT)
    found = store.get(KEY)
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found, value)


def test_a_value_that_is_a_view_is_stored_as_it_looks(store: Store) -> None:
    value = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    store.put(KEY, value, ABOUT)
    np.testing.assert_array_equal(store.get(KEY), value)


@pytest.mark.parametrize(("n", "mapped"), [(3, False), (SMALL_BYTES // 2, False), (SMALL_BYTES // 2 + 1, True)])
def test_what_is_read_cannot_be_changed_and_is_mapped_where_large(store: Store, n: int, mapped: bool) -> None:
    store.put(KEY, np.ones(n, np.float16), ABOUT)
    found = store.get(KEY)
    assert isinstance(found, np.memmap) == mapped
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 2


def test_presence_means_done(store: Store) -> None:
    assert KEY not in store
    store.put(KEY, np.zeros(1, np.float16), ABOUT)
    assert KEY in store
    assert store.about(KEY) == ABOUT
    assert [entry.key for entry in store.entries()] == [KEY]
    assert files(store) == [store.path(KEY)]


def test_a_second_value_takes_the_place_of_the_first(store: Store) -> None:
    store.put(KEY, np.zeros(3, np.float32), ABOUT)
    held = store.get(KEY)
    store.put(KEY, np.ones(2, np.float32), {**ABOUT, "cut": "all"})
    np.testing.assert_array_equal(store.get(KEY), [1, 1])
    np.testing.assert_array_equal(held, [0, 0, 0])  # whoever has the old one open keeps it


def test_any_reader_of_safetensors_reads_it(store: Store) -> None:
    value = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float16)
    store.put(KEY, value, ABOUT)
    (found,) = load_file(store.path(KEY)).values()
    np.testing.assert_array_equal(found, value)


PAUSE_HALFWAY = """
import sys, time
from pathlib import Path
import numpy as np
from affekt.features.store import Store

def half(path, content):
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        print("half", flush=True)
        time.sleep(60)

Path.write_bytes = half
Store(Path(sys.argv[1])).put(sys.argv[2], np.ones(100_000, np.float32), {"encoder": "x"})
"""


def test_a_writer_killed_halfway_leaves_nothing_to_see(store: Store) -> None:
    command = [sys.executable, "-c", PAUSE_HALFWAY, str(store.root), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    (left,) = files(store)
    assert left.stat().st_size > 100_000
    assert KEY not in store
    assert list(store.entries()) == []
    assert store.summary() == []
    store.put(KEY, np.ones(3, np.float16), ABOUT)  # the next writer is not disturbed
    np.testing.assert_array_equal(store.get(KEY), [1, 1, 1])
    store.clear()
    assert files(store) == [], "what the crash left goes with the rest"


SHARE = """
import sys
from pathlib import Path
import numpy as np
from affekt.digest import digest
from affekt.features.store import Store

store = Store(Path(sys.argv[1]))
for turn in range(3):
    for number in range(40):
        key = digest(number)
        if key in store:
            found = store.get(key)
            assert found.shape == (50, 40) and (found == number).all(), found
        store.put(key, np.full((50, 40), number, np.float32), {"encoder": "shared", "writer": sys.argv[2]})
"""


def test_two_processes_share_a_store(store: Store) -> None:
    command = [sys.executable, "-c", SHARE, str(store.root)]
    writers = [subprocess.Popen([*command, str(i)], stderr=subprocess.PIPE, text=True) for i in range(2)]
    for writer in writers:
        _, complaints = writer.communicate(timeout=60)
        assert writer.returncode == 0, complaints
    assert len(list(store.entries())) == len(files(store)) == 40
    for number in range(40):
        assert (store.get(digest(number)) == number).all()


FILL = """
import resource, sys
from pathlib import Path
import numpy as np
from affekt.errors import StorageError
from affekt.features.store import Store

if limit := int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store = Store(Path(sys.argv[1]))
store.put("00" + sys.argv[2], np.zeros(1000, np.float16), {"encoder": "x"})
try:
    store.put(sys.argv[2], np.zeros(1_000_000, np.float16), {"encoder": "x"})
except StorageError as error:
    print(error)
print(*(entry.key for entry in store.entries()), sep="\\n")
print(*(path for path in store.root.rglob("*") if path.is_file()), sep="\\n")
"""


def expect_one_whole_value(found: subprocess.CompletedProcess[str], root: Path) -> None:
    assert found.returncode == 0, found.stderr
    error, key, path = found.stdout.splitlines()  # one entry and no other file
    assert "cannot write" in error
    assert "Free some space" in error
    assert key == f"00{KEY}"
    assert path == str(Store(root).path(key))


def test_a_limit_on_file_size(store: Store) -> None:
    expect_one_whole_value(run(FILL, store.root, KEY, 100_000), store.root)


def test_a_disk_that_is_full(store: Store) -> None:
    """A tiny disk in memory, mounted where only the child process sees it."""
    store.root.mkdir()
    mount = f'mount -t tmpfs -o size=512k tmpfs "{store.root}"'
    if not shutil.which("unshare") or run("", before=("unshare", "--mount", "sh", "-c", mount)).returncode:
        pytest.skip("mounting needs root")
    within = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    expect_one_whole_value(run(FILL, store.root, KEY, 0, before=within), store.root)


def test_a_store_where_a_file_lies(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot write"):
        Store(tmp_path / "store").put(KEY, np.zeros(1, np.float16), ABOUT)


def test_an_absent_key_says_what_to_do(store: Store) -> None:
    with pytest.raises(StorageError, match=r"missing or damaged .* run again"):
        store.get(KEY)
    assert store.about(KEY) == {}


WHOLE = save({"activations": np.ones((4, 5), np.float16)}, metadata=ABOUT)
HEADERS = [
    b"[]",
    b"null",
    b"{}",
    b'{"activations": 3}',
    b'{"activations": {"dtype": "F16", "shape": 4}}',
    b'{"activations": {"dtype": "F16", "shape": ["a"]}}',
    b'{"activations": {"dtype": "F64", "shape": [1]}}',
    b'{"activations": {"dtype": "F16", "shape": [-1, -1]}}ab',
    b'{"activations": {"dtype": "F16"}}',
    b'{"__metadata__": 3, "activations": {"dtype": "F16", "shape": [9]}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:8],
        WHOLE + b"\0",
        b"\0" * len(WHOLE),
        b"\xff" * len(WHOLE),
        pickle.dumps(np.ones(3)),
        *(len(header).to_bytes(8, "little") + header for header in HEADERS),
    ],
)
def test_a_damaged_file_is_one_clear_error(store: Store, content: bytes) -> None:
    store.put(KEY, np.ones((4, 5), np.float16), ABOUT)
    store.path(KEY).write_bytes(content)
    with pytest.raises(StorageError, match=r"missing or damaged .*Delete the file and run again"):
        store.get(KEY)
    (entry,) = store.entries()  # listing goes on
    assert entry.n_bytes == len(content)
    assert store.clear() == 1


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_byte_gone_wrong_is_data_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, where: int, byte: int
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    path = store.path(KEY)
    path.parent.mkdir()
    path.write_bytes(WHOLE[:where] + bytes([byte]) + WHOLE[where + 1 :])
    try:
        assert isinstance(store.get(KEY), np.ndarray)
    except StorageError as error:
        assert str(path) in str(error)
    assert isinstance(store.summary(), list)


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.target),)

    def __init__(self, target: Path) -> None:
        self.target = str(target)


def test_nothing_is_unpickled(store: Store, tmp_path: Path) -> None:
    store.path(KEY).parent.mkdir(parents=True)
    store.path(KEY).write_bytes(pickle.dumps(Bomb(tmp_path / "gone off")))
    with pytest.raises(StorageError):
        store.get(KEY)
    assert next(iter(store.entries())).about == {}
    assert not (tmp_path / "gone off").exists()


def fill(store: Store) -> None:
    for number in range(5):
        encoder = "small" if number < 3 else "large"
        value = np.zeros((1, 200_000 if encoder == "large" else 100), np.float32)
        store.put(digest(number), value, {**ABOUT, "encoder": encoder, "song": str(number)})


def test_summary_counts_songs_and_megabytes(store: Store) -> None:
    assert store.summary() == []
    fill(store)
    store.put(KEY, np.zeros(1, np.float16), ABOUT)
    store.path(KEY).write_bytes(b"damaged")
    assert store.summary() == [
        {"encoder": "large", "cut": "layer4", "songs": 2, "size_mb": 1.6},
        {"encoder": "small", "cut": "layer4", "songs": 3, "size_mb": 0.0},
        {"encoder": "damaged", "cut": "", "songs": 1, "size_mb": 0.0},
    ]


def test_clear_takes_one_encoder_or_all(store: Store) -> None:
    fill(store)
    assert store.clear("tiny") == 0
    assert store.clear("small") == 3
    assert [row["encoder"] for row in store.summary()] == ["large"]
    assert store.clear() == 2
    assert list(store.root.iterdir()) == []
    assert store.clear() == 0


def test_clear_leaves_what_is_not_the_stores(store: Store) -> None:
    fill(store)
    kept = [store.root / "ab" / "notes.txt", store.root / "me" / "diary.txt", store.root / "me" / "own.safetensors"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    store.clear()
    assert sorted(files(store)) == sorted(kept)
