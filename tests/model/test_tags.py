"""Tags: every format holds them, nothing else changes, and whatever fails leaves the file as it was."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, TALB, TIT2, TPE1, TXXX, TYER
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, MP4FreeForm

from affekt.audio.decode import samples_digest
from affekt.errors import AffektError, AudioError, StorageError
from affekt.model import tags
from affekt.model.extras import Extras
from affekt.model.fields import field_names, fields_of
from affekt.model.library import predict_library
from affekt.model.predictor import load_model
from affekt.model.tags import write_tags

RATE_HZ = 44_100
FIELDS = {
    "AFFEKT_VALENCE": "6.1250",
    "AFFEKT_VALENCE_LOW": "4.0000",
    "AFFEKT_VALENCE_HIGH": "8.2500",
    "AFFEKT_QUADRANT": "V+ A-",
    "AFFEKT_MODEL": "demo-Größe@0123abcd",
}
#: Suffix, and what to tell soundfile; None where ffmpeg makes it.
FORMATS: dict[str, dict[str, str] | None] = {
    "mp3": {},
    "flac": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "wav": {},
    "aiff": {},
    "m4a": None,
    "wma": None,
    "wv": None,
    "tta": None,
}


@pytest.fixture(autouse=True)
def ffmpeg(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real program, under its usual name, first on the PATH."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `song.<suffix>` for each format. Do not write into it."""
    folder = tmp_path_factory.mktemp("songs")
    noise = 0.1 * np.random.default_rng(0).standard_normal((2 * RATE_HZ, 2))
    for suffix, options in FORMATS.items():
        path = folder / f"song.{suffix}"
        if options is None:
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder / "song.wav"), str(path)]
            subprocess.run(command, check=True)
        else:
            soundfile.write(path, noise, 48_000 if suffix == "opus" else RATE_HZ, **options)
    return folder


@pytest.fixture
def song(songs: Path, tmp_path: Path) -> Path:
    """An MP3 of its own."""
    return Path(shutil.copy(songs / "song.mp3", tmp_path / "song.mp3"))


def ours(path: Path) -> dict[str, str]:
    """Our tags, read without the code that wrote them."""
    found = mutagen.File(path)
    pairs = [] if found is None or found.tags is None else found.tags.items()
    return {
        match[0].upper(): text_of(value)
        for key, value in pairs
        if (match := re.search(r"affekt_\w+$", str(key), re.IGNORECASE))
    }


def text_of(value: Any) -> str:
    first = value[0] if isinstance(value, list) else value
    return bytes(first).decode() if isinstance(first, MP4FreeForm) else str(first)


def alone(path: Path) -> bool:
    """Whether nothing was left beside a file."""
    return [one.name for one in path.parent.iterdir()] == [path.name]


# ---- what is written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_holds_them_and_sounds_the_same(songs: Path, tmp_path: Path, suffix: str) -> None:
    path = Path(shutil.copy(songs / f"song.{suffix}", tmp_path))
    assert write_tags(path, FIELDS) is None
    assert ours(path) == FIELDS
    assert samples_digest(path) == samples_digest(songs / path.name)
    assert alone(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_those_of_another_model_are_replaced_and_the_same_are_not_written_again(
    songs: Path, tmp_path: Path, suffix: str
) -> None:
    path = Path(shutil.copy(songs / f"song.{suffix}", tmp_path))
    write_tags(path, {"AFFEKT_TENSION": "1.0000", "AFFEKT_MODEL": "other@1"})
    write_tags(path, FIELDS)
    assert ours(path) == FIELDS
    before = path.stat()
    write_tags(path, FIELDS)
    assert path.stat() == before


@pytest.mark.parametrize("suffix", ["aac", "ac3", "mka"])
def test_a_format_without_tags_is_named(songs: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"song.{suffix}"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(songs / "song.wav"), str(path)], check=True
    )
    content = path.read_bytes()
    remark = write_tags(path, FIELDS)
    assert remark is not None and remark.code == "untagged" and str(path) in remark.text
    assert path.read_bytes() == content


def test_a_row_gives_its_fields() -> None:
    row = {"valence": 6.125, "valence_low": 4.0, "valence_high": 8.25, "quadrant": None, "model": "demo@1"}
    assert fields_of(row, ["valence", "arousal"]) == {
        "AFFEKT_VALENCE": "6.1250",
        "AFFEKT_VALENCE_LOW": "4.0000",
        "AFFEKT_VALENCE_HIGH": "8.2500",
        "AFFEKT_MODEL": "demo@1",
    }


@settings(max_examples=50)
@given(st.lists(st.text(min_size=1), unique=True, max_size=6))
@example(["valence", "valence_low", "Valence", "valence "])
@example(["model", "quadrant", "情感", "喜び"])
@example(["a", "a_2", "A"])
def test_any_targets_get_names_that_every_format_holds(targets: list[str]) -> None:
    names = field_names(targets)
    every = [f"{name}{end}" for name in names.values() for end in ("", "_LOW", "_HIGH")] + ["QUADRANT", "MODEL"]
    assert len(set(every)) == len(every) and list(names) == targets
    assert all(re.fullmatch(r"[A-Z0-9_]+", name) for name in every)


#: No format tells an empty text from none.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@settings(max_examples=20)
@given(suffix=st.sampled_from(["mp3", "flac", "ogg", "wav", "m4a"]), text=TEXT, title=TEXT)
def test_any_text_is_kept(
    songs: Path, tmp_path_factory: pytest.TempPathFactory, suffix: str, text: str, title: str
) -> None:
    path = Path(shutil.copy(songs / f"song.{suffix}", tmp_path_factory.mktemp("wild")))
    easy = mutagen.File(path, easy=True)
    if suffix != "wav":  # no easy tags
        easy["title"] = [title]
        easy.save()
        title = mutagen.File(path, easy=True)["title"][0]  # as the format has it
    write_tags(path, {"AFFEKT_MODEL": text})
    assert ours(path) == {"AFFEKT_MODEL": text}
    if suffix != "wav":
        assert mutagen.File(path, easy=True)["title"] == [title]


# ---- what stays -----------------------------------------------------------------------------------------------------

COVER = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


@pytest.mark.parametrize("version", [3, 4])
def test_id3_stays_in_its_version_with_all_its_frames(song: Path, version: int) -> None:
    id3 = ID3()
    for frame in (
        TIT2(encoding=1, text=["Größe"]),
        TPE1(encoding=1, text=["one", "two"]),
        TALB(encoding=0, text=["album"]),
        COMM(encoding=1, lang="eng", desc="", text=["a\nb"]),
        TXXX(encoding=1, desc="MOOD", text=["x"]),
        TXXX(encoding=0, desc="replaygain_track_gain", text=["-3 dB"]),
        APIC(encoding=0, mime="image/png", type=3, desc="front", data=COVER),
        TYER(encoding=0, text=["1999"]),
    ):
        id3.add(frame)
    id3.save(song, v2_version=version, v23_sep=None)
    before = ID3(song, translate=False)
    write_tags(song, FIELDS)
    after = ID3(song, translate=False)
    assert after.version == before.version == (2, version, 0)
    assert {str(key): repr(frame) for key, frame in after.items() if "AFFEKT" not in key} == {
        str(key): repr(frame) for key, frame in before.items()
    }
    assert {key for key in after if "AFFEKT" in key} == {f"TXXX:{name}" for name in FIELDS}


def test_what_stands_behind_the_frames_of_an_mp3_stays_to_the_byte(song: Path) -> None:
    """A tag of ID3v1 and one of APE, which mutagen would write anew."""
    audio = song.read_bytes()[MP3(song).tags.size :] if MP3(song).tags else song.read_bytes()
    end = b"APETAGEX" + bytes(24) + b"TAG" + b"old title".ljust(125, b"\0")
    song.write_bytes(audio + end)
    write_tags(song, FIELDS)
    assert song.read_bytes().endswith(audio + end)
    assert ours(song) == FIELDS


def test_pictures_and_cue_sheets_of_flac_stay(songs: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(songs / "song.flac", tmp_path))
    flac, picture = FLAC(path), Picture()
    picture.data, picture.mime, picture.type = COVER, "image/png", 3
    flac.add_picture(picture)
    flac["ARTIST"] = ["one", "two"]
    flac.save()
    write_tags(path, FIELDS)
    found = FLAC(path)
    assert found["artist"] == ["one", "two"] and found.pictures[0].data == COVER
    assert found.info.md5_signature == flac.info.md5_signature


def test_atoms_of_mp4_stay(songs: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(songs / "song.m4a", tmp_path))
    audio = MP4(path)
    audio["\xa9nam"], audio["trkn"], audio["----:com.apple.iTunes:MOOD"] = ["title"], [(3, 9)], [MP4FreeForm(b"x")]
    audio.save()
    before = dict(MP4(path).items())
    write_tags(path, FIELDS)
    assert {key: value for key, value in MP4(path).items() if "AFFEKT" not in key} == before


def test_mode_and_attributes_stay_and_the_time_moves(song: Path) -> None:
    song.chmod(0o640)
    os.utime(song, (1_000_000_000, 1_000_000_000))
    with contextlib.suppress(OSError):  # not every file system has them
        os.setxattr(song, "user.note", b"kept")
    had = "user.note" in os.listxattr(song)
    write_tags(song, FIELDS)
    assert song.stat().st_mode & 0o777 == 0o640
    assert time.time() - song.stat().st_mtime < 3600
    assert ("user.note" in os.listxattr(song)) == had


def test_a_link_stays_a_link_and_its_target_is_tagged(song: Path) -> None:
    folder = song.parent / "links"
    folder.mkdir()
    (folder / "one.mp3").symlink_to("../song.mp3")
    (folder / "two.mp3").symlink_to("one.mp3")
    write_tags(folder / "two.mp3", FIELDS)
    assert (folder / "two.mp3").is_symlink() and (folder / "one.mp3").is_symlink() and not song.is_symlink()
    assert ours(song) == FIELDS


@pytest.mark.parametrize("name", ["a" * 251 + ".mp3", "é" * 125 + ".mp3", "-song.mp3", "a\nb.mp3", ".hidden.mp3"])
def test_any_name_will_do(songs: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(songs / "song.mp3", tmp_path / name))
    write_tags(path, FIELDS)
    assert ours(path) == FIELDS and alone(path)


# ---- what fails -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def most_bytes(limit: int) -> Iterator[None]:
    """The system refuses to make any file longer than this, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_full_disk(songs: Path, tmp_path: Path, suffix: str, share: float) -> None:
    path = Path(shutil.copy(songs / f"song.{suffix}", tmp_path))
    content, status = path.read_bytes(), path.stat()
    with most_bytes(int(share * len(content))), pytest.raises(StorageError, match="as it was"):
        write_tags(path, {"AFFEKT_MODEL": "x" * 100_000})
    assert path.read_bytes() == content and path.stat() == status
    assert alone(path)


AS_NOBODY = """
import os, sys
from pathlib import Path
from affekt.errors import StorageError
from affekt.model.tags import write_tags
write_tags(Path(sys.argv[2]), {"AFFEKT_MODEL": "x"})  # loads what nobody else may read where only root may look
if os.geteuid() == 0:  # root may write everywhere
    os.setuid(65534)
try:
    write_tags(Path(sys.argv[1]), {"AFFEKT_MODEL": "x"})
except StorageError as error:
    print(error)
"""


def test_a_folder_that_cannot_be_written_to(song: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(shutil.copy(song, name))
        path.chmod(0o666)
        path.parent.chmod(0o555)
        command = [sys.executable, "-c", AS_NOBODY, str(path), shutil.copy(song, tmp_path / "another.mp3")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        path.parent.chmod(0o755)
        assert "Permission denied" in done.stdout and "as it was" in done.stdout
        assert path.read_bytes() == song.read_bytes() and alone(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_copy_that_does_not_sound_the_same_is_thrown_away(
    songs: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(songs / f"song.{suffix}", tmp_path))
    content, copied = path.read_bytes(), tags._copy

    def spoil(place: Path, copy: Path, id3: bytes | None = None) -> None:
        copied(place, copy, id3)
        data = bytearray(copy.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 99] = reversed(data[middle : middle + 99])
        copy.write_bytes(data)

    monkeypatch.setattr(tags, "_copy", spoil)
    with pytest.raises(AudioError):
        write_tags(path, FIELDS)
    assert path.read_bytes() == content and alone(path)


def test_a_read_only_file_is_left_alone(song: Path) -> None:
    content = song.read_bytes()
    song.chmod(0o444)
    with pytest.raises(StorageError, match="read-only"):
        write_tags(song, FIELDS)
    assert song.read_bytes() == content and alone(song)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AffektError, match=r"gone\.mp3"):
        write_tags(tmp_path / "gone.mp3", FIELDS)
    assert not list(tmp_path.iterdir())


#: A test run in a shell's background inherits an ignored SIGINT; a user's terminal does not.
STOPPED = """
import itertools, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from affekt.model.tags import write_tags
try:
    print("ready", flush=True)
    for number in itertools.count():
        write_tags(Path(sys.argv[1]), {"AFFEKT_MODEL": f"{number:09}" * 2000})
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp3", "m4a"])
def test_ctrl_c_at_any_moment_leaves_a_whole_file_and_nothing_else(songs: Path, tmp_path: Path, suffix: str) -> None:
    path = Path(shutil.copy(songs / f"song.{suffix}", tmp_path))
    for delay_s in (0.0, 0.013, 0.037):
        command = [sys.executable, "-c", STOPPED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        assert samples_digest(path) == samples_digest(songs / path.name)
        assert alone(path)


@settings(max_examples=60)
@given(
    suffix=st.sampled_from([*FORMATS]),
    at=st.floats(0, 1),
    junk=st.binary(min_size=1, max_size=100),
    end=st.floats(0, 1) | st.just(1.0),
)
def test_a_damaged_file_is_tagged_or_stays_as_it_was(
    songs: Path, tmp_path_factory: pytest.TempPathFactory, suffix: str, at: float, junk: bytes, end: float
) -> None:
    data = bytearray((songs / f"song.{suffix}").read_bytes())
    first = int(at**4 * len(data))  # mostly near the front, where headers are
    data[first : first + len(junk)] = junk
    content = bytes(data[: max(1, int(end * len(data)))])
    path = tmp_path_factory.mktemp("wild") / f"wild.{suffix}"
    path.write_bytes(content)
    try:
        remark = write_tags(path, FIELDS)
    except (AudioError, StorageError):
        assert path.read_bytes() == content
    else:
        assert path.read_bytes() == content if remark else ours(path) == FIELDS
    assert alone(path)


# ---- a library ------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(songs: Path, tmp_path: Path) -> Path:
    """Songs of several formats, one of which has no tags, and a file that is none."""
    folder = tmp_path / "library"
    folder.mkdir()
    for name in ("song.mp3", "song.flac", "song.m4a"):
        shutil.copy(songs / name, folder)
    soundfile.write(folder / "song.au", soundfile.read(songs / "song.wav")[0], RATE_HZ)
    (folder / "text.wav").write_text("no song\n" * 100)
    return folder


def predict(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "affekt", "predict", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.mark.slow
def test_predict_writes_tags_and_playlists(ridge_bundle: Path, library: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "moods.jsonl"
    wanted = [option for word in ("happy", "tense", "v- a-", "V+A-") for option in ("--m3u", word)]
    done = predict(ridge_bundle, library, "--out", out, "--write-tags", *wanted)
    assert done.returncode == 1 and "text.wav: is not audio" in done.stderr
    assert "song.au: its format has no tags" in done.stderr and "3 songs have their tags, 1 have not" in done.stderr
    rows = {Path(row["path"]).name: row for row in map(json.loads, out.read_text().splitlines())}
    for name in ("song.mp3", "song.flac", "song.m4a"):
        assert ours(library / name) == fields_of(rows[name], ["valence", "arousal"]) and len(ours(library / name)) == 8
    entries = [
        line
        for path in out.parent.glob("V* A*.m3u8")
        for line in path.read_text().splitlines()
        if not line.startswith("#")
    ]
    assert sorted(entries) == sorted(f"../library/{name}" for name, row in rows.items() if not row["error"])


@pytest.mark.slow
def test_songs_that_the_table_holds_already_get_tags_without_being_predicted_again(
    ridge_bundle: Path, library: Path, tmp_path: Path
) -> None:
    (library / "text.wav").unlink()
    model, out, new = load_model(ridge_bundle), tmp_path / "moods.csv", []
    predict_library(model, [library], out, quiet=True)
    assert ours(library / "song.mp3") == {}
    extras = Extras(model, out, tags=True)
    rows = predict_library(model, [library], out, quiet=True, done=new.append, extras=extras)
    assert new == [] and ours(library / "song.mp3")["AFFEKT_MODEL"] == model.fingerprint
    for row in rows:
        if not row["path"].endswith(".au"):
            assert ours(Path(row["path"])) == fields_of(row, model.targets)
    assert len(extras.untagged) == 1 and extras.failed == []
    status = (library / "song.mp3").stat()
    predict_library(model, [library], out, quiet=True, extras=Extras(model, out, tags=True))
    assert (library / "song.mp3").stat() == status


@pytest.mark.slow
def test_a_song_that_cannot_be_tagged_is_named_and_the_others_are(ridge_bundle: Path, library: Path) -> None:
    (library / "text.wav").unlink()
    (library / "song.mp3").chmod(0o444)
    done = predict(ridge_bundle, library, "--write-tags", cwd=library)
    assert done.returncode == 1 and "song.mp3: is read-only" in done.stderr
    assert ours(library / "song.mp3") == {} and ours(library / "song.flac") != {}


def test_an_unknown_quadrant_is_told_before_anything_is_predicted(ridge_bundle: Path, library: Path) -> None:
    done = predict(ridge_bundle, library, "--write-tags", "--m3u", "hapy", cwd=library)
    assert done.returncode == 2 and "Did you mean" in done.stderr
    assert ours(library / "song.flac") == {}
