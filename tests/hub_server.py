"""A server that answers as the Hugging Face hub does: repositories are fetched from it, and pushed to it.

A plug-in of pytest (see `pyproject.toml`), since encoders and models are both fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

LARGE_SUFFIXES = (".safetensors", ".bin", ".tar")


@dataclass
class Hub:
    """Repositories by name, and what to do wrong.

    Attributes:
        repositories: name to commit to file name to content.
        revisions: name of a branch or tag to commit.
        refuses: repository to status and error code.
        damaged: file names whose content changes on the way, at the same length.
        page: what a hotel's network answers to everything instead, None for nothing.
        silent: accept, and answer too late.
        requests: "METHOD /path" of all requests.
    """

    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    page: bytes | None = None
    silent: bool = False
    requests: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    def add(self, name: str, folder: Path, commit: str | None = None) -> None:
        """Publish the files of a folder, as the newest commit unless another one is named."""
        commit = self.revisions["main"] if commit is None else commit
        self.repositories.setdefault(name, {})[commit] = {path.name: path.read_bytes() for path in folder.iterdir()}

    def start(self) -> str:
        """Serve on a free port; returns the address."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def fetched(self) -> set[str]:
        """Names of the files that were asked for."""
        return {request.rsplit("/", 1)[1] for request in self.requests if "/resolve/" in request}


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            until = time.monotonic() + 4  # longer than any test allows, yet a client that waits fails and does not hang
            while hub.silent and time.monotonic() < until:
                time.sleep(0.01)
            if hub.page is not None:
                return self.answer(200, hub.page)
            kind, _, rest = path.lstrip("/").partition("/")
            if kind == "cdn":
                commit, _, name = rest.partition("/")
                return self.answer(200, self.content(commit, name))
            return self.info(rest.removeprefix("models/")) if kind == "api" else self.file(f"{kind}/{rest}")

        do_HEAD = do_GET

        def do_POST(self) -> None:
            path, body = unquote(urlparse(self.path).path), self.rfile.read(int(self.headers["Content-Length"]))
            hub.requests.append(f"{self.command} {path}")
            if path == "/api/repos/create":
                return self.created(json.loads(body))
            if path == "/api/validate-yaml":
                return self.answer(200, json.dumps({"errors": [], "warnings": []}).encode())
            name, _, rest = path.removeprefix("/api/models/").rpartition("/commit/")
            if name:
                return self.committed(name, hub.revisions[rest], body)
            assert "/preupload/" in path, path
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self.answer(200, json.dumps({"files": files}).encode())

        def created(self, asked: dict[str, Any]) -> None:
            name = "/".join(filter(None, [asked.get("organization") or "me", asked["name"]]))
            if not self.headers.get("Authorization"):
                return self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
            hub.repositories.setdefault(name, {})
            self.answer(200, json.dumps({"url": f"http://127.0.0.1/{name}"}).encode())

        def committed(self, name: str, commit: str, body: bytes) -> None:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {one["value"]["path"]: one["value"]["content"] for one in lines if one["key"] == "file"}
            hub.repositories[name][commit] = {path: base64.b64decode(content) for path, content in files.items()}
            answer = {"success": True, "commitUrl": f"http://127.0.0.1/{name}/commit/{commit}", "commitOid": commit}
            self.answer(200, json.dumps(answer).encode())

        def info(self, rest: str) -> None:
            name, _, revision = rest.partition("/revision/")
            if self.refused(name):
                return
            commit = hub.revisions.get(revision or "main", revision)
            files = hub.repositories[name].get(commit)
            if files is None:
                return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            siblings = [sibling(file_name, content) for file_name, content in files.items()]
            self.answer(200, json.dumps({"id": name, "modelId": name, "sha": commit, "siblings": siblings}).encode())

        def file(self, path: str) -> None:
            repository, _, rest = path.partition("/resolve/")
            commit, _, name = rest.partition("/")
            if self.refused(repository):
                return
            content = hub.repositories[repository][commit][name]
            headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
            if not name.endswith(LARGE_SUFFIXES):
                return self.answer(200, content, headers)
            # Large files lie on another host, as far as the client can tell.
            port = self.server.server_address[1]
            self.answer(
                302,
                b"",
                {
                    **headers,
                    "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                    "X-Linked-Size": str(len(content)),
                    "Location": f"http://localhost:{port}/cdn/{commit}/{repository.replace('/', '--')}--{name}",
                },
            )

        def content(self, commit: str, path: str) -> bytes:
            owner, repository, name = path.split("--")
            content = hub.repositories[f"{owner}/{repository}"][commit][name]
            return content[:-8] + bytes(8) if name in hub.damaged else content

        def refused(self, repository: str) -> bool:
            status, code = hub.refuses.get(repository, (0, ""))
            if repository not in hub.repositories and not status:
                status, code = 401, "RepoNotFound"  # the hub does not tell whether a private one exists
            if status:
                self.answer(status, b"", {"X-Error-Code": code})
            return bool(status)

        def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def sibling(name: str, content: bytes) -> dict[str, Any]:
    plain = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
    if not name.endswith(LARGE_SUFFIXES):
        return plain
    return {**plain, "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the client talks to, with an empty cache. The client reads its settings when it is first imported."""
    import huggingface_hub
    from huggingface_hub import constants

    served = Hub()
    address = served.start()
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "*")
    huggingface_hub.close_session()
    yield served
    served.silent = False
    huggingface_hub.close_session()
    served.stop()
