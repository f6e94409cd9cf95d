"""Formats that libsndfile does not know (AAC in m4a, WMA, AC-3, WavPack, Matroska, ...), decoded by the program ffmpeg.

It is asked only where libsndfile says that it does not know a format at all, so results for what libsndfile reads never
depend on whether ffmpeg is there; and only for formats on a list (`DEMUXERS`), none of which plays other files, lists
of files or addresses. The file's name is handed over as `file:` and an absolute path, so that no name means something
else ("-i", "http:...", "concat:...").

Samples come through a pipe, at the file's own rate, as an AU stream: its head of 24 bytes says rate and channels, for
which other ways need ffprobe or the reading of messages. A file is decoded once when it is opened, for the number of
its frames, and again when it is read: memory is that of one block.

What is known about a file that was cut short: ffmpeg stops at the first error of a decoder, and what it gives must be
as long as the container promises. Where the container holds moving pictures, which may be longer than the sound, or
promises nothing (raw AAC and AC-3), a loss between two packets is not seen.
"""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from affekt.audio.integrity import complain_if_cut
from affekt.errors import AudioError

#: What ffmpeg may take a file for; what libsndfile reads is not among them.
DEMUXERS = (
    *("mov", "asf", "aac", "ac3", "eac3", "dts", "dtshd", "truehd", "loas", "matroska", "avi", "flv", "mpegts"),
    *("mpeg", "wv", "ape", "tta", "tak", "mpc", "mpc8", "shn", "amr", "dsf", "iff", "oma", "rm", "qoa"),
)
#: Encoders of these formats leave out or add as much at the ends.
SLACK_S = 0.2
MOST_MESSAGES = 1 << 20  # bytes that are read of what ffmpeg writes
_AU_HEAD = struct.Struct(">4sIIIII")  # magic, offset of the samples, bytes, encoding, rate, channels
_AU_FLOAT = 6
_MOST_NOTES = 1 << 20  # bytes that may stand between an AU head and the samples
_COUNTED = 1 << 20  # bytes at a time where frames are counted
_DURATION = re.compile(r"^\[info\] +Duration: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_PICTURES = re.compile(r"^\[info\] +Stream #0:(?!.*\(attached pic\)).*: Video: ", re.MULTILINE)
_COMPLAINT = re.compile(r"^(?:\[[^]\n]*\] )*\[(?:error|fatal)\] (.*)$", re.MULTILINE)


class _Head(NamedTuple):
    samplerate: int
    channels: int


class _Decoder:
    """One run of ffmpeg over a file.

    Raises:
        AudioError: it is not audio that ffmpeg reads, or ffmpeg cannot be started.
    """

    def __init__(self, program: str, path: Path) -> None:
        self._path = path
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        try:
            self._process = subprocess.Popen(
                _command(program, path),
                stdin=subprocess.DEVNULL,  # a worker's own is where its tasks come from
                stdout=subprocess.PIPE,
                stderr=self._messages,
                start_new_session=True,  # Ctrl-C is answered by this process, which then ends ffmpeg
            )
        except OSError as error:
            self._messages.close()
            raise AudioError(
                f"{path}: {program} cannot be started ({error.strerror}). Install ffmpeg again, or convert the file."
            ) from None
        self._pipe = cast(io.BufferedReader, self._process.stdout)
        try:
            self.head = self._read_head()
        except BaseException:
            self.close()
            raise

    def read(self, n_bytes: int) -> bytearray:
        """The next bytes of samples; fewer at the end alone.

        Raises:
            AudioError: ffmpeg ended with an error.
        """
        found = bytearray(n_bytes)
        del found[self._pipe.readinto(found) :]
        if len(found) < n_bytes and self._process.wait():
            raise AudioError(
                f"{self._path}: is damaged or cut short (ffmpeg: {self._complaint()}). Fetch it again or remove it."
            )
        return found

    def messages(self) -> str:
        """What ffmpeg wrote so far."""
        self._messages.seek(0)
        return self._messages.read(MOST_MESSAGES).decode(errors="replace")

    def close(self) -> None:
        """End ffmpeg at once, wherever it is."""
        self._process.kill()
        self._pipe.close()
        self._process.wait()
        self._messages.close()

    def _read_head(self) -> _Head:
        head = self._pipe.read(_AU_HEAD.size)
        if len(head) == _AU_HEAD.size:
            magic, offset, _, encoding, rate_hz, n_channels = _AU_HEAD.unpack(head)
            n_notes = offset - _AU_HEAD.size
            if magic == b".snd" and encoding == _AU_FLOAT and 0 <= n_notes <= _MOST_NOTES and n_channels:
                self._pipe.read(n_notes)
                return _Head(rate_hz, n_channels)
            self._process.kill()  # it would wait for a reader
        self._process.wait()
        raise AudioError(
            f"{self._path}: is not audio that can be read (ffmpeg: {self._complaint()}). Convert the file or remove it."
        )

    def _complaint(self) -> str:
        """The first one: those that follow come of it."""
        found = _COMPLAINT.search(self.messages().replace(f"whitelist '{','.join(DEMUXERS)}'", "list"))
        return found[1].strip().rstrip(".")[:200] if found else f"exit code {self._process.returncode}"


class FfmpegFile:
    """A file that ffmpeg decodes, with what `SampleStream` asks of a `soundfile.SoundFile`.

    Args:
        program: ffmpeg, as of `program`.
        path: the file.

    Attributes:
        samplerate: of the file, in Hz.
        channels: how many.
        frames: how many there are: counted.
        format: what a message calls it.
        extra_info: remarks of libsndfile: none.

    Raises:
        AudioError: it is not audio that ffmpeg reads, damaged, or shorter than its container promises.
    """

    format, extra_info = "ffmpeg", ""

    def __init__(self, program: str, path: Path) -> None:
        self._program, self._path = program, path
        self._decoder: _Decoder | None = None
        decoder = _Decoder(program, path)
        try:
            self.samplerate, self.channels = decoder.head
            n_bytes = 0
            while block := decoder.read(_COUNTED):
                n_bytes += len(block)
            promised_s = _promised_s(decoder.messages())
        finally:
            decoder.close()
        self.frames = n_bytes // self._frame_bytes
        if promised_s is not None:
            complain_if_cut(path, self.frames, round((promised_s - SLACK_S) * self.samplerate), self.samplerate)

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next frames, shape (n_frames, n_channels); fewer at the end, then none.

        Raises:
            AudioError: ffmpeg ended with an error.
        """
        assert dtype == "float32" and always_2d  # nothing else is asked for
        if self._decoder is None:
            self._decoder = _Decoder(self._program, self._path)
        data = self._decoder.read(frames * self._frame_bytes)
        whole = len(data) // self._frame_bytes
        samples = np.frombuffer(data, ">f4", whole * self.channels).byteswap(inplace=True).view("<f4")
        return samples.reshape(whole, self.channels)

    def close(self) -> None:
        """End what still runs."""
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    @property
    def _frame_bytes(self) -> int:
        return 4 * self.channels


def program() -> str | None:
    """Where ffmpeg lies on the PATH; None where it does not."""
    return shutil.which("ffmpeg")


def _command(program: str, path: Path) -> list[str]:
    bounds = ["-protocol_whitelist", "file,pipe", "-format_whitelist", ",".join(DEMUXERS)]
    told = ["-nostdin", "-hide_banner", "-nostats", "-v", "level+info"]  # the length is told at this level
    return [
        *(program, *told, "-xerror", *bounds, "-i", f"file:{path.absolute()}"),
        *("-map", "0:a:0", "-vn", "-threads", "1", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"),
    ]


def _promised_s(messages: str) -> float | None:
    """The length that the container states, in seconds; None where ffmpeg guessed it, or pictures may be longer."""
    found = _DURATION.findall(messages)
    if not found or "Estimating duration from bitrate" in messages or _PICTURES.search(messages):
        return None
    hours, minutes, seconds = found[-1]
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
