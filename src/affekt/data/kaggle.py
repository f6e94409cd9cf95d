"""DEAM's package on Kaggle, fetched with kagglehub: resumed where it broke off, its checksum compared.

Into kagglehub's own cache the package goes by `dataset_download`, which unpacks it there. Into a folder of the user's
choice that function neither goes on from a part nor refuses unsafe archives, so there kagglehub's client fetches the
archive alone, and `affekt.data.archive` unpacks it. Sizes are in bytes.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affekt.data.archive import check_room, megabytes
from affekt.errors import DataError, MissingExtraError, StorageError

KAGGLE_ID = "imsparsh/deam-mediaeval-dataset-emotional-analysis-in-music"
KAGGLE_PAGE = f"https://www.kaggle.com/datasets/{KAGGLE_ID}"
#: Pinned, so that everybody gets the same files: the version that public code names. Kaggle's list was not looked at.
KAGGLE_VERSION = 1
KAGGLE_HANDLE = f"{KAGGLE_ID}/versions/{KAGGLE_VERSION}"

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def download_deam() -> Path:
    """Download the Kaggle package into kagglehub's own cache, or find it there.

    Raises:
        MissingExtraError: kagglehub is not installed.
        DataError: Kaggle refused or could not be reached; says what to do.
        StorageError: the cache cannot be written to.
    """
    _require_kagglehub()
    with _kaggle_errors(None):
        import kagglehub

        with _talking_to_stderr():
            return Path(kagglehub.dataset_download(KAGGLE_HANDLE))


def fetch(work: Path) -> Path:
    """Download the package's archive into a folder; a part of it that lies there is gone on from.

    Returns:
        the archive, whole and with the checksum that the server names.

    Raises:
        MissingExtraError, DataError, StorageError: as `download_deam`. What arrived is kept.
    """
    _require_kagglehub()
    archive = work / f"{KAGGLE_VERSION}.archive"
    with _kaggle_errors(archive):
        from kagglehub.clients import build_kaggle_client, download_file
        from kagglehub.exceptions import handle_call
        from kagglehub.handle import parse_dataset_handle
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        handle = parse_dataset_handle(KAGGLE_HANDLE)
        request = ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
        request.dataset_version_number = handle.version
        with _talking_to_stderr(), build_kaggle_client() as client:
            response = handle_call(lambda: client.datasets.dataset_api_client.download_dataset(request), handle)
            n_bytes = int(response.headers.get("Content-Length") or 0)
            _drop_foreign(archive, n_bytes)
            check_room(f"{work.parent}: DEAM from Kaggle", work, n_bytes - _size(archive))
            # kagglehub waits for a silent server without end, but not where it goes on from a part, be it an empty one.
            archive.touch()
            download_file(response, str(archive), handle)
    return archive


def _drop_foreign(archive: Path, n_bytes: int) -> None:
    """A part that is longer than the whole is not a part of it."""
    if n_bytes and _size(archive) > n_bytes:
        archive.unlink()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _require_kagglehub() -> None:
    try:
        import kagglehub  # noqa: F401
        import requests  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Downloading DEAM from Kaggle", "kaggle") from error


@contextlib.contextmanager
def _talking_to_stderr() -> Iterator[None]:
    """What kagglehub tells on standard output goes to standard error: the former is for results."""
    handlers: list[Any] = [one for one in logging.getLogger("kagglehub").handlers if hasattr(one, "stream")]
    before = [handler.stream for handler in handlers]
    for handler in handlers:
        handler.stream = sys.stderr if handler.stream is sys.stdout else handler.stream
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.stream = stream


@contextlib.contextmanager
def _kaggle_errors(archive: Path | None) -> Iterator[None]:
    """Turn what kagglehub raises into one error that says what to do.

    Args:
        archive: where the transfer is written to; None for kagglehub's cache.
    """
    import requests
    from kagglehub import exceptions

    refusals = (
        requests.RequestException, OSError, exceptions.BackendError, exceptions.CredentialError, ValueError,
        exceptions.DataCorruptionError, exceptions.NotFoundError, exceptions.UnauthenticatedError,
    )  # fmt: skip
    try:
        yield
    except refusals as error:
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            raise _storage_error(error, archive) from error
        raise DataError(
            f"DEAM could not be downloaded from Kaggle: {_download_advice(error)}{_kept_part(archive)} "
            "Or get DEAM another way and name its folder as root (--root DIR)."
        ) from error


def _storage_error(error: OSError, archive: Path | None) -> StorageError:
    where = archive.parent.parent if archive else "kagglehub's cache (KAGGLEHUB_CACHE)"
    what = "the disk is full" if error.errno in _DISK_FULL else (error.strerror or str(error))
    remedy = "Free some space" if error.errno in _DISK_FULL else "Mend that"
    return StorageError(
        f"{where}: DEAM cannot be written ({what}).{_kept_part(archive)} {remedy} and run the same command again, or "
        "name a folder on another disk (--download DIR)."
    )


def _kept_part(archive: Path | None) -> str:
    if archive is None or not _size(archive):
        return ""
    return f" {megabytes(_size(archive))} have arrived and are kept; the same command goes on from there."


def _download_advice(error: Exception) -> str:
    import requests
    from kagglehub import exceptions

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401 or isinstance(error, exceptions.CredentialError | exceptions.UnauthenticatedError):
        return (
            "it asks for a login (401). Make an account on kaggle.com, create a token under Settings > API, and put it "
            "into the environment variable KAGGLE_API_TOKEN or the file ~/.kaggle/kaggle.json."
        )
    if status == 403:
        return f"access denied (403). Open {KAGGLE_PAGE}, logged in as the owner of your token, and accept the terms."
    if status == 404 or isinstance(error, exceptions.NotFoundError):
        return (
            f"version {KAGGLE_VERSION} of the data set was not found (404). Look at {KAGGLE_PAGE}: it may have moved."
        )
    if status == 429 or (status or 0) >= 500:
        return f"it cannot serve at the moment ({status}). Try again in a while."
    if isinstance(error, exceptions.DataCorruptionError):
        return "what arrived has another checksum than Kaggle names, and was removed. Run the same command again."
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off. Run the same command again."
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "no connection. Check this machine's internet access or proxy, and try again."
    return f"{type(error).__name__}: {str(error).strip() or 'no reason given'}."
