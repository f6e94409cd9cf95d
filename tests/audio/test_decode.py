"""Decoding: what comes out of every kind of file, and what is refused."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.audio.decode import SampleStream, decode
from affekt.audio.integrity import _has_length_header, _parse_frame, _walk
from affekt.errors import AudioError

TONE_HZ = 440.0
LEVEL = 0.5


def tone(rate_hz: int, duration_s: float = 2.0, n_channels: int = 1) -> np.ndarray:
    """A sine of 440 Hz and amplitude 0.5, the same in every channel, shape (n_frames, n_channels)."""
    wave = LEVEL * np.sin(2 * np.pi * TONE_HZ * np.arange(round(rate_hz * duration_s)) / rate_hz)
    return np.repeat(wave[:, None], n_channels, axis=1)


def varied(rate_hz: int, duration_s: float) -> np.ndarray:
    """Silence, then noise: an MP3 of it starts at the lowest bit rate and ends at a high one."""
    n = round(rate_hz * duration_s)
    return np.random.default_rng(0).normal(scale=0.2, size=n) * (np.arange(n) > n / 3)


def write_mp3(path: Path, samples: np.ndarray, rate_hz: int, mode: str = "CONSTANT", level: float = 0.5) -> Path:
    soundfile.write(path, samples, rate_hz, format="MP3", bitrate_mode=mode, compression_level=level)
    return path


def without_length_header(path: Path) -> Path:
    """Drop the first frame, which holds nothing but the Xing or Info tag."""
    data = path.read_bytes()
    first = _parse_frame(data, 0)
    assert first is not None and _has_length_header(path)
    path.write_bytes(data[first.n_bytes :])
    assert not _has_length_header(path)
    return path


def cut(path: Path, n_bytes: int) -> Path:
    path.write_bytes(path.read_bytes()[:n_bytes])
    return path


def half(path: Path) -> Path:
    return cut(path, path.stat().st_size // 2)


# ---- what comes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 2, 6])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 96_000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_a_sine_keeps_frequency_and_amplitude(tmp_path: Path, subtype: str, rate_hz: int, n_channels: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate_hz, n_channels=n_channels), rate_hz, subtype=subtype)
    audio = decode(path, 16_000)
    assert audio.dtype == np.float32 and audio.shape == (32_000,)
    middle = slice(4_000, 28_000)  # away from the ends, where the resampler rings
    expected = tone(16_000)[:, 0]
    assert np.abs(audio[middle] - expected[middle]).max() < (0.01 if subtype == "PCM_U8" else 1e-3)


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        ("flac", {}),
        ("ogg", {}),
        ("opus", {"format": "OGG", "subtype": "OPUS"}),
        ("aiff", {}),
        ("mp3", {}),
        ("w64", {}),
        ("rf64", {}),
        ("au", {}),
        ("caf", {}),
    ],
)
def test_every_usual_format_is_read(tmp_path: Path, extension: str, options: dict[str, str]) -> None:
    path = tmp_path / f"tone.{extension}"
    soundfile.write(path, tone(48_000, n_channels=2), 48_000, **options)
    audio = decode(path, 16_000)
    assert len(audio) == pytest.approx(32_000, abs=200)
    spectrum = np.abs(np.fft.rfft(audio[8_000:24_000]))  # 1 s: bins of 1 Hz
    assert np.argmax(spectrum) == TONE_HZ
    assert 2 * spectrum.max() / 16_000 == pytest.approx(LEVEL, rel=0.05)


def test_all_channels_weigh_the_same(tmp_path: Path) -> None:
    path = tmp_path / "levels.wav"
    soundfile.write(path, np.tile([0.6, 0.0, -0.3], (16_000, 1)), 16_000, subtype="FLOAT")
    assert np.allclose(decode(path, 16_000), 0.1, atol=1e-6)


def test_a_file_longer_than_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(44_100, n_channels=2), 44_100)
    at_once = decode(path, 16_000)
    monkeypatch.setattr("affekt.audio.decode.BLOCK_FRAMES", 1_000)
    assert np.array_equal(decode(path, 16_000), at_once)


def test_a_wave_file_from_a_pipe_has_no_length_and_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    soundfile.write(path, tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(decode(path, 16_000)) == 32_000


@pytest.mark.parametrize("rate_hz", [44_100, 22_050, 8_000])
def test_an_mp3_of_variable_bit_rate_without_length_header_is_read_to_its_end(tmp_path: Path, rate_hz: int) -> None:
    path = write_mp3(tmp_path / "vbr.mp3", varied(rate_hz, 12.0), rate_hz, mode="VARIABLE")
    whole = decode(path, 16_000)
    without_length_header(path)
    bare = decode(path, 16_000)
    assert len(bare) == pytest.approx(len(whole), abs=4_000)  # encoder delay and padding are unknown now
    loud = np.sqrt(np.mean(bare[-32_000:-8_000] ** 2))
    assert loud == pytest.approx(np.sqrt(np.mean(whole[-32_000:-8_000] ** 2)), rel=0.05)


def test_a_xing_tag_without_a_count_is_no_length_header(tmp_path: Path) -> None:
    path = write_mp3(tmp_path / "vbr.mp3", varied(44_100, 12.0), 44_100, mode="VARIABLE")
    whole = decode(path, 16_000)
    data = bytearray(path.read_bytes())
    data[max(data.find(b"Xing"), data.find(b"Info")) + 7] &= ~1
    path.write_bytes(data)
    assert len(decode(path, 16_000)) == pytest.approx(len(whole), abs=4_000)


def test_tags_around_an_mp3_without_length_header_are_not_a_cut(tmp_path: Path) -> None:
    path = without_length_header(write_mp3(tmp_path / "bare.mp3", varied(44_100, 4.0), 44_100))
    bare = decode(path, 16_000)
    id3v2 = b"ID3\x03\x00\x00\x00\x00\x02\x00" + bytes(256)
    path.write_bytes(id3v2 + path.read_bytes() + b"TAG" + b"\xff" * 125)
    assert len(decode(path, 16_000)) == len(bare)


# ---- what is refused ------------------------------------------------------------------------------------------------


def assert_refused(path: Path, reason: str) -> None:
    with pytest.raises(AudioError, match=reason) as caught:
        decode(path, 16_000)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere.mp3", "no such file")


def test_a_folder(tmp_path: Path) -> None:
    assert_refused(tmp_path, "is a folder")


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_named_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert_refused(tmp_path / "pipe.wav", "not a regular file")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert_refused(tmp_path / "empty.wav", "empty")


@pytest.mark.parametrize("name", ["notes.mp3", "notes.wav", "notes.raw", "notes"])
def test_text_is_not_audio(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not a song\n" * 500)
    assert_refused(tmp_path / name, "not audio")


def test_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    assert_refused(tmp_path / "none.wav", "no samples")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_sound(tmp_path: Path, value: float) -> None:
    samples = tone(16_000, n_channels=2)
    samples[1_000, 1] = value
    soundfile.write(tmp_path / "bad.wav", samples, 16_000, subtype="FLOAT")
    assert_refused(tmp_path / "bad.wav", "not finite")


def test_a_rate_that_cannot_be(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", tone(16_000), 2)
    assert_refused(tmp_path / "slow.wav", "sample rate of 2 Hz")


def test_a_flac_from_a_pipe_has_no_length(tmp_path: Path) -> None:
    path = tmp_path / "pipe.flac"
    soundfile.write(path, tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # STREAMINFO's count of samples
    path.write_bytes(data)
    assert_refused(path, "does not say how long")


@pytest.mark.parametrize("extension", ["wav", "flac", "aiff", "au", "w64", "rf64", "ogg"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_container_cut_short(tmp_path: Path, extension: str, part: float) -> None:
    path = tmp_path / f"cut.{extension}"
    soundfile.write(path, varied(44_100, 10.0), 44_100)
    decode(path, 16_000)
    assert_refused(cut(path, int(part * path.stat().st_size)), "cut short|no samples")


def test_an_opus_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.opus"
    soundfile.write(path, varied(48_000, 10.0), 48_000, format="OGG", subtype="OPUS")
    decode(path, 16_000)
    assert_refused(half(path), "cut short")


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_an_mp3_cut_short(tmp_path: Path, mode: str, part: float) -> None:
    path = write_mp3(tmp_path / "cut.mp3", varied(44_100, 10.0), 44_100, mode)
    decode(path, 16_000)
    assert_refused(cut(path, int(part * path.stat().st_size)), "cut short")


def test_an_mp3_without_length_header_cut_short(tmp_path: Path) -> None:
    path = without_length_header(write_mp3(tmp_path / "cut.mp3", varied(44_100, 10.0), 44_100))
    data = path.read_bytes()
    second = _parse_frame(data, 0)
    assert second is not None
    assert_refused(cut(path, 100 * second.n_bytes), "last MPEG frame lacks")  # frames differ by a byte: not a border


def test_an_mp3_cut_between_frames_without_length_header_cannot_be_told(tmp_path: Path) -> None:
    """The limit of what can be known, so that nobody relies on more."""
    path = without_length_header(write_mp3(tmp_path / "cut.mp3", varied(44_100, 4.0), 44_100))
    data = path.read_bytes()
    at = 0
    while at < len(data) // 2:
        frame = _parse_frame(data, at)
        assert frame is not None
        at += frame.n_bytes
    assert _walk(data[:at], 0)[2] == 0
    assert 0 < len(decode(cut(path, at), 16_000)) < 3 * 16_000


def test_a_length_that_no_memory_can_hold(tmp_path: Path) -> None:
    path = write_mp3(tmp_path / "boast.mp3", varied(44_100, 2.0), 44_100)
    data = bytearray(path.read_bytes())
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    data[tag + 8 : tag + 12] = struct.pack(">I", 0x7FFFFFFF)
    path.write_bytes(data)
    assert_refused(path, "cut short")


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=600), head=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3\x03", b"\xff\xfb\x90"])
)
def test_no_bytes_raise_anything_but_an_audio_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes
) -> None:
    path = tmp_path_factory.mktemp("wild") / "wild.mp3"
    path.write_bytes(head + data)
    try:
        audio = decode(path, 16_000)
    except AudioError:
        return
    assert np.isfinite(audio).all()


def test_decoding_and_cutting_do_not_load_torch() -> None:
    code = (
        "import affekt.audio.decode, affekt.audio.clips, affekt.audio.descriptors, sys; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.skipif(
    "AFFEKT_TEST_DATA" not in os.environ, reason="AFFEKT_TEST_DATA does not name a folder of real songs"
)
def test_real_songs_pass_whole_and_fail_halved(tmp_path: Path) -> None:
    songs = sorted(Path(os.environ["AFFEKT_TEST_DATA"]).rglob("*.mp3"))
    assert songs
    for song in songs[:: max(1, len(songs) // 50)]:
        assert len(decode(song, 16_000)) > 16_000
        copy = tmp_path / "half.mp3"
        copy.write_bytes(song.read_bytes())
        assert_refused(half(copy), "cut short")


# ---- piece by piece -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100])
def test_pieces_are_the_whole_and_their_number_is_known_before(
    tmp_path: Path, rate_hz: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, 0.3 * np.random.default_rng(0).standard_normal((3 * rate_hz + 17, 2)).clip(-3, 3), rate_hz)
    whole = decode(path, 16_000)
    monkeypatch.setattr("affekt.audio.decode.BLOCK_FRAMES", 10_000)
    with SampleStream(path, 16_000) as stream:
        n_samples, pieces = stream.n_samples, list(stream)
    assert len(pieces) > 3 and n_samples == len(whole)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_file_that_is_cut_short_is_told_before_its_last_samples_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, tone(16_000, 4.0), 16_000)
    half(path)
    monkeypatch.setattr("affekt.audio.decode.BLOCK_FRAMES", 4_000)
    given = 0
    with SampleStream(path, 16_000) as stream, pytest.raises(AudioError, match="cut short"):
        for piece in stream:
            given += len(piece)
    assert given < 32_000
