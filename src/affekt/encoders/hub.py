"""Weights from a hub repository or a local folder: pinned to a commit, checked, never executed.

A repository is named "owner/name" or "owner/name@revision". Without a revision the newest commit is looked up first
and every file is then fetched at exactly that commit, which goes into the result. Only configuration and weights are
fetched: code that lies in a repository is neither downloaded nor run.

Without internet the hub's cache on this machine serves, as far as it holds everything that a download would fetch
(see `affekt.encoders.downloads`): a file that is missing there must not turn into a default without a word.
"""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

from affekt.encoders import downloads
from affekt.encoders.places import user_path
from affekt.errors import AffektError, MissingExtraError, StorageError, WeightsError

#: Preferred first: safetensors cannot hold code.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
CONFIG_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
#: Of a repository whose files are not known: newer versions of transformers write what these hold elsewhere, too.
_USUAL_FILES = ("config.json", "preprocessor_config.json")

#: How long to wait for a sign of life from the hub; without internet the error must not take minutes.
ANSWER_S = 5.0
#: Answers of a hub that is there but cannot serve now; what is cached then serves as if there were no internet.
_BUSY = (429, 500, 502, 503, 504)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@dataclass(frozen=True)
class Configuration:
    """Configuration of one model on this machine.

    Attributes:
        folder: holds the configuration, where there is one.
        source: repository and commit, or the folder's name; for reports.
    """

    folder: Path
    source: str


@dataclass(frozen=True)
class Checkpoint(Configuration):
    """Configuration and weights of one model on this machine.

    Attributes:
        weights_path: the file with the weights.
    """

    weights_path: Path


@dataclass(frozen=True)
class _Wanted:
    """Names of files to find: all of `config` that there are, and the first of `weights`, or none where it is empty."""

    config: tuple[str, ...]
    weights: tuple[str, ...]


def find_checkpoint(
    name: str, weight_files: tuple[str, ...] = WEIGHT_FILES, config_files: tuple[str, ...] = CONFIG_FILES
) -> Checkpoint:
    """A model's files from this machine if `name` is a folder, or a file of weights in one, else from the hub.

    Args:
        name: folder, or file of weights, or "owner/name", or "owner/name@revision".
        weight_files: acceptable file names, best first.
        config_files: what else to fetch, where the repository has it.

    Raises:
        WeightsError: no such folder or repository, no internet and nothing whole cached, or no acceptable file in it.
        StorageError: a download cannot be written: disk full, no permission.
        MissingExtraError: huggingface_hub is not installed.
    """
    place = user_path(name)
    if place.is_dir():
        return _with_weights(place, weight_files, _folder_name(place))
    if place.is_file():
        if place.name not in weight_files:
            raise WeightsError(f"{place}: weights must be named {' or '.join(weight_files)}, beside a config.json.")
        return _with_weights(place.parent, (place.name,), _folder_name(place.parent))
    found = _from_hub(*_repository(name), _Wanted(config_files, weight_files))
    return _with_weights(found.folder, weight_files, found.source)


def find_configuration(name: str) -> Configuration:
    """A model's configuration and front end alone, for its untrained twin: weights are not fetched and may be absent.

    Args:
        name: as for `find_checkpoint`.

    Raises:
        WeightsError, StorageError, MissingExtraError: as for `find_checkpoint`.
    """
    place = user_path(name)
    if place.exists():
        folder = place if place.is_dir() else place.parent
        return Configuration(folder, _folder_name(folder))
    return _from_hub(*_repository(name), _Wanted(CONFIG_FILES, ()))


def _folder_name(folder: Path) -> str:
    return f"folder {folder.resolve().name}"


def _with_weights(folder: Path, weight_files: tuple[str, ...], source: str) -> Checkpoint:
    for name in weight_files:
        if (folder / name).is_file():
            return Checkpoint(folder, source, folder / name)
    raise WeightsError(f"{folder}: no weights found. Expected one of: {', '.join(weight_files)}.")


def _repository(name: str) -> tuple[str, str | None]:
    """Repository, and revision where one is named."""
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        raise WeightsError(
            f'"{name}": no such folder, and not a repository of the hub ("owner/name" or "owner/name@revision").'
        )
    return repository, revision or None


def _from_hub(repository: str, revision: str | None, wanted: _Wanted) -> Configuration:
    try:
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise MissingExtraError(f"fetching {repository}", "models") from None
    try:
        return _download(repository, revision, wanted)
    except HFValidationError as error:
        raise WeightsError(f'"{repository}": cannot be the name of a repository ({error}).') from None
    except HfHubHTTPError as error:
        if error.response.status_code in _BUSY:
            return _from_cache(repository, revision, wanted, error)
        raise WeightsError(_refusal(repository, revision, error.response.status_code)) from None
    except AffektError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise StorageError(
                f"{repository}: the download cannot be written ({error.strerror}). Free some space, or set HF_HOME to "
                "a folder on another disk."
            ) from None
        if not unreachable(error):
            raise
        return _from_cache(repository, revision, wanted, error)


def _download(repository: str, revision: str | None, wanted: _Wanted) -> Configuration:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=ANSWER_S)
    commit = str(info.sha)
    files = {sibling.rfilename: sibling for sibling in info.siblings or []}
    for name in _choose(repository, list(files), wanted):
        path = Path(hf_hub_download(repository, name, revision=commit, etag_timeout=ANSWER_S))
        _verify(path, getattr(files[name].lfs, "sha256", None))
    downloads.remember(repository, revision, commit, list(files))
    return _snapshot(repository, path.parent)


def _snapshot(repository: str, folder: Path) -> Configuration:
    """A snapshot of the hub's cache, whose folder is named after the commit."""
    return Configuration(folder, f"{repository} at {folder.name[:12]}")


def unreachable(error: Exception) -> bool:
    """Whether an error means that no hub was heard: no route, no name server, connection cut, a page instead of JSON.

    The hub's client is built on httpx, under whatever name the installed version brings it.
    """
    return isinstance(error, OSError | JSONDecodeError) or type(error).__module__.startswith(("httpx", "httpcore"))


def _from_cache(repository: str, revision: str | None, wanted: _Wanted, error: Exception) -> Configuration:
    """What an earlier download left on this machine, or the error that tells how to go on without internet."""
    commit = downloads.commit_of(repository, revision)
    lacking = f" (it stood for commit {commit[:12]} when it was last fetched)" if commit else ""
    snapshots = _cached(repository, commit or revision)
    for folder in snapshots:
        missing = _missing(repository, folder, wanted)
        if not missing:
            return _snapshot(repository, folder)
        if folder == snapshots[0]:
            lacking = f" as a whole (the snapshot of commit {folder.name[:12]} lacks {', '.join(missing)})"
    raise WeightsError(
        f"{repository}: the hub cannot be reached ({type(error).__name__}) and the model"
        f"{f' at revision {revision}' if revision else ''} is not in the local cache{lacking}. "
        "Connect to the internet once, or copy the repository to a folder and use hf:<folder> "
        '(or `weights: <folder>`), or use a "-nano" encoder, or another name of `affekt encoders` with '
        "`weights: random`, which need no download."
    ) from None


def _cached(repository: str, revision: str | None) -> list[Path]:
    """Snapshots of a repository on this machine, of `revision` alone where one is named, the newest first."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        everything = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except (CacheNotFound, ValueError):  # not there, or not a folder
        return []
    snapshots = [
        snapshot
        for found in everything
        if found.repo_id == repository and found.repo_type == "model"
        for snapshot in found.revisions
        if revision in (None, snapshot.commit_hash, *snapshot.refs)
    ]
    newest_first = sorted(snapshots, key=lambda snapshot: snapshot.last_modified, reverse=True)
    return [snapshot.snapshot_path for snapshot in newest_first]


def _missing(repository: str, folder: Path, wanted: _Wanted) -> list[str]:
    """What a download would fetch and a snapshot lacks; of files that may not exist, those that usually do."""
    files = downloads.files_of(repository, folder.name)
    if files is not None:
        needed = _choose(repository, files, wanted)
    else:
        here = [name for name in wanted.weights if (folder / name).is_file()]
        needed = [*(name for name in wanted.config if name in _USUAL_FILES), *(here or wanted.weights)[:1]]
    return [name for name in needed if not (folder / name).is_file()]


def _choose(repository: str, present: list[str], wanted: _Wanted) -> list[str]:
    """Which of the files of a repository to have; weights last."""
    config = [name for name in wanted.config if name in present]
    if not wanted.weights:
        if not config:
            raise WeightsError(f"{repository}: no configuration found. Expected a {CONFIG_FILES[0]}.")
        return config
    weights = next((name for name in wanted.weights if name in present), None)
    if weights is None:
        raise WeightsError(f"{repository}: no weights found. Expected one of: {', '.join(wanted.weights)}.")
    return [*config, weights]


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
