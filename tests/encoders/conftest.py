"""Small models in the official layouts, and a server that answers as the hub does; shared by the tests of encoders."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub import constants

#: Sizes of a waveform model that runs in milliseconds: one frame each 80 samples.
WAVEFORM: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8),
    "conv_kernel": (16, 9),
    "conv_stride": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
DATA2VEC = {**WAVEFORM, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}
#: Two layers of attention over a few patches.
TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
WHISPER = {
    **{"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 24},
    **{"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 24, "max_target_positions": 8},
    **{"num_mel_bins": 16, "max_source_positions": 50},
    **{"vocab_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
}
HTSAT = {
    **{"spec_size": 32, "num_mel_bins": 8, "window_size": 4, "patch_embeds_hidden_size": 8, "hidden_size": 16},
    **{"depths": [2, 2], "num_attention_heads": [2, 2], "projection_dim": 8},
}
TEXT = {**TRANSFORMER, "num_hidden_layers": 1, "vocab_size": 32, "max_position_embeddings": 16}
CONVNEXT = {"hidden_sizes": [8, 16], "depths": [2, 1], "num_stages": 2, "image_size": 32, "out_features": ["stage2"]}
VIT = {**TRANSFORMER, "image_size": 32, "patch_size": 8}

#: Sizes of the families that do not hear the waveform.
SIZES: dict[str, dict[str, Any]] = {
    "data2vec-audio": DATA2VEC,
    "audio-spectrogram-transformer": {
        **TRANSFORMER,
        **{"num_mel_bins": 16, "max_length": 72, "patch_size": 8, "frequency_stride": 6, "time_stride": 6},
    },
    "whisper": WHISPER,
    "clap": {"audio_config": HTSAT, "text_config": TEXT, "projection_dim": 8},
    "clap_audio_model": HTSAT,
    "convnext": CONVNEXT,
    "convnextv2": CONVNEXT,
    "swin": {"embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4, "image_size": 32},
    "vit": VIT,
    "deit": VIT,
}
#: Made by transformers itself, so that preprocessor_config.json has the official layout.
CLAP_EXTRACTOR = ("ClapFeatureExtractor", {"feature_size": 8, "max_length_s": 1, "truncation": "rand_trunc"})
EXTRACTORS: dict[str, tuple[str, dict[str, Any]]] = {
    "audio-spectrogram-transformer": ("ASTFeatureExtractor", {"num_mel_bins": 16, "max_length": 72}),
    "whisper": ("WhisperFeatureExtractor", {"feature_size": 16, "chunk_length": 1}),
    "clap": CLAP_EXTRACTOR,
    "clap_audio_model": CLAP_EXTRACTOR,
}

LARGE_SUFFIXES = (".safetensors", ".bin", ".tar")

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def make_tiny() -> Make:
    """A function (family, **changes to its configuration) -> a tiny model of transformers whose weights are random.

    Biases and norms are moved away from 0 and 1, so that leaving one out changes the result.
    """

    def make(family: str = "wav2vec2", seed: int = 0, architecture: Any = None, **changes: Any) -> Any:
        config = transformers.AutoConfig.for_model(family, **{**SIZES.get(family, WAVEFORM), **changes})
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            part = transformers.ClapAudioModel if family == "clap_audio_model" else None  # no model of its own
            build = architecture or part or transformers.AutoModel.from_config
            model = build(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return model

    return make


@pytest.fixture(scope="session")
def publish(make_tiny: Make) -> Make:
    """A function (family, folder, **as for `make_tiny`) that writes a tiny model as its authors would; returns it."""

    def write(family: str, folder: Path, **changes: Any) -> Any:
        model = make_tiny(family, **changes)
        model.save_pretrained(folder)
        if family in EXTRACTORS:
            name, settings = EXTRACTORS[family]
            getattr(transformers, name)(**settings).save_pretrained(folder)
        return model

    return write


@pytest.fixture
def saved(make_tiny: Make, tmp_path: Path) -> Path:
    """A folder that holds a tiny Wav2Vec 2.0 as its authors would publish it."""
    folder = tmp_path / "tiny"
    make_tiny().save_pretrained(folder)
    return folder


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
            if self.command == "GET":
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
