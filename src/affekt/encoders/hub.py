"""Weights from a hub repository or a local folder: pinned to a commit, checked, never executed.

A repository is named "owner/name" or "owner/name@revision". Without a revision the newest commit is looked up first
and every file is then fetched at exactly that commit, which goes into the result. Only configuration and weights are
fetched: code that lies in a repository is neither downloaded nor run.
"""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

from affekt.errors import AffektError, MissingExtraError, StorageError, WeightsError

#: Preferred first: safetensors cannot hold code.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
CONFIG_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")

#: How long to wait for a sign of life from the hub; without internet the error must not take minutes.
ANSWER_S = 5.0
#: Answers of a hub that is there but cannot serve now; what is cached then serves as if there were no internet.
_BUSY = (429, 500, 502, 503, 504)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@dataclass(frozen=True)
class Checkpoint:
    """Files of one model on this machine.

    Attributes:
        folder: holds the configuration, where there is one.
        weights_path: the file with the weights.
        source: repository and commit, or the folder's name; for reports.
    """

    folder: Path
    weights_path: Path
    source: str


def find_checkpoint(name: str, weight_files: tuple[str, ...] = WEIGHT_FILES) -> Checkpoint:
    """A model's files from this machine if `name` is a folder, or a file of weights in one, else from the hub.

    Args:
        name: folder, or file of weights, or "owner/name", or "owner/name@revision".
        weight_files: acceptable file names, best first.

    Raises:
        WeightsError: no such folder or repository, no internet and nothing cached, or no acceptable file in it.
        StorageError: a download cannot be written: disk full, no permission.
        MissingExtraError: huggingface_hub is not installed.
    """
    place = Path(name).expanduser()
    if place.is_dir():
        return _from_folder(place, weight_files)
    if place.is_file():
        if place.name not in weight_files:
            raise WeightsError(f"{place}: weights must be named {' or '.join(weight_files)}, beside a config.json.")
        return _from_folder(place.parent, (place.name,))
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        raise WeightsError(
            f'"{name}": no such folder, and not a repository of the hub ("owner/name" or "owner/name@revision").'
        )
    return _from_hub(repository, revision or None, weight_files)


def _from_folder(folder: Path, weight_files: tuple[str, ...]) -> Checkpoint:
    for name in weight_files:
        if (folder / name).is_file():
            return Checkpoint(folder, folder / name, f"folder {folder.resolve().name}")
    raise WeightsError(f"{folder}: no weights found. Expected one of: {', '.join(weight_files)}.")


def _from_hub(repository: str, revision: str | None, weight_files: tuple[str, ...]) -> Checkpoint:
    try:
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise MissingExtraError(f"fetching {repository}", "models") from None
    try:
        return _download(repository, revision, weight_files)
    except HFValidationError as error:
        raise WeightsError(f'"{repository}": cannot be the name of a repository ({error}).') from None
    except HfHubHTTPError as error:
        if error.response.status_code in _BUSY:
            return _from_cache(repository, revision, weight_files, error)
        raise WeightsError(_refusal(repository, revision, error.response.status_code)) from None
    except AffektError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise StorageError(
                f"{repository}: the download cannot be written ({error.strerror}). Free some space, or set HF_HOME to "
                "a folder on another disk."
            ) from None
        if not _unreachable(error):
            raise
        return _from_cache(repository, revision, weight_files, error)


def _download(repository: str, revision: str | None, weight_files: tuple[str, ...]) -> Checkpoint:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=ANSWER_S)
    files = {sibling.rfilename: sibling for sibling in info.siblings or []}
    for name in (wanted := _choose(repository, list(files), weight_files)):
        path = Path(hf_hub_download(repository, name, revision=info.sha, etag_timeout=ANSWER_S))
        _verify(path, getattr(files[name].lfs, "sha256", None))
    return Checkpoint(path.parent, path.parent / wanted[-1], f"{repository} at {str(info.sha)[:12]}")


def _unreachable(error: Exception) -> bool:
    """Whether an error means that no hub was heard: no route, no name server, connection cut, a page instead of JSON.

    The hub's client is built on httpx, under whatever name the installed version brings it.
    """
    return isinstance(error, OSError | JSONDecodeError) or type(error).__module__.startswith(("httpx", "httpcore"))


def _from_cache(repository: str, revision: str | None, weight_files: tuple[str, ...], error: Exception) -> Checkpoint:
    """What an earlier download left on this machine, or the error that tells how to go on without internet."""
    folder = _cached(repository, revision, weight_files)
    if folder is None:
        raise WeightsError(
            f"{repository}: the hub cannot be reached ({type(error).__name__}) and the model"
            f"{f' at revision {revision}' if revision else ''} is not in the local cache. "
            "Connect to the internet once, or copy the repository to a folder and use hf:<folder> "
            '(or `weights: <folder>`), or use `weights: random` or a "-nano" encoder, which need no download.'
        ) from None
    found = _from_folder(folder, weight_files)
    return Checkpoint(found.folder, found.weights_path, f"{repository} at {folder.name[:12]}")


def _cached(repository: str, revision: str | None, weight_files: tuple[str, ...]) -> Path | None:
    """The newest whole snapshot of a repository on this machine, of `revision` alone where one is named.

    Weights are fetched last, so a snapshot that has them is whole.
    """
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        everything = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except (CacheNotFound, ValueError):  # not there, or not a folder
        return None
    repositories = [found for found in everything if found.repo_id == repository and found.repo_type == "model"]
    snapshots = [
        snapshot
        for snapshot in (s for r in repositories for s in r.revisions)
        if revision in (None, snapshot.commit_hash, *snapshot.refs)
        and any((snapshot.snapshot_path / name).is_file() for name in weight_files)
    ]
    return max(snapshots, key=lambda s: s.last_modified).snapshot_path if snapshots else None


def _choose(repository: str, present: list[str], weight_files: tuple[str, ...]) -> list[str]:
    weights = next((name for name in weight_files if name in present), None)
    if weights is None:
        raise WeightsError(f"{repository}: no weights found. Expected one of: {', '.join(weight_files)}.")
    return [*(name for name in CONFIG_FILES if name in present), weights]


def _refusal(repository: str, revision: str | None, status: int) -> str:
    at = f" at revision {revision}" if revision else ""
    if status in (401, 403):
        return (
            f"{repository}{at}: the hub refuses access ({status}). The repository does not exist, is private, or asks "
            "for consent on its page. Check the name, accept its terms, then set HF_TOKEN."
        )
    return f"{repository}{at}: not to be had from the hub ({status}). Check the name and the revision."


def _verify(path: Path, sha256: str | None) -> None:
    """Compare a downloaded file with the hash that the hub publishes for it, where it publishes one."""
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.resolve().unlink(missing_ok=True)  # in the hub's cache a file is a link to where its bytes are
        path.unlink(missing_ok=True)
        raise WeightsError(f"{path.name}: damaged in transfer (hash {found[:12]}, expected {sha256[:12]}). Run again.")
