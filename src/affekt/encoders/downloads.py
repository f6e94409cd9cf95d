"""What was downloaded from the hub, remembered in our own cache folder: without internet a name means what it meant.

The hub's cache is shared with other programs, which leave snapshots that lack files, and does not tell which commit
a name without a revision stood for. Two kinds of facts, each a small JSON file of its own, so that processes side by
side lose nothing:

- a commit: the names of all files at the top of the repository;
- a revision ("main" where none is named): the commit that it stood for when it was last downloaded.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affekt.digest import digest
from affekt.errors import StorageError
from affekt.files import write_json
from affekt.paths import cache_home

#: The branch that the hub shows where no revision is named.
DEFAULT_REVISION = "main"


def remember(repository: str, revision: str | None, commit: str, files: Sequence[str]) -> None:
    """Note a complete download.

    Args:
        repository: "owner/name".
        revision: as the user names it; None for the default branch.
        commit: that the revision stood for.
        files: names of all files of the repository at this commit.
    """
    top = sorted(name for name in files if "/" not in name)
    # The download is whole, so the run goes on; without the note the files may be refused without internet.
    with contextlib.suppress(StorageError):
        _write(repository, "commit", commit, {"files": top})
        _write(repository, "revision", revision or DEFAULT_REVISION, {"commit": commit})


def commit_of(repository: str, revision: str | None) -> str | None:
    """The commit that a revision stood for when it was last downloaded; None where that is not known."""
    commit = _read(repository, "revision", revision or DEFAULT_REVISION).get("commit")
    return commit if isinstance(commit, str) else None


def files_of(repository: str, commit: str) -> list[str] | None:
    """Names of the files at the top of a repository at a commit; None where they are not known."""
    files = _read(repository, "commit", commit).get("files")
    return [str(name) for name in files] if isinstance(files, list) else None


def _path(repository: str, kind: str, name: str) -> Path:
    return cache_home() / "hub" / f"{repository.replace('/', '--')}-{digest([repository, kind, name])[:12]}.json"


def _write(repository: str, kind: str, name: str, fact: dict[str, Any]) -> None:
    write_json(_path(repository, kind, name), {"repository": repository, kind: name, **fact})


def _read(repository: str, kind: str, name: str) -> dict[str, Any]:
    """A fact; nothing where it was never noted, or is damaged."""
    try:
        said = json.loads(_path(repository, kind, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(said, dict) and (said.get("repository"), said.get(kind)) == (repository, name)
    return said if known else {}
