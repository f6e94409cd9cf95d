"""Files are whole or not there, whatever stops the writer."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from affekt.errors import StorageError
from affekt.files import atomic, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == path.parent, "a rename between two disks is not atomic"
        assert not path.exists()
    assert path.read_text() == "half"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, SystemExit])
def test_whatever_stops_the_writer_the_old_file_stays(tmp_path: Path, stop: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(stop), atomic(path) as temporary:
        temporary.write_text("new, but")
        raise stop
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_readable_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "")
        assert os.umask(0o027) == 0o027, "the umask is left as it was"
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_json_roundtrip_without_escapes(tmp_path: Path) -> None:
    value = {"artist": "Björk", "valence": 0.1, "none": None, "list": [1, 2]}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "Björk" in text


def test_a_number_that_json_lacks_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "value.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "value.json", float("nan"))
    assert json.loads((tmp_path / "value.json").read_text()) == 1
    assert names(tmp_path) == ["value.json"]


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "file" / "below.txt", "")


def test_a_folder_where_the_file_belongs(tmp_path: Path) -> None:
    (tmp_path / "taken" / "by").mkdir(parents=True)
    with pytest.raises(StorageError, match="taken"):
        write_text(tmp_path / "taken", "text")
    assert names(tmp_path) == ["taken"]


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match="Free some space"):
            write_text(tmp_path / "file.txt", "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["file.txt"]
