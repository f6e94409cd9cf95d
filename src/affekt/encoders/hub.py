"""Weights from a hub repository or a local folder: pinned to a commit, checked, never executed.

A repository is named "owner/name" or "owner/name@revision". Without a revision the newest commit is looked up first
and every file is then fetched at exactly that commit, which goes into the result. Only configuration and weights are
fetched: code that lies in a repository is neither downloaded nor run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affekt.errors import MissingExtraError, WeightsError

#: Preferred first: safetensors cannot hold code.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
CONFIG_FILES = ("config.json", "preprocessor_config.json")


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
    """A model's files from a local folder if `name` is one, else from the hub.

    Args:
        name: folder, or "owner/name", or "owner/name@revision".
        weight_files: acceptable file names, best first.

    Raises:
        WeightsError: no such folder or repository, no internet and nothing cached, or no acceptable file in it.
        MissingExtraError: huggingface_hub is not installed.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(folder, weight_files)
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        raise WeightsError(
            f'"{name}": no such folder, and not a repository of the hub ("owner/name" or "owner/name@revision").'
        )
    return _from_hub(repository, revision or None, weight_files)


def _from_folder(folder: Path, weight_files: tuple[str, ...]) -> Checkpoint:
    for name in weight_files:
        if (folder / name).is_file():
            return Checkpoint(folder, folder / name, f"folder {folder.name}")
    raise WeightsError(f"{folder}: no weights found. Expected one of: {', '.join(weight_files)}.")


def _from_hub(repository: str, revision: str | None, weight_files: tuple[str, ...]) -> Checkpoint:
    try:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise MissingExtraError(f"fetching {repository}", "models") from None
    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        files = {sibling.rfilename: sibling for sibling in info.siblings or []}
        wanted = _choose(repository, list(files), weight_files)
        paths = {name: Path(hf_hub_download(repository, name, revision=info.sha)) for name in wanted}
    except HfHubHTTPError as error:
        raise WeightsError(_refusal(repository, revision, error)) from None
    except OSError as error:  # no route, no name server, connection cut: requests' and httpx' errors are OSErrors
        return _from_cache(repository, revision, weight_files, error)
    except Exception as error:
        if type(error).__module__.split(".")[0] not in {"httpx", "httpcore", "requests", "urllib3"}:
            raise
        return _from_cache(repository, revision, weight_files, error)
    for name, path in paths.items():
        _verify(path, getattr(files[name].lfs, "sha256", None))
    weights_path = paths[wanted[0]]
    return Checkpoint(weights_path.parent, weights_path, f"{repository} at {str(info.sha)[:12]}")


def _from_cache(repository: str, revision: str | None, weight_files: tuple[str, ...], error: Exception) -> Checkpoint:
    """What an earlier download left on this machine, or the error that tells how to go on without internet."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
        found = _from_folder(folder, weight_files)
    except Exception:
        raise WeightsError(
            f"{repository}: the hub cannot be reached ({type(error).__name__}) and the model is not in the local "
            "cache. Connect to the internet once, or copy the repository to a folder and use hf:<folder> "
            '(or `weights: <file>`), or use `weights: random` or a "-nano" encoder, which need no download.'
        ) from None
    return Checkpoint(found.folder, found.weights_path, f"{repository} at {folder.name[:12]} (cached)")


def _choose(repository: str, present: list[str], weight_files: tuple[str, ...]) -> list[str]:
    weights = next((name for name in weight_files if name in present), None)
    if weights is None:
        raise WeightsError(f"{repository}: no weights found. Expected one of: {', '.join(weight_files)}.")
    return [weights, *(name for name in CONFIG_FILES if name in present)]


def _refusal(repository: str, revision: str | None, error: Any) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    at = f" at revision {revision}" if revision else ""
    if status in (401, 403):
        return (
            f"{repository}{at}: the hub refuses access ({status}). The repository does not exist, is private, or asks "
            "for consent on its page. Check the name, accept its terms, then set HF_TOKEN."
        )
    return f"{repository}{at}: not to be had from the hub ({status or error}). Check the name and the revision."


def _verify(path: Path, sha256: str | None) -> None:
    """Compare a downloaded file with the hash that the hub publishes for it, where it publishes one."""
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.resolve().unlink(missing_ok=True)
        raise WeightsError(f"{path.name}: damaged in transfer (hash {found[:12]}, expected {sha256[:12]}). Run again.")
