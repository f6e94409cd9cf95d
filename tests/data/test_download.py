"""Getting DEAM with the real client, from a server on this machine that answers as Kaggle and its file store do."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import shutil
import socket
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt.cli import app
from affekt.data import load_dataset
from affekt.data.archive import checksum
from affekt.data.deam import load_deam
from affekt.data.download import RECORD_NAME, command_for, get_deam, read_record
from affekt.data.find import UNFINISHED
from affekt.errors import ConfigError, DataError, MissingExtraError, StorageError

MEBIBYTE = 1024**2
AUDIO = "DEAM_audio/MEMD_audio"
ID = "imsparsh/deam-mediaeval-dataset-emotional-analysis-in-music"
DOWNLOAD = "/v1/datasets.DatasetApiService/DownloadDataset"


@dataclass
class Kaggle:
    """What is served, and what to do wrong.

    Attributes:
        archive: the package.
        refuses: status that a request for a download is answered with, None for a download.
        stops_after: bytes after which a transfer breaks off, None for never.
        md5: checksum that is named; by default the right one. None names none.
        resumable: whether a part can be asked for.
        requests: what came in: path, body or range, Authorization.
    """

    archive: bytes
    refuses: int | None = None
    stops_after: int | None = None
    md5: bytes | None = b""
    resumable: bool = True
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    @property
    def ranges(self) -> list[str]:
        """What was asked of the file store, one for each request; "" for everything."""
        return [what for path, what, _ in self.requests if path == "/store/archive.zip"]

    def serve(self) -> ThreadingHTTPServer:
        """Start to answer, on a free port of this machine."""
        kaggle = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                kaggle.requests.append((self.path, body, self.headers.get("Authorization")))
                if self.path != DOWNLOAD:
                    self._answer_json(404, {"code": 404, "message": "unknown service"})
                elif kaggle.refuses:
                    self._answer_json(kaggle.refuses, {"code": kaggle.refuses, "message": "refused"})
                else:
                    self.send_response(302)
                    self.send_header("Location", f"{kaggle.url}/store/archive.zip")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def do_GET(self) -> None:
                asked = self.headers.get("Range", "")
                kaggle.requests.append((self.path, asked, self.headers.get("Authorization")))
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and kaggle.resumable else 0
                rest = kaggle.archive[start:]
                self.send_response(206 if asked and kaggle.resumable else 200)
                self.send_header("Content-Type", "application/zip")
                self.send_header("Content-Length", str(len(rest)))
                if kaggle.resumable:
                    self.send_header("Accept-Ranges", "bytes")
                if kaggle.md5 is not None:
                    digest = base64.b64encode(kaggle.md5 or hashlib.md5(kaggle.archive).digest()).decode()
                    self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={digest}")
                self.end_headers()
                # A client that goes on elsewhere leaves the first answer unread.
                stop = None if kaggle.stops_after is None else max(kaggle.stops_after - start, 0)
                with contextlib.suppress(OSError):
                    self.wfile.write(rest if stop is None else rest[:stop])
                self.close_connection = True

            def _answer_json(self, status: int, content: dict[str, object]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server


@pytest.fixture
def package(small_deam: Any, copies: Any) -> bytes:
    """The zip of a small DEAM, with what nobody needs beside it; large enough to break off within."""
    copies.write_ratings(small_deam)
    copies.write_audio(small_deam.root, [2, 5])
    # kagglehub takes in a mebibyte at a time, so three of them make a transfer that can break off.
    (small_deam.root / AUDIO / "1001.mp3").write_bytes(np.random.default_rng(0).bytes(3 * MEBIBYTE))
    features = small_deam.root / "features/features"
    features.mkdir(parents=True)
    (features / "2.csv").write_text("frameTime;loudness\n0;0.5\n")
    junk = small_deam.root / "__MACOSX/DEAM_audio"
    junk.mkdir(parents=True)
    (junk / "2.mp3").write_bytes(b"\x00\x05\x16")
    (small_deam.root / "readme.txt").write_text("not wanted")
    return zip_of(small_deam.root)


def zip_of(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return packed.getvalue()


def zip_with(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def kaggle(package: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """Kaggle on this machine. Only the address is changed; the client, its credentials and its cache are real."""
    pytest.importorskip("kagglehub")
    from kagglesdk import kaggle_env

    for name in [
        name for name in os.environ if name.startswith(("KAGGLE", "DISABLE_KAGGLE")) or "PROXY" in name.upper()
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home/.kaggle"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    served = Kaggle(package)
    server = served.serve()
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, served.url)
    yield served
    server.shutdown()
    server.server_close()


def labels_of(dataset: Any) -> dict[int, tuple[float, float]]:
    return {int(song.id): song.targets for song in dataset.songs}


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- what goes right ----------------------------------------------------------------------------------------------


def test_what_arrives_is_whole_and_recorded(kaggle: Kaggle, small_deam: Any, tmp_path: Path) -> None:
    folder = tmp_path / "my copy"
    assert get_deam(folder) == folder
    loaded = load_dataset("deam", root=folder)
    assert labels_of(loaded) == small_deam.truth and len(loaded.with_audio) == 3
    wanted = {name for name in tree(small_deam.root) if not name.startswith(("features", "__MACOSX", "readme"))}
    assert tree(folder) == wanted | {RECORD_NAME}
    (source,) = read_record(folder)
    assert source.name == f"kaggle:{ID}/versions/1" and set(source.files) == wanted
    assert source.sha256 == hashlib.sha256(kaggle.archive).hexdigest()
    assert all(checksum(folder / name) == crc for name, (_, crc) in source.files.items())


def test_the_version_is_pinned_and_the_token_is_sent_to_kaggle_alone(kaggle: Kaggle, tmp_path: Path) -> None:
    get_deam(tmp_path / "copy")
    (path, body, token), *others = kaggle.requests
    assert path == DOWNLOAD and token == "Bearer secret"
    asked = json.loads(body)
    assert asked["ownerSlug"] + "/" + asked["datasetSlug"] == ID and asked["datasetVersionNumber"] == 1
    assert others


def test_features_on_demand(kaggle: Kaggle, tmp_path: Path) -> None:
    get_deam(tmp_path / "copy", features=True)
    assert (tmp_path / "copy/features/features/2.csv").is_file()


def test_a_finished_download_is_not_repeated(kaggle: Kaggle, tmp_path: Path) -> None:
    get_deam(tmp_path / "copy")
    n_requests = len(kaggle.requests)
    get_deam(tmp_path / "copy")
    assert len(kaggle.requests) == n_requests


def test_a_file_that_went_is_fetched_again_and_one_that_changed_is_kept(kaggle: Kaggle, tmp_path: Path) -> None:
    folder = get_deam(tmp_path / "copy")
    audio = folder / "DEAM_audio/MEMD_audio/2.mp3"
    before = audio.read_bytes()
    audio.unlink()
    get_deam(folder)
    assert audio.read_bytes() == before
    audio.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"1 files were changed since .*2\.mp3"):
        get_deam(folder)
    assert audio.read_bytes() == b"mine"


def test_nothing_is_written_outside_the_folder(kaggle: Kaggle, tmp_path: Path) -> None:
    before = tree(tmp_path)
    get_deam(tmp_path / "copy")
    assert {name for name in tree(tmp_path) - before if not name.startswith("copy/")} == set()


def test_the_cache_of_kagglehub_serves_where_no_root_is_named(kaggle: Kaggle, small_deam: Any, tmp_path: Path) -> None:
    assert labels_of(load_dataset("deam")) == small_deam.truth
    assert (tmp_path / "cache/datasets" / ID / "versions/1/DEAM_audio").is_dir()
    n_requests = len(kaggle.requests)
    load_dataset("deam")
    assert len(kaggle.requests) == n_requests


@pytest.mark.parametrize("into_cache", [False, True])
def test_standard_output_stays_free_for_results(
    kaggle: Kaggle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    into_cache: bool,
) -> None:
    (handler,) = (one for one in logging.getLogger("kagglehub").handlers if type(one) is logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", sys.stdout)
    arguments = [] if into_cache else ["--download", str(tmp_path / "copy")]
    with contextlib.suppress(SystemExit):
        app(["data", "deam", *arguments, "--json"], standalone_mode=False)
    told = capsys.readouterr()
    assert json.loads(told.out)["n_songs"] == 72
    assert "B/s" in told.err, "progress"


# --- interrupted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("md5", [b"", None], ids=["checksum", "no checksum"])
def test_an_interrupted_transfer_goes_on(kaggle: Kaggle, small_deam: Any, tmp_path: Path, md5: bytes | None) -> None:
    folder = tmp_path / "copy"
    kaggle.md5, kaggle.stops_after = md5, MEBIBYTE + 5000
    with pytest.raises(DataError, match=r"broke off.*1 MB have arrived and are kept"):
        get_deam(folder)
    with pytest.raises(DataError) as caught:
        load_deam(folder)
    assert "has not finished" in str(caught.value) and command_for(folder) in str(caught.value)
    kaggle.stops_after = 2 * MEBIBYTE + 9000
    with pytest.raises(DataError, match="are kept"):
        get_deam(folder)
    kaggle.stops_after = None
    get_deam(folder)
    assert [asked for asked in kaggle.ranges if asked] == ["bytes=0-", f"bytes={MEBIBYTE}-", f"bytes={2 * MEBIBYTE}-"]
    assert labels_of(load_deam(folder)) == small_deam.truth
    assert not (folder / UNFINISHED).exists()


def test_an_interrupted_transfer_into_the_cache_goes_on(kaggle: Kaggle, small_deam: Any) -> None:
    kaggle.stops_after = MEBIBYTE + 5000
    with pytest.raises(DataError, match="broke off"):
        load_dataset("deam")
    kaggle.stops_after = None
    assert labels_of(load_dataset("deam")) == small_deam.truth
    assert kaggle.ranges[-1] == f"bytes={MEBIBYTE}-"


def test_a_server_that_knows_no_parts_begins_anew(kaggle: Kaggle, small_deam: Any, tmp_path: Path) -> None:
    kaggle.resumable, kaggle.stops_after = False, MEBIBYTE + 5000
    with pytest.raises(DataError, match="broke off"):
        get_deam(tmp_path / "copy")
    kaggle.stops_after = None
    assert labels_of(load_deam(get_deam(tmp_path / "copy"))) == small_deam.truth


def test_killed_while_unpacking_or_moving(
    kaggle: Kaggle, small_deam: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy"
    real, calls = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        get_deam(folder)
    assert len(tree(folder) - {name for name in tree(folder) if name.startswith(UNFINISHED)}) == 3
    with pytest.raises(DataError, match="has not finished"):
        load_deam(folder)
    (folder / UNFINISHED / "unpacked/half").mkdir(parents=True)  # as a process leaves it that is killed at once
    n_sent = len(kaggle.ranges)
    get_deam(folder)
    assert not [asked for asked in kaggle.ranges[n_sent:] if asked], "the archive was there already"
    assert labels_of(load_deam(folder)) == small_deam.truth and not (folder / UNFINISHED).exists()


# --- refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "KAGGLE_API_TOKEN"),
        (403, "accept the terms"),
        (404, "version 1 of the data set was not found"),
        (429, "Try again in a while"),
        (503, "Try again in a while"),
        (400, "KaggleApiHTTPError"),
    ],
)
@pytest.mark.parametrize("into_cache", [False, True], ids=["folder", "cache"])
def test_refusals_say_what_to_do(kaggle: Kaggle, tmp_path: Path, status: int, advice: str, into_cache: bool) -> None:
    kaggle.refuses = status
    with pytest.raises(DataError, match=advice) as caught:
        load_deam() if into_cache else get_deam(tmp_path / "copy")
    assert "\n" not in str(caught.value) and "--root DIR" in str(caught.value)
    assert not (tmp_path / "copy").exists()


def test_a_folder_of_the_user_survives_a_refusal(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.refuses = 401
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/notes.txt").write_text("mine")
    with pytest.raises(DataError):
        get_deam(tmp_path / "copy")
    assert tree(tmp_path / "copy") == {"notes.txt"} and not (tmp_path / "copy" / UNFINISHED).exists()


@pytest.mark.parametrize("into_cache", [False, True], ids=["folder", "cache"])
def test_nobody_answers(kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into_cache: bool) -> None:
    from kagglesdk import kaggle_env

    with socket.socket() as taken:  # bound and not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, address)
        with pytest.raises(DataError, match=r"no connection.*internet access or proxy"):
            load_deam() if into_cache else get_deam(tmp_path / "copy")


def test_credentials_that_cannot_be_read(kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    (tmp_path / "home/.kaggle").mkdir(parents=True)
    (tmp_path / "home/.kaggle/kaggle.json").write_text("{")
    with pytest.raises(DataError, match="Invalid Kaggle credentials file"):
        get_deam(tmp_path / "copy")


def test_the_extra_is_named_where_kagglehub_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    for get in (load_deam, lambda: get_deam(tmp_path / "copy")):
        with pytest.raises(MissingExtraError, match=r"affekt\[kaggle\]"):
            get()
    assert not (tmp_path / "copy").exists()


# --- what arrives is bad ------------------------------------------------------------------------------------------


def test_another_checksum(kaggle: Kaggle, small_deam: Any, tmp_path: Path) -> None:
    kaggle.md5 = b"0" * 16
    with pytest.raises(DataError, match=r"another checksum.*removed"):
        get_deam(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    kaggle.md5 = b""
    assert labels_of(load_deam(get_deam(tmp_path / "copy"))) == small_deam.truth


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda whole: whole[: len(whole) // 2], "no zip archive, or damaged"),
        (lambda whole: b"<html>Please log in to the hotel's network</html>", "no zip archive, or damaged"),
        (lambda whole: whole[:4000] + bytes(200) + whole[4200:], "damaged"),
        (lambda whole: zip_with(**{"../../static.csv": b"x", "2.mp3": b"x"}), "leads out of the folder"),
        (lambda whole: zip_with(**{"readme.txt": b"x"}), "holds no file of DEAM"),
    ],
    ids=["truncated", "a page", "flipped bytes", "climbs out", "nothing in it"],
)
def test_an_archive_that_cannot_be_used_leaves_nothing(
    kaggle: Kaggle, small_deam: Any, tmp_path: Path, spoil: Callable[[bytes], bytes], told: str
) -> None:
    whole, kaggle.archive = kaggle.archive, spoil(kaggle.archive)
    before = tree(tmp_path)
    with pytest.raises(DataError, match=told) as caught:
        get_deam(tmp_path / "copy")
    assert "--from ZIP" in str(caught.value)
    assert not (tmp_path / "copy").exists() and tree(tmp_path) == before
    kaggle.archive = whole
    assert labels_of(load_deam(get_deam(tmp_path / "copy"))) == small_deam.truth


# --- the disk -----------------------------------------------------------------------------------------------------


def test_too_little_room_is_told_before_the_transfer(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=len(kaggle.archive) - 1))
    with pytest.raises(StorageError, match=r"needs .* MB, and the disk has .* MB free"):
        get_deam(tmp_path / "copy")
    assert len(kaggle.ranges) == 1 and not (tmp_path / "copy").exists()


def test_the_disk_fills_up_on_the_way(
    kaggle: Kaggle, small_deam: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglehub import clients

    def write(response: Any, out_file: str, size_read: int, total_size: int, hash_object: Any) -> None:
        Path(out_file).write_bytes(kaggle.archive[:3000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(clients, "_download_file", write)
        with pytest.raises(StorageError, match=r"the disk is full.*0\.003 MB have arrived"):
            get_deam(tmp_path / "copy")
    assert labels_of(load_deam(get_deam(tmp_path / "copy"))) == small_deam.truth
    assert kaggle.ranges[-1] == "bytes=3000-"


def test_a_file_where_the_folder_should_be_and_a_link_as_workplace(kaggle: Kaggle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="a file, where a folder is needed"):
        get_deam(tmp_path / "file")
    (tmp_path / "copy").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "copy" / UNFINISHED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="a link"):
        get_deam(tmp_path / "copy")
    assert not kaggle.requests


def test_a_linked_folder_is_not_written_through(kaggle: Kaggle, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "copy/DEAM_audio").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"nothing is overwritten: .*DEAM_audio"):
        get_deam(tmp_path / "copy")
    assert not tree(tmp_path / "elsewhere")


def test_no_second_copy_beside_one_made_by_hand(kaggle: Kaggle, small_deam: Any) -> None:
    with pytest.raises(DataError, match="holds a copy of DEAM already"):
        get_deam(small_deam.root)
    assert not kaggle.requests


# --- archives on the disk -----------------------------------------------------------------------------------------


@pytest.fixture
def zips(small_deam: Any, copies: Any, tmp_path: Path) -> dict[str, Path]:
    """The authors' archives of a small DEAM, in a folder whose name has a space and a bracket."""
    copies.write_audio(small_deam.root, [2, 5])
    (small_deam.root / "features/features").mkdir(parents=True)
    (small_deam.root / "features/features/2.csv").write_text("frameTime;loudness\n0;0.5\n")
    (small_deam.root / "metadata").mkdir()
    (small_deam.root / "metadata/metadata_2013.csv").write_text("song_id,Artist,Song title\n2,The Agrarians,One\n")
    folder = tmp_path / "down loads (1)"
    folder.mkdir()
    for name, below in {
        "DEAM_Annotations": "DEAM_Annotations",
        "DEAM_audio": "DEAM_audio",
        "metadata": "metadata",
        "features": "features",
    }.items():
        packed = zip_of(small_deam.root / below)
        (folder / f"{name}.zip").write_bytes(packed)
    return {path.stem: path for path in folder.iterdir()}


def test_the_authors_archives(zips: dict[str, Path], small_deam: Any, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    get_deam(folder, [zips["DEAM_Annotations"], zips["DEAM_audio"]])
    assert labels_of(load_deam(folder)) == small_deam.truth
    get_deam(folder, [zips["metadata"]])
    loaded = load_deam(folder)
    assert len(loaded.with_audio) == 2 and loaded.songs[0].artist == "The Agrarians"
    assert [source.name for source in read_record(folder)] == ["DEAM_Annotations.zip", "DEAM_audio.zip", "metadata.zip"]
    get_deam(folder, [zips["metadata"]])
    assert len(read_record(folder)) == 3


def test_a_root_that_is_still_packed_names_the_command_that_unpacks_it(
    zips: dict[str, Path], small_deam: Any, tmp_path: Path
) -> None:
    folder = zips["metadata"].parent
    before = tree(folder)
    with pytest.raises(
        DataError, match=r"DEAM_Annotations.zip, DEAM_audio.zip, metadata.zip are still packed"
    ) as caught:
        load_deam(folder)
    assert tree(folder) == before, "loading writes nothing"
    run(str(caught.value).partition("Unpack: ")[2])
    assert labels_of(load_deam(folder)) == small_deam.truth


def test_a_zip_as_root_names_the_command(zips: dict[str, Path], small_deam: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a file, no folder.*still packed") as caught:
        load_deam(zips["DEAM_Annotations"])
    run(str(caught.value).partition("Unpack: ")[2])
    assert labels_of(load_deam(zips["DEAM_Annotations"].parent / "deam")) == small_deam.truth


def run(command: str) -> None:
    import shlex

    program, *arguments = shlex.split(command)
    assert program == "affekt"
    with contextlib.suppress(SystemExit):
        app(arguments, standalone_mode=False)


def test_audio_that_is_still_packed_is_a_note(zips: dict[str, Path], small_deam: Any) -> None:
    folder = zips["metadata"].parent
    shutil.move(small_deam.root / "DEAM_Annotations", folder / "by hand")
    notes = [note for note in load_deam(folder).notes if "still packed" in note]
    assert len(notes) == 1 and "DEAM_audio.zip, metadata.zip are" in notes[0]


def test_features_alone_need_a_word(zips: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Add --features"):
        get_deam(tmp_path / "copy", [zips["features"]])
    assert not (tmp_path / "copy").exists()
    get_deam(tmp_path / "copy", [zips["DEAM_Annotations"], zips["features"]], features=True)
    assert (tmp_path / "copy/features/features/2.csv").is_file()


def test_one_bad_archive_of_several_leaves_nothing(zips: dict[str, Path], tmp_path: Path) -> None:
    zips["metadata"].write_bytes(zips["metadata"].read_bytes()[:-30])
    with pytest.raises(DataError, match=r"metadata\.zip: no zip archive, or damaged"):
        get_deam(tmp_path / "copy", [zips["DEAM_Annotations"], zips["metadata"]])
    assert not (tmp_path / "copy").exists()
    assert zips["metadata"].exists(), "the user's own file"


def test_what_is_there_is_not_overwritten(zips: dict[str, Path], tmp_path: Path) -> None:
    folder = get_deam(tmp_path / "copy", [zips["DEAM_Annotations"]])
    static = next(folder.rglob("static_*_1_2000.csv"))
    static.write_text("mended by hand")
    with pytest.raises(DataError, match=r"1 files have another content.*static_annotations_averaged_songs_1_2000"):
        get_deam(folder, [zips["DEAM_Annotations"], zips["DEAM_audio"]])
    assert static.read_text() == "mended by hand" and not list(folder.rglob("*.mp3"))
    assert not (folder / UNFINISHED).exists()


def test_archives_of_one_name(zips: dict[str, Path], small_deam: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(zips["DEAM_audio"], tmp_path / "other/DEAM_Annotations.zip")
    folder = get_deam(tmp_path / "copy", [zips["DEAM_Annotations"], tmp_path / "other/DEAM_Annotations.zip"])
    assert len(load_deam(folder).with_audio) == 2


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        get_deam(tmp_path / "copy", [tmp_path / "gone.zip"])
    assert not (tmp_path / "copy").exists()


def test_a_damaged_record(zips: dict[str, Path], tmp_path: Path) -> None:
    folder = get_deam(tmp_path / "copy", [zips["DEAM_Annotations"]])
    (folder / RECORD_NAME).write_text('{"schema": 1, "sources": [{}]}')
    with pytest.raises(DataError, match="Delete it"):
        get_deam(folder, [zips["metadata"]])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["demo", "--download", "d"], "demo is not downloaded"),
        (["deam", "--download", "d", "--root", "r"], "Leave one of them out"),
        (["deam", "--from", "a.zip"], "add --download DIR"),
        (["deam", "--features"], "add --download DIR"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        app(["data", *arguments], standalone_mode=False)


# --- folders that somebody else made ------------------------------------------------------------------------------


def deep(source: Path, target: Path) -> Path:
    shutil.copytree(source, target / "a/b [old] (2)/c d/é/DEAM (copy)")
    return target


def upper(source: Path, target: Path) -> Path:
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        (target / path.relative_to(source).parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target / path.relative_to(source).parent / path.name.upper())
    return target


def flat(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in (path for path in source.rglob("*") if path.is_file()):
        shutil.copy(path, target)
    return target


def without_top_levels(source: Path, target: Path) -> Path:
    shutil.copytree(source / "DEAM_Annotations/annotations", target / "annotations")
    shutil.copytree(source / "DEAM_audio/MEMD_audio", target / "MEMD_audio")
    return target


def from_a_mac(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    for path in list(target.rglob("*.*")):
        shadow = target / "__MACOSX" / path.relative_to(target).parent
        shadow.mkdir(parents=True, exist_ok=True)
        (shadow / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
        (shadow / path.name).write_bytes(b"\x00\x05\x16\x07")
        (path.parent / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    return target


@pytest.mark.parametrize("layout", [deep, upper, flat, without_top_levels, from_a_mac], ids=lambda one: one.__name__)
def test_any_layout_gives_the_same_data_set(layout: Any, small_deam: Any, copies: Any, tmp_path: Path) -> None:
    copies.write_ratings(small_deam)
    copies.write_audio(small_deam.root, [2, 5])
    loaded = load_deam(layout(small_deam.root, tmp_path / "theirs"))
    usual = load_deam(small_deam.root)
    assert labels_of(loaded) == small_deam.truth == labels_of(usual)
    assert [song.id for song in loaded.with_audio] == ["2", "5"]
    assert all(song.ratings is not None for song in loaded.songs)
    assert loaded.notes == usual.notes
