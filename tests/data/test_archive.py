"""Unpacking archives: what is wanted comes out whole, and hostile ones are refused with nothing outside the folder."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from affekt.data import archive as module
from affekt.data.archive import check_room, checksum, holds, unpack
from affekt.errors import DataError, StorageError

Put = Callable[..., Path]


def csv(path: PurePosixPath) -> bool:
    return path.suffix == ".csv"


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """A function (name and content of members) -> a zip archive."""

    def write(*members: tuple[str | zipfile.ZipInfo, bytes], packed: int = zipfile.ZIP_DEFLATED) -> Path:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", packed) as opened:
            for name, content in members:
                opened.writestr(name, content)
        return tmp_path / "a.zip"

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where to unpack: deep enough that climbing out lands in the test's own folder."""
    target = tmp_path / "x/y/target"
    target.mkdir(parents=True)
    return target


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def test_wanted_files_come_out_whole(put: Put, folder: Path) -> None:
    big = bytes(range(256)) * 20_000  # more than one read
    members = unpack(put(("a b (1)/[c]/1.csv", b"1,2"), ("2.csv", big), ("3.txt", b"no"), ("d/", b"")), folder, csv)
    assert files(folder) == {"a b (1)/[c]/1.csv", "2.csv"}
    assert (folder / "2.csv").read_bytes() == big
    assert [(str(m.path), m.n_bytes) for m in members] == [("a b (1)/[c]/1.csv", 3), ("2.csv", len(big))]
    assert all(m.crc32 == checksum(folder / m.path) for m in members)


def test_nothing_wanted_is_nothing(put: Put, folder: Path) -> None:
    archive = put(("3.txt", b"no"))
    assert unpack(archive, folder, csv) == [] and not holds(archive, csv)
    assert holds(put(("x/3.csv", b"")), csv)
    assert not holds(folder.parent / "none.zip", csv)


@pytest.mark.parametrize(
    "name",
    [
        "../1.csv",
        "a/../../1.csv",
        "/etc/1.csv",
        "\\1.csv",
        "..\\..\\1.csv",
        "C:\\1.csv",
        "c:1.csv",
        "//server/share/1.csv",
        "../readme.txt",
        "../",
    ],
)
def test_paths_that_lead_out_refuse_the_whole_archive(put: Put, folder: Path, tmp_path: Path, name: str) -> None:
    archive = put(("good.csv", b"1"), (name, b"bad"))
    before = files(tmp_path)
    with pytest.raises(DataError, match=r"1 problem in .*a\.zip, which was not unpacked") as caught:
        unpack(archive, folder, csv)
    assert "leads out of the folder" in str(caught.value)
    assert files(tmp_path) == before


def test_every_member_at_fault_is_named(put: Put, folder: Path) -> None:
    with pytest.raises(DataError, match="2 problems") as caught:
        unpack(put(("../1.csv", b""), ("2\x01.csv", b"")), folder, csv)
    assert "'../1.csv'" in str(caught.value) and "control characters" in str(caught.value)


def test_backslashes_of_windows_are_levels(put: Put, folder: Path) -> None:
    unpack(put(("a\\b\\1.csv", b"1")), folder, csv)
    assert files(folder) == {"a/b/1.csv"}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(put: Put, folder: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("1.csv")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    with pytest.raises(DataError, match="a link or a device"):
        unpack(put((entry, b"/etc/passwd")), folder, csv)
    assert not files(folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("1.csv", "1.csv"), ("a/1.csv", "A/1.CSV".replace("CSV", "csv"))])
def test_duplicates(put: Put, folder: Path, names: tuple[str, str]) -> None:
    with pytest.raises(DataError, match="occurs twice"):
        unpack(put(*((name, name.encode()) for name in names)), folder, csv)


def test_a_file_that_is_a_folder_of_another(put: Put, folder: Path) -> None:
    with pytest.raises(DataError, match="lies in a file"):
        unpack(put(("1.csv", b"1"), ("1.csv/2.csv", b"2")), folder, csv)


def test_encrypted(put: Put, folder: Path) -> None:
    archive = put(("1.csv", b"12345678"))
    whole = bytearray(archive.read_bytes())
    whole[6] |= 1  # the flag of the local entry, and that of the list at the end
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(whole)
    with pytest.raises(DataError, match=r"'1\.csv': encrypted"):
        unpack(archive, folder, csv)


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.97])
def test_a_truncated_archive(put: Put, folder: Path, at: float) -> None:
    archive = put(*((f"{i}.csv", bytes(range(i, i + 100)) * 50) for i in range(20)))
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * at)])
    with pytest.raises(DataError, match=r"a\.zip: no zip archive, or damaged .*Get it again"):
        unpack(archive, folder, csv)


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_flipped_bytes_anywhere_are_never_taken(put: Put, folder: Path, tmp_path: Path, packed: int) -> None:
    content = {f"{i}.csv": bytes(range(i, i + 60)) for i in range(3)}
    whole = put(*content.items(), packed=packed).read_bytes()
    archive, n_refused = tmp_path / "a.zip", 0
    for at in range(len(whole)):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            members = unpack(archive, folder, csv)
        except (DataError, StorageError):
            n_refused += 1
        else:
            # What came out is as it was packed, under its own or, where the name was hit, another name.
            assert all((folder / m.path).read_bytes() in content.values() for m in members), at
        assert files(tmp_path) - {"a.zip"} <= {f"x/y/target/{name}" for name in files(folder)}, at
        shutil.rmtree(folder)
        folder.mkdir()
    assert n_refused > len(whole) / 2


def test_a_bomb_is_refused_by_what_it_declares(put: Put, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HARMLESS_BYTES", 1000)
    with pytest.raises(DataError, match=r"unpacks to 2 MB, \d{3} times its size; allowed: .* and 100 times"):
        unpack(put(("1.csv", bytes(2_000_000))), folder, csv)
    monkeypatch.setattr(module, "MAX_BYTES", 50)
    with pytest.raises(DataError, match="unpacks to"):
        unpack(put(("1.csv", bytes(range(256)) * 8)), folder, csv)
    assert not files(folder)


def test_a_bomb_that_declares_little_writes_no_more(put: Put, folder: Path) -> None:
    archive = put(("1.csv", bytes(5_000_000)))
    whole = bytearray(archive.read_bytes())
    entry = whole.index(b"PK\x01\x02")
    whole[entry + 24 : entry + 28] = struct.pack("<I", 10)  # the size in the list at the end
    archive.write_bytes(whole)
    with pytest.raises(DataError):
        unpack(archive, folder, csv)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 10


def test_a_file_shorter_than_declared(put: Put, folder: Path) -> None:
    archive = put(("1.csv", b"12345678"))
    whole = bytearray(archive.read_bytes())
    entry = whole.index(b"PK\x01\x02")
    whole[entry + 24 : entry + 28] = struct.pack("<I", 5_000)
    archive.write_bytes(whole)
    with pytest.raises(DataError, match="8 bytes, its entry promises 5000"):
        unpack(archive, folder, csv)


def test_too_many_members(put: Put, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 3)
    with pytest.raises(DataError, match="4 members; allowed: 3"):
        unpack(put(*((f"{i}.txt", b"") for i in range(4))), folder, csv)


def test_an_unknown_way_of_packing(put: Put, folder: Path) -> None:
    archive = put(("1.csv", b"12345678"))
    whole = bytearray(archive.read_bytes())
    whole[8] = whole[whole.index(b"PK\x01\x02") + 10] = 97
    archive.write_bytes(whole)
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, folder, csv)


def test_room_on_the_disk(put: Put, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=7))
    with pytest.raises(StorageError, match=r"a\.zip: to unpack it needs .* MB, and the disk has"):
        unpack(put(("1.csv", b"12345678")), folder, csv)
    assert not files(folder)
    check_room("this", folder, 7)
