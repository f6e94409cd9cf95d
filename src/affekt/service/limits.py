"""What a request may ask for, and how it is refused when it asks for more.

Conventions: sizes in bytes, times in seconds. A refusal is an error of the asker's that has a status of HTTP and a word
for programs (`STATUS`); its message never holds anything that was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from affekt.errors import AffektError

#: The code of each refusal, and its status of HTTP.
STATUS = {
    "bad_request": 400,
    "not_found": 404,
    "method_not_allowed": 405,
    "upload_too_slow": 408,
    "too_large": 413,
    "too_long": 413,
    "not_a_form": 415,
    "not_audio": 422,
    "busy": 503,
    "too_slow": 503,
}


@dataclass(frozen=True)
class Limits:
    """All limits of a service.

    Attributes:
        upload_bytes: of one file, counted as it comes in, whatever the request's header says.
        upload_s: that a file may take to come in.
        n_uploads: requests whose file is coming in, or was not answered yet.
        duration_s: of a track: of what its header says, and of what is decoded.
        n_channels: of a track. Formats allow a thousand, which a few kilobytes of silence would fill the memory with.
        n_at_once: predictions at once; the encoder itself runs for one of them at a time.
        n_waiting: requests that may wait for their turn.
        predict_s: from the end of an upload to the answer, waiting included.
        retry_after_s: when somebody who was refused because of others should come again.
    """

    upload_bytes: int = 100_000_000
    upload_s: float = 300.0
    n_uploads: int = 64
    duration_s: float = 3600.0
    n_channels: int = 8
    n_at_once: int = 2
    n_waiting: int = 6
    predict_s: float = 120.0
    retry_after_s: int = 5


class Refused(AffektError):
    """A request that is not answered with a prediction.

    Args:
        code: one of `STATUS`.
        message: what was found, what is allowed, what to do next.
        retry_after_s: when to come again, where that helps.
    """

    def __init__(self, code: str, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.retry_after_s = code, STATUS[code], retry_after_s

    def as_dict(self) -> dict[str, dict[str, str]]:
        """For JSON."""
        return {"error": {"code": self.code, "message": str(self)}}


def too_large(limits: Limits) -> Refused:
    """The file has more bytes than it may have."""
    return Refused(
        "too_large", f"The file is larger than {limits.upload_bytes / 1e6:g} MB. Send a shorter or compressed one."
    )


def too_long(limits: Limits) -> Refused:
    """The track lasts longer than it may."""
    return Refused("too_long", f"The track is longer than {limits.duration_s / 60:g} min. Send a part of it.")


def busy(limits: Limits) -> Refused:
    """Too many others ask."""
    return Refused(
        "busy",
        f"{limits.n_at_once} predictions run and others wait. Try again in {limits.retry_after_s} s.",
        limits.retry_after_s,
    )


def too_slow(limits: Limits) -> Refused:
    """There was no answer in time."""
    return Refused(
        "too_slow",
        f"There was no answer within {limits.predict_s:g} s. Try again later, or send a shorter track.",
        limits.retry_after_s,
    )
