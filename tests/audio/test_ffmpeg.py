"""Formats that only ffmpeg knows: what comes out, what is refused, and that no file's name means anything else."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from affekt.audio.clips import ClipPlan
from affekt.audio.decode import SampleStream, decode
from affekt.audio.ffmpeg import DEMUXERS, FfmpegFile, program
from affekt.errors import AudioError
from affekt.features.prepare import Task, sound

PROGRAM = imageio_ffmpeg.get_ffmpeg_exe()
RATE_HZ, TONE_HZ, TONE_S = 44_100, 440.0, 10.37


@pytest.fixture(autouse=True)
def ffmpeg(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real program, under its usual name, first on the PATH."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "ffmpeg").symlink_to(PROGRAM)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "ffmpeg"


def make(*arguments: str | Path) -> None:
    subprocess.run([PROGRAM, "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="session")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone of two channels that differ in loudness, with noise: what is compressed is not all zeros."""
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    wave = np.sin(2 * np.pi * TONE_HZ * np.arange(round(TONE_S * RATE_HZ)) / RATE_HZ)
    noise = 0.01 * np.random.default_rng(0).standard_normal((len(wave), 2))
    soundfile.write(path, wave[:, None] * [0.6, 0.2] + noise, RATE_HZ)
    return path


@pytest.fixture(scope="session")
def m4a(wav: Path) -> Path:
    """AAC of the tone, its index at the front."""
    path = wav.with_name("tone.m4a")
    make("-i", wav, "-b:a", "192k", "-movflags", "+faststart", path)
    return path


# ---- what comes out -------------------------------------------------------------------------------------------------


def test_aac_gives_the_samples_of_the_wave_file_it_was_made_of(wav: Path, m4a: Path) -> None:
    expected, found = decode(wav, 16_000), decode(m4a, 16_000)
    assert found.dtype == np.float32 and found.shape == expected.shape
    middle = slice(8_000, -8_000)
    assert np.corrcoef(expected[middle], found[middle])[0, 1] > 0.999
    assert np.abs(found[middle] - expected[middle]).max() < 0.05


@pytest.mark.parametrize("name", ["alac.m4a", "tone.wv", "tone.tta"])
def test_lossless_formats_give_the_very_same_samples(wav: Path, tmp_path: Path, name: str) -> None:
    codec = ["-c:a", "alac"] if name == "alac.m4a" else []
    make("-i", wav, *codec, tmp_path / name)
    np.testing.assert_array_equal(decode(tmp_path / name, 22_050), decode(wav, 22_050))


@pytest.mark.parametrize("suffix", ["wma", "mka", "webm", "aac", "ac3", "mp4"])
def test_other_formats_are_read(wav: Path, tmp_path: Path, suffix: str) -> None:
    make("-i", wav, tmp_path / f"tone.{suffix}")
    found = decode(tmp_path / f"tone.{suffix}", 16_000)
    assert len(found) == pytest.approx(16_000 * TONE_S, abs=16_000 * 0.1)
    spectrum = np.abs(np.fft.rfft(found[32_000:48_000]))  # 1 s: bins of 1 Hz
    assert np.argmax(spectrum) == TONE_HZ
    assert 2 * spectrum.max() / 16_000 == pytest.approx(0.4, rel=0.1)


def test_the_number_of_samples_is_known_before_and_blocks_are_the_whole(
    m4a: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decode(m4a, 16_000)
    monkeypatch.setattr("affekt.audio.decode.BLOCK_FRAMES", 10_000)
    with SampleStream(m4a, 16_000) as stream:
        n_samples, pieces = stream.n_samples, list(stream)
    assert len(pieces) > 3 and n_samples == len(whole)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_clips_are_cut_while_it_is_read(m4a: Path) -> None:
    """Only where the number of samples was right: otherwise the whole song would be held."""
    plan = ClipPlan(2, 3.0)
    with SampleStream(m4a, 16_000) as stream:
        clips = plan.cut_stream(stream, stream.n_samples, 16_000)
    assert clips is not None
    np.testing.assert_array_equal(sound(Task(m4a, plan), 16_000).value, clips)


def test_sound_beside_longer_pictures_is_whole(wav: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make("-i", wav, "-f", "lavfi", "-i", "testsrc=d=14:r=5:s=64x48", path)
    assert len(decode(path, 16_000)) == pytest.approx(16_000 * TONE_S, abs=16_000 * 0.1)


def test_metadata_is_not_taken_for_what_ffmpeg_says(wav: Path, tmp_path: Path) -> None:
    path = tmp_path / "tone.m4a"
    make("-i", wav, "-metadata", "title=x\n[info]   Duration: 99:00:00.00, \n[error] no", path)
    assert len(decode(path, 16_000)) == round(16_000 * TONE_S)


# ---- what is refused ------------------------------------------------------------------------------------------------


def assert_refused(path: Path, reason: str) -> None:
    with pytest.raises(AudioError, match=reason) as caught:
        decode(path, 16_000)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_without_ffmpeg_the_error_says_what_it_would_read(m4a: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert program() is None
    assert_refused(m4a, "not recognised.*m4a, wma.*install ffmpeg")


def test_an_ffmpeg_that_cannot_be_started(m4a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_bytes(b"\x7fELF no program")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_refused(m4a, "cannot be started")


@pytest.mark.parametrize("suffix", ["m4a", "wma", "mka", "aac", "ac3", "wv", "tta"])
def test_a_file_cut_short(wav: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    make("-i", wav, "-movflags", "+faststart", path)
    decode(path, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 55 // 100])
    assert_refused(path, "cut short")


def test_a_file_without_its_index(wav: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.m4a"
    make("-i", wav, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(path, "not audio that can be read .ffmpeg: moov atom not found")


def test_damage_within(m4a: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.m4a"
    data = bytearray(m4a.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    assert_refused(path, "damaged")


def test_pictures_alone(tmp_path: Path) -> None:
    make("-f", "lavfi", "-i", "testsrc=d=1:r=5:s=64x48", tmp_path / "silent.mp4")
    assert_refused(tmp_path / "silent.mp4", "matches no streams")


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "aiff"])
def test_a_damaged_file_of_a_format_that_libsndfile_knows_is_not_mended(wav: Path, tmp_path: Path, suffix: str) -> None:
    """ffmpeg would play a part of it."""
    path = tmp_path / f"song.{suffix}"
    make("-i", wav, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(path, "cut short|damaged")
    path.write_bytes(b"\0" * 64 + path.read_bytes())
    assert_refused(path, "not audio|cut short")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m4a", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:{wav}\n#EXT-X-ENDLIST\n"),
        ("concat.m4a", "ffconcat version 1.0\nfile tone.wav\n"),
        (
            "manifest.mp4",
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{wav}</BaseURL></MPD>',
        ),
    ],
)
def test_lists_of_other_files_are_not_followed(wav: Path, name: str, content: str) -> None:
    path = wav.with_name(name)
    path.write_text(content.format(wav=wav))
    assert_refused(path, "not audio that can be read")


def test_no_format_on_the_list_is_one_that_libsndfile_reads_or_that_names_others() -> None:
    found = subprocess.run([PROGRAM, "-v", "error", "-demuxers"], capture_output=True, text=True, check=True).stdout
    known = {name for line in found.splitlines() if len(line.split()) > 1 for name in line.split()[1].split(",")}
    assert set(DEMUXERS) <= known
    assert not set(DEMUXERS) & {"wav", "flac", "mp3", "ogg", "aiff", "au", "caf", "w64", "hls", "dash", "concat", "tty"}


# ---- names ----------------------------------------------------------------------------------------------------------

CHARACTERS = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])


@pytest.mark.parametrize(
    "name",
    [
        "-i",
        "-y",
        "http:song.m4a",
        "http:\\\\x",
        "concat:a|b",
        "pipe:0",
        "file:x",
        "data:,x",
        "a\nb.m4a",
        "%d.m4a",
        "#?&",
    ],
)
def test_a_name_is_a_name(m4a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes(m4a.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(decode(Path(name), 16_000)) == round(16_000 * TONE_S)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(CHARACTERS, min_size=1, max_size=40))
@example(name="\x1b[31m%s%n")
@example(name="subfile,,start,0,end,9,,:x")
def test_any_name_is_a_name(m4a: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = tmp_path_factory.mktemp("wild") / f"{name}.m4a"
    path.symlink_to(m4a)
    with SampleStream(path, 16_000) as stream:
        assert stream.n_samples == round(16_000 * TONE_S)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text(m4a: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.m4a")
    path.write_bytes(m4a.read_bytes())
    assert len(decode(path, 16_000)) == round(16_000 * TONE_S)


# ---- nothing stays behind -------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that was started."""
    found: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            found.append(self)

    monkeypatch.setattr("subprocess.Popen", Noted)
    return found


def all_ended(processes: list[subprocess.Popen[bytes]]) -> bool:
    """Ended and waited for; `poll` would wait for them itself."""
    return all(process.returncode is not None for process in processes)


def test_a_stream_that_is_closed_early_ends_its_process(
    m4a: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affekt.audio.decode.BLOCK_FRAMES", 1_000)
    with SampleStream(m4a, 16_000) as stream:
        next(iter(stream))
        assert len(started) == 2 and started[-1].poll() is None  # it waits for a reader
    assert all_ended(started)


def test_no_process_is_left_of_a_file_that_is_only_opened_or_refused(
    m4a: Path, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    FfmpegFile(PROGRAM, m4a).close()
    (tmp_path / "text.m4a").write_text("no song\n" * 500)
    assert_refused(tmp_path / "text.m4a", "not audio")
    assert len(started) == 2 and all_ended(started)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=200))
def test_no_damage_raises_anything_but_an_audio_error(
    m4a: Path,
    tmp_path_factory: pytest.TempPathFactory,
    started: list[subprocess.Popen[bytes]],
    at: float,
    junk: bytes,
) -> None:
    data = bytearray(m4a.read_bytes())
    first = int(at * (len(data) - len(junk)))
    data[first : first + len(junk)] = junk
    path = tmp_path_factory.mktemp("wild") / "wild.m4a"
    path.write_bytes(data)
    with contextlib.suppress(AudioError):
        assert np.isfinite(decode(path, 16_000)).all()
    assert started and all_ended(started)
