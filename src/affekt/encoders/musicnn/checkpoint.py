"""Arrays from a TensorFlow checkpoint, without TensorFlow: nothing is unpickled, nothing is run.

A checkpoint is an index and a file of numbers. The index is a sorted table of names, as LevelDB writes them: blocks of
entries, each followed by one byte for its compression and four for its checksum; a block that lists the blocks; a
footer of 48 bytes that says where that one lies and ends in a magic number. A name is stored as what differs from the
name before it. A value is a protobuf message (BundleEntryProto: 1 type, 2 shape, 3 file, 4 offset, 5 size, 6 checksum,
7 slices) that says which bytes of the file of numbers are the array. Numbers are little-endian, lengths are varints.

Checksums are CRC-32C, rotated and shifted so that a checksum of checksums stays one. Both kinds are verified.

Source: LevelDB's doc/table_format.md; TensorFlow's tensor_bundle.proto.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Collection, Iterator

import numpy as np

from affekt.errors import WeightsError

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_FLOAT32 = 1
_UNCOMPRESSED = 0
_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, lowest bit first

Message = dict[int, list[int | bytes]]


def read_checkpoint(index: bytes, data: bytes, names: Collection[str]) -> dict[str, np.ndarray]:
    """Read some of a checkpoint's arrays.

    Args:
        index: content of the `.index` file.
        data: content of the `.data-00000-of-00001` file.
        names: of the variables wanted; others (an optimiser's, say) are not looked at.

    Returns:
        name to array, float32, in the shape it was saved in.

    Raises:
        WeightsError: not a checkpoint, or a damaged or compressed one; a variable is missing, is no array of 32-bit
            floats, or lies outside the file.
    """
    try:
        entries = _entries(index)
        missing = [name for name in names if name.encode() not in entries]
        if missing:
            raise ValueError(f"{len(missing)} variables are missing: {', '.join(missing[:5])}")
        return {name: _array(name, _message(entries[name.encode()]), data) for name in names}
    except (ValueError, IndexError, struct.error) as error:
        raise WeightsError(f"not a usable TensorFlow checkpoint: {error}") from None


def _entries(index: bytes) -> dict[bytes, bytes]:
    """Everything that the table holds, name to message."""
    footer = index[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("the index does not end as a table does")
    _, _, after = _handle(footer, 0)  # of a block about blocks, which is empty
    offset, size, _ = _handle(footer, after)
    entries: dict[bytes, bytes] = {}
    for _, handle in _block(index, offset, size):
        offset, size, _ = _handle(handle, 0)
        entries.update(_block(index, offset, size))
    header = _message(entries.get(b"", b""))  # BundleHeaderProto: 1 number of files, 2 endianness
    if _number(header, 1) != 1 or _number(header, 2) != 0:
        raise ValueError("its numbers must lie in one file, little-endian")
    return entries


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Offset and size of a block, and where the next thing begins."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return offset, size, at


def _block(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of one block."""
    body, trailer = index[offset : offset + size], index[offset + size : offset + size + 5]
    if size < 4 or len(trailer) < 5:
        raise ValueError("the index is cut short")
    compression, checksum = struct.unpack("<BI", trailer)
    if masked_crc32c(body + trailer[:1]) != checksum:
        raise ValueError("the index is damaged (checksum)")
    if compression != _UNCOMPRESSED:
        raise ValueError("the index is compressed; only uncompressed ones are read")
    (n_restarts,) = struct.unpack("<I", body[-4:])
    at, end, name = 0, size - 4 - 4 * n_restarts, b""
    while at < end:
        n_shared, at = _varint(body, at)
        n_new, at = _varint(body, at)
        n_value, at = _varint(body, at)
        name = name[:n_shared] + body[at : at + n_new]
        at += n_new + n_value
        yield name, body[at - n_value : at]


def _array(name: str, entry: Message, data: bytes) -> np.ndarray:
    """The array that an entry points to, in its shape."""
    if _number(entry, 1) != _FLOAT32:
        raise ValueError(f"{name} has type {_number(entry, 1)}; only 32-bit floats ({_FLOAT32}) are read")
    if 7 in entry or _number(entry, 3) != 0:
        raise ValueError(f"{name} is spread over several places")
    shape = tuple(_number(_message(axis), 1) for axis in _bytes(_message(*_bytes(entry, 2)), 2))
    offset, size = _number(entry, 4), _number(entry, 5)
    raw = data[offset : offset + size]
    if len(raw) != size or size != 4 * math.prod(shape):
        raise ValueError(f"{name} should be {shape}, but the file has {len(raw)} bytes for it")
    if masked_crc32c(raw) != _number(entry, 6):
        raise ValueError(f"{name} is damaged (checksum)")
    return np.frombuffer(raw, "<f4").reshape(shape)


def _message(data: bytes = b"") -> Message:
    """Fields of a protobuf message by number, each with its values in order."""
    fields: Message = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _value(data, at, wire_type=tag & 7)
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _value(data: bytes, at: int, wire_type: int) -> tuple[int | bytes, int]:
    """One value of a message, and where the next thing begins."""
    if wire_type == 0:
        return _varint(data, at)
    if wire_type == 2:
        size, at = _varint(data, at)
        value: int | bytes = data[at : at + size]
    elif wire_type in (1, 5):
        size = 8 if wire_type == 1 else 4
        value = int.from_bytes(data[at : at + size], "little")
    else:
        raise ValueError("the index holds something other than descriptions of arrays")
    if at + size > len(data):
        raise ValueError("the index is cut short")
    return value, at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("the index holds a number of more than 64 bits")


def _number(message: Message, field: int) -> int:
    """The value of a field that holds a number; 0 where it is left out, as protobuf does."""
    value = message.get(field, [0])[-1]
    if not isinstance(value, int):
        raise ValueError("the index holds text where a number belongs")
    return value


def _bytes(message: Message, field: int) -> list[bytes]:
    """All values of a field that holds messages."""
    values = message.get(field, [])
    if not all(isinstance(value, bytes) for value in values):
        raise ValueError("the index holds a number where a description belongs")
    return [value for value in values if isinstance(value, bytes)]


def masked_crc32c(data: bytes) -> int:
    """Checksum as it stands in tables and entries."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ _CASTAGNOLI * (value & 1) for value in table]
    return table
