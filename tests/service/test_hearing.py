"""Within its limits a stream is that of `SampleStream`; beyond them it ends, whatever the header says."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from affekt.audio.decode import BLOCK_FRAMES, decode
from affekt.service.hearing import N_BARS, BoundedStream
from affekt.service.limits import STATUS, Limits, Refused

RATE_HZ = 8_000
LATER = time.monotonic() + 1e6


@pytest.fixture(scope="module")
def long_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than two blocks of decoding, the second half louder."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    samples = np.random.default_rng(0).integers(-8000, 8000, 2 * BLOCK_FRAMES + 5000, np.int16)
    samples[: len(samples) // 2] //= 4
    sf.write(path, samples, RATE_HZ)
    return path


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 2_000])
def test_samples_are_those_of_the_file(long_song: Path, rate_hz: int) -> None:
    with BoundedStream(long_song, rate_hz, Limits(), LATER) as stream:
        found = stream.read()
    np.testing.assert_array_equal(found, decode(long_song, rate_hz))


def test_bars_are_the_highest_levels_of_equal_parts(long_song: Path) -> None:
    with BoundedStream(long_song, RATE_HZ, Limits(), LATER) as stream:
        samples = np.abs(stream.read())
    edges = np.arange(N_BARS + 1) * len(samples) // N_BARS
    expected = [samples[low:high].max() for low, high in itertools.pairwise(edges)]
    np.testing.assert_array_equal(stream.bars, np.array(expected, np.float32))


def test_bars_of_a_track_of_a_few_samples(tmp_path: Path) -> None:
    sf.write(tmp_path / "few.wav", np.full(10, 0.5), RATE_HZ)
    with BoundedStream(tmp_path / "few.wav", RATE_HZ, Limits(), LATER) as stream:
        stream.read()
    assert np.count_nonzero(stream.bars) == 10


def test_a_header_that_says_too_much_is_refused_before_decoding(long_song: Path) -> None:
    with pytest.raises(Refused, match="longer than 1 min") as refused:
        BoundedStream(long_song, RATE_HZ, Limits(duration_s=60), LATER)
    assert refused.value.code == "too_long"


def test_a_stream_that_gives_more_than_its_header_says_is_stopped(long_song: Path) -> None:
    """Decoders stop at what the header says, today; this one acts as if it had said little."""
    stream = BoundedStream(long_song, RATE_HZ, Limits(), LATER)
    stream._most = 10_000
    with stream, pytest.raises(Refused) as refused:
        next(iter(stream))
    assert refused.value.code == "too_long"


def test_a_stream_is_stopped_when_its_time_is_over(long_song: Path) -> None:
    stream = BoundedStream(long_song, RATE_HZ, Limits(), time.monotonic() - 1)
    with stream, pytest.raises(Refused) as refused:
        stream.read()
    assert refused.value.code == "too_slow" and refused.value.status == 503


def test_refusals_are_json() -> None:
    assert Refused("busy", "Later.").as_dict() == {"error": {"code": "busy", "message": "Later."}}
    assert all(400 <= status < 500 or status == 503 for status in STATUS.values())
