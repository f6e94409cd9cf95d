"""A file of a request, taken in and thrown away.

It is counted while it comes in, and lies in memory, or above `SPOOLED` bytes in a temporary file without a name. To be
heard it is copied to a file called "upload" in a folder that only this user may enter and that is gone afterwards,
whatever happens. The name that the sender gives it is never used.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from affekt.service.limits import Limits, Refused, too_large

SPOOLED = 1 << 18
#: What a form may hold beside the file: boundaries, headers, a few fields.
FORM_BYTES = 1 << 16
#: Fields and their bytes, at most.
MOST_FIELDS, FIELD_BYTES = 8, 1 << 12
#: A sender who was refused is listened to for so long: one who is still sending would not hear the answer.
DRAIN_S = 3.0


class _Parser(MultiPartParser):
    spool_max_size = SPOOLED


@contextlib.asynccontextmanager
async def received(request: Request, limits: Limits) -> AsyncIterator[BinaryIO]:
    """The file in the field `file` of a request, open at its beginning; closed, and so gone, afterwards.

    Raises:
        Refused: no form, no file, or more than is allowed.
    """
    try:
        file = await _taken_in(request, limits)
    except Refused as refused:
        if refused.code != "upload_too_slow":
            await _drain(request, limits)
        raise
    try:
        yield file.file
    finally:
        await file.close()


@contextlib.contextmanager
def private_copy(file: BinaryIO) -> Iterator[Path]:
    """The same bytes under a path, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="affekt-serve-") as folder:  # mode 0700
        path = Path(folder) / "upload"
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        yield path


async def _taken_in(request: Request, limits: Limits) -> UploadFile:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused("not_a_form", "Send multipart/form-data with the audio in the field `file`.")
    if _announced(request) > limits.upload_bytes + FORM_BYTES:
        raise too_large(limits)
    parser = _Parser(
        request.headers,
        _counted(request, limits.upload_bytes + FORM_BYTES, limits),
        max_files=1,
        max_fields=MOST_FIELDS,
        max_part_size=FIELD_BYTES,
    )
    try:
        form = await asyncio.wait_for(parser.parse(), limits.upload_s)
    except TimeoutError:
        raise Refused("upload_too_slow", f"The file did not come in within {limits.upload_s:g} s.") from None
    except (MultiPartException, ClientDisconnect):
        raise Refused("bad_request", "The form is damaged or ends too early. Send it again.") from None
    file = form.get("file")
    if not isinstance(file, UploadFile):
        await form.close()
        raise Refused("bad_request", "The form has no file in the field `file`. Send the audio there.")
    if (file.size or 0) > limits.upload_bytes:
        await form.close()
        raise too_large(limits)
    return file


def _announced(request: Request) -> int:
    """What the request says of its length; 0 where it says nothing, or nonsense."""
    told = request.headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else 0


async def _counted(request: Request, at_most: int, limits: Limits) -> AsyncGenerator[bytes, None]:
    n_bytes = 0
    async for chunk in request.stream():
        n_bytes += len(chunk)
        if n_bytes > at_most:
            raise too_large(limits)
        yield chunk


async def _drain(request: Request, limits: Limits) -> None:
    """Read on for a moment and forget it."""
    # RuntimeError: it was read to its end
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError, Refused):
        async with asyncio.timeout(DRAIN_S):
            async for _ in _counted(request, limits.upload_bytes, limits):
                pass
