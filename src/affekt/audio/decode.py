"""A file to samples: any format libsndfile or ffmpeg reads, any rate and channels, to float32 mono at one rate.

Conventions: all channels weigh the same in the downmix (the centre and low-frequency channels of 5.1 included);
resampling is soxr at high quality; loudness is left as it is. Files are read, mixed down and resampled block by block;
the blocks come to the same samples, bit for bit, as the whole at once.

Every way in which a file fails to be one whole song is an `AudioError` that names the file; `integrity.py` says what
can be known about a file that was cut short.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from affekt.audio import ffmpeg
from affekt.audio.integrity import complain_if_cut, open_whole, promised_frames
from affekt.errors import AudioError

BLOCK_FRAMES = 1 << 22  # 95 s at 44.1 kHz: most songs are one block, and a long mix needs 32 MiB of stereo at a time
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000  # beyond these the header is damaged, not the music unusual
FULL_SCALE = 0.999  # of 16 bits, all but the last 33 steps
LOUDEST = 1e9  # full scale is 1, and 32768 in careless float files; beyond this it is not sound
UNKNOWN_FORMAT = 1  # libsndfile's code for a file that is none of its formats; damage to one of them has other codes
READABLE = "WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF and whatever else libsndfile reads"


def decode(path: Path, sample_rate_hz: int) -> np.ndarray:
    """The whole song as mono samples.

    Args:
        path: an audio file.
        sample_rate_hz: the rate wanted.

    Returns:
        Samples, float32, shape (n_samples,), full scale at 1.

    Raises:
        AudioError: the file is missing, a folder, empty, not audio, without samples, damaged or cut short, or holds
            samples that are not finite.
    """
    with SampleStream(path, sample_rate_hz) as stream:
        return stream.read()


def samples_digest(path: Path) -> str:
    """Hash of what a file sounds like: rate, channels and every sample as it is decoded; errors as of `decode`."""
    sha = hashlib.sha256()
    with _told(path):
        _check_is_file(path)
        with contextlib.closing(_opened(path)) as file:
            sha.update(f"{file.samplerate} {file.channels}".encode())
            while len(samples := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                sha.update(samples.tobytes())
    return sha.hexdigest()


@dataclass
class Level:
    """How loud a track is, as far as it was read; full scale is 1.

    Attributes:
        peak: of the mono samples before resampling.
        n_full: how many of them lie at full scale.
        n_frames: how many there were.
    """

    peak: float = 0.0
    n_full: int = 0
    n_frames: int = 0

    def note(self, mono: np.ndarray, peak: float) -> None:
        """Count some more samples, whose peak is known."""
        self.peak = max(self.peak, peak)
        self.n_frames += len(mono)
        if peak >= FULL_SCALE:
            self.n_full += int(np.count_nonzero(np.abs(mono) >= FULL_SCALE))


class SampleStream:
    """The samples that `decode` gives, piece by piece: memory is that of one block, however long the song.

    A context manager, to be iterated over once. Arguments and errors are those of `decode`; that a file is cut short is
    known, and told, at its end.

    Attributes:
        n_samples: how many there will be, as far as the file's header says it rightly.
        level: of what was read so far.
    """

    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        self._path = Path(path)
        self._sample_rate_hz = sample_rate_hz
        with _told(self._path):
            _check_is_file(self._path)
            self._file = _opened(self._path)
            try:
                _check_header(self._path, self._file)
            except BaseException:
                self._file.close()
                raise
        self.n_samples = round(self._file.frames * sample_rate_hz / self._file.samplerate)
        self.level = Level()

    def __enter__(self) -> SampleStream:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        resampler, n_found = None, 0
        with _told(self._path):
            ahead = self._block()
            while len(ahead):
                block, ahead = ahead, self._block()
                n_found += len(block)
                if not len(ahead):  # before the last samples are given away
                    complain_if_cut(self._path, n_found, promised_frames(self._file), self._file.samplerate)
                if self._file.samplerate == self._sample_rate_hz:
                    yield block
                elif n_found == len(block) and not len(ahead):  # most songs are one block, and one call is quicker
                    yield soxr.resample(block, self._file.samplerate, self._sample_rate_hz, quality="HQ")
                else:
                    resampler = resampler or self._resampler()
                    yield resampler.resample_chunk(block, last=not len(ahead))
        if not n_found:
            complain_if_cut(self._path, 0, promised_frames(self._file), self._file.samplerate)

    def read(self) -> np.ndarray:
        """All samples at once, shape (n_samples,)."""
        pieces = list(self)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _block(self) -> np.ndarray:
        """The next frames, mixed down, shape (n_frames,); empty at the end."""
        mono = _mixed_down(self._file.read(BLOCK_FRAMES, dtype="float32", always_2d=True))
        if len(mono):
            self.level.note(mono, _checked_peak(self._path, mono))
        return mono

    def _resampler(self) -> soxr.ResampleStream:
        return soxr.ResampleStream(self._file.samplerate, self._sample_rate_hz, 1, dtype="float32", quality="HQ")


def _opened(path: Path) -> soundfile.SoundFile | ffmpeg.FfmpegFile:
    """By libsndfile, or by ffmpeg where libsndfile knows no such format."""
    try:
        return open_whole(path)
    except soundfile.LibsndfileError as error:
        if error.code != UNKNOWN_FORMAT:
            raise
        program = ffmpeg.program()
        if program is None:
            raise AudioError(
                f"{path}: {_why(error)}. Readable are {READABLE}, and m4a, wma and more once ffmpeg is on the PATH: "
                "install ffmpeg, convert the file, or remove it."
            ) from error
    return ffmpeg.FfmpegFile(program, path)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what libsndfile and the system complain of into an `AudioError`."""
    try:
        yield
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless formats such as .raw
        raise AudioError(f"{path}: {_why(error)}. Readable are {READABLE}; convert the file or remove it.") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error


def _mixed_down(block: np.ndarray) -> np.ndarray:
    """The mean over channels. Adding columns is fifty times faster than `mean(axis=1)`.

    A matrix product would be as fast on an idle machine, but it wakes all of BLAS's threads, which costs ten times the
    product itself where several songs are decoded side by side.
    """
    mono = block[:, 0]
    for channel in range(1, block.shape[1]):
        mono = mono + block[:, channel]
    return mono * np.float32(1 / block.shape[1]) if block.shape[1] > 1 else mono


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise AudioError(f"{path}: is a folder, not an audio file. Name a file in it.")
    if not path.exists():
        raise AudioError(f"{path}: no such file. Check the path.")
    if not path.is_file():
        raise AudioError(f"{path}: is not a regular file. Copy the audio to a file first.")
    with path.open("rb") as stream:  # an unreadable file fails here, with the system's own reason
        if not stream.read(1):
            raise AudioError(f"{path}: the file is empty (0 bytes). Fetch it again or remove it.")


def _check_header(path: Path, file: soundfile.SoundFile) -> None:
    if file.frames == 0:
        raise AudioError(f"{path}: holds no samples ({file.format}, 0 frames). Export it again or remove it.")
    if file.frames >= 1 << 62:
        raise AudioError(
            f"{path}: its {file.format} header does not say how long it is, as when written to a pipe. "
            f"Write it again to a file, for example: ffmpeg -i IN OUT.wav"
        )
    if not LOWEST_RATE_HZ <= file.samplerate <= HIGHEST_RATE_HZ:
        raise AudioError(
            f"{path}: its header gives a sample rate of {file.samplerate} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz "
            f"are possible. The header is damaged: export the file again."
        )


def _checked_peak(path: Path, mono: np.ndarray) -> float:
    peak = np.maximum(mono.max(), -mono.min())  # unlike max(), it lets a NaN through
    if not peak < LOUDEST:
        raise AudioError(
            f"{path}: holds samples that are not finite or out of all range (peak {peak:g}, full scale is 1). "
            f"Export it again or remove it."
        )
    return float(peak)


def _why(error: Exception) -> str:
    detail = getattr(error, "error_string", str(error)).strip().removeprefix("Error : ").rstrip(".")
    if "lost sync" in detail:
        return f"is damaged or cut short ({detail})"
    return f"is not audio that can be read ({detail or 'unknown format'})"
