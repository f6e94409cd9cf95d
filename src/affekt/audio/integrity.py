"""Is a file whole? What a container promises, against what lies in it.

libsndfile plays what it finds: a download that stopped half way, decoded without a word, is half a song with the whole
song's annotation. What can be known depends on the container.

- MP3 with a Xing, Info or VBRI header (nearly every encoder writes one): the header counts the frames, and decoding
  must deliver that many.
- MP3 without one: the chain of frame headers is walked, and the last frame must end within the file. A cut that falls
  between two frames leaves no trace (one cut in four hundred, at random). The walk also mends a second fault:
  libsndfile takes the length from the first frame's bit rate, so that of a song with variable bit rate it would
  silently play a part; such a file is opened behind an Info header with the true count.
- FLAC: the header counts the samples, and the decoder reports a frame that is cut.
- WAV, AIFF, AU, W64, RF64, SVX: the length of the data chunk, against the bytes that are there. Lengths that mean "not
  known", as written to a pipe, promise nothing.
- Ogg (Vorbis, Opus, FLAC): the last page must be whole and marked as the end of the stream (RFC 3533).
- Other containers libsndfile corrects silently, and so nothing is known.

A loss below `TOLERANCE_S` is accepted: encoders disagree by up to a frame about their own delay and padding.
"""

from __future__ import annotations

import io
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import soundfile

from affekt.errors import AudioError

TOLERANCE_S = 0.1
FROM_A_PIPE = 0x7FFF0000  # sizes from here to 2**32 are what writers put who could not know the length
_CLAIM = re.compile(r"^ *(?:data|SSND|BODY|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_PAGE_LIMIT = 65_307  # bytes: 27 of header, 255 of segment table, 255 segments of 255
_OGG_END_OF_STREAM = 0x04
_XING_HAS_COUNT = 0x01
# kbit/s by (MPEG-1?, layer) and the index 1 to 14 of the frame header; ISO 11172-3 and 13818-3
_KBPS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG1_RATES_HZ = (44_100, 48_000, 32_000)
_RATE_DIVISOR = {3: 1, 2: 2, 0: 4}  # version bits: MPEG-1, MPEG-2, MPEG-2.5


def open_whole(path: Path) -> soundfile.SoundFile:
    """Open an audio file so that all of it can be read.

    Raises:
        AudioError: an MP3 without a length header, or an Ogg file, ends in the middle.
        soundfile.SoundFileError: libsndfile cannot open it.
    """
    file = soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path))  # names may be no text
    try:
        if file.format == "OGG":
            _check_ogg_end(path)
        if file.format == "MP3" and not _has_length_header(path):
            return _open_counted(path, file)
    except BaseException:
        file.close()
        raise
    return file


def promised_frames(file: soundfile.SoundFile) -> int:
    """How many frames the header promises; where libsndfile corrected the number, as it stood before."""
    promised = file.frames
    for claimed, found in _CLAIM.findall(file.extra_info):
        if int(found) > 0 and int(claimed) < FROM_A_PIPE:
            promised = max(promised, file.frames * int(claimed) // int(found))
    return promised


def complain_if_cut(path: Path, n_found: int, n_promised: int, rate_hz: int) -> None:
    """Raise where more than `TOLERANCE_S` of the promised frames, or all of them, are missing.

    Raises:
        AudioError: with both lengths.
    """
    if n_found == 0 or n_promised - n_found > TOLERANCE_S * rate_hz:
        raise AudioError(
            f"{path}: is cut short or damaged: its header promises {n_promised / rate_hz:.1f} s, and "
            f"{n_found / rate_hz:.1f} s are there. Fetch it again or remove it."
        )


def _check_ogg_end(path: Path) -> None:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 2 * _OGG_PAGE_LIMIT))
        tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    n_segments = page[26] if len(page) > 26 else 255
    size = 27 + n_segments + sum(page[27 : 27 + n_segments])
    if len(page) < size or not page[5] & _OGG_END_OF_STREAM:
        raise AudioError(f"{path}: is cut short: the end of its Ogg stream is missing. Fetch it again or remove it.")


# ---- MPEG audio -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _MpegFrame:
    kind: tuple[int, int, int]  # version bits, layer, sample rate: the same throughout a stream
    n_bytes: int
    n_samples: int


def _parse_frame(data: bytes, at: int) -> _MpegFrame | None:
    """The frame whose header stands at `at`; None where there is none (or free format, whose length is unknown)."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    kbps_index, rate_index, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer == 4 or kbps_index in (0, 15) or rate_index == 3:
        return None
    rate_hz = _MPEG1_RATES_HZ[rate_index] // _RATE_DIVISOR[version]
    bits_per_s = 1000 * _KBPS[version == 3, layer][kbps_index - 1]
    n_samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot = 4 if layer == 1 else 1  # padding is one slot
    n_bytes = (n_samples // 8 // slot * bits_per_s // rate_hz + padding) * slot
    return _MpegFrame((version, layer, rate_hz), n_bytes, n_samples)


def _has_length_header(path: Path) -> bool:
    """Whether the first frame holds a count of frames (Xing and Info may be there without one)."""
    with path.open("rb") as stream:
        stream.seek(_skip_id3(stream))
        first = stream.read(64).ljust(128, b"\0")
    xing = max(first.find(b"Xing"), first.find(b"Info"))
    return b"VBRI" in first or (xing >= 0 and _XING_HAS_COUNT & first[xing + 7] > 0)


def _skip_id3(stream: BinaryIO) -> int:
    """Where the audio begins: behind the ID3v2 tags at the head of the file."""
    at = 0
    while True:
        stream.seek(at)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return at
        size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        at += 10 + size + (10 if head[5] & 0x10 else 0)  # a footer, where the flag is set


def _open_counted(path: Path, file: soundfile.SoundFile) -> soundfile.SoundFile:
    """An MP3 without length header: `file` itself where its guess is right, otherwise behind a header that counts."""
    data = path.read_bytes()
    start, n_frames, n_missing = _walk(data, _skip_id3(io.BytesIO(data)))
    if n_missing:
        raise AudioError(
            f"{path}: is cut short: its last MPEG frame lacks {n_missing} bytes. Fetch it again or remove it."
        )
    first = _parse_frame(data, start)
    if first is None or first.kind[1] != 3:  # the header exists for layer III alone
        return file
    if abs(n_frames * first.n_samples - file.frames) <= TOLERANCE_S * file.samplerate:
        return file
    file.close()
    return soundfile.SoundFile(io.BytesIO(_info_frame(data[start : start + 4], n_frames) + data[start:]))


def _walk(data: bytes, at: int) -> tuple[int, int, int]:
    """Follow the chain of frames: where it begins, how many there are, how many bytes the last one lacks."""
    start = at = _next_frame(data, at, None)
    first = _parse_frame(data, at)
    n_frames = 0
    while first is not None and at < len(data):
        frame = _parse_frame(data, at)
        if frame is None or frame.kind != first.kind:
            at = _next_frame(data, at, first.kind)  # damage, or a tag behind the last frame
            continue
        at += frame.n_bytes
        n_frames += at <= len(data)
        if at > len(data):
            return start, n_frames, at - len(data)
    return start, n_frames, 0


def _next_frame(data: bytes, at: int, kind: tuple[int, int, int] | None) -> int:
    """The next place from `at` where two frames follow each other; the end of the data where there is none."""
    while (at := data.find(b"\xff", at)) >= 0:
        frame = _parse_frame(data, at)
        if frame is not None and kind in (None, frame.kind):
            after = _parse_frame(data, at + frame.n_bytes)
            if after is not None and after.kind == frame.kind:
                return at
        at += 1
    return len(data)


def _info_frame(header: bytes, n_frames: int) -> bytes:
    """A silent layer III frame with the header's own settings, whose Info tag says how many frames follow."""
    first, second, third, fourth = header
    # no checksum; the ninth bit rate (64 kbit/s or more), so that the tag fits whatever the stream's own rate is
    header = bytes([first, second | 1, 9 << 4 | third & 0x0F, fourth])
    mpeg1, mono = second >> 3 & 3 == 3, fourth >> 6 == 3
    n_side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    tag = header + bytes(n_side_info) + b"Info" + struct.pack(">II", _XING_HAS_COUNT, n_frames)
    frame = _parse_frame(header, 0)
    return tag.ljust(frame.n_bytes if frame else 0, b"\0")
