"""Fetching weights with the real client, from a server on this machine that answers as the hub does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from affekt.encoders import build_encoder, downloads, hub, published
from affekt.encoders.hub import find_checkpoint
from affekt.encoders.mambavision import VARIANTS, build
from affekt.errors import StorageError, WeightsError

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def server(server: Any) -> Any:
    """A hub whose repositories have two commits."""
    server.revisions = {"main": NEW, "v1": OLD}
    return server


@pytest.fixture
def repository(saved: Path) -> Path:
    """A repository's files: weights in both kinds, configuration, and what must not be fetched."""
    state = load_file(saved / "model.safetensors")
    torch.save(state, saved / "pytorch_model.bin")
    (saved / "preprocessor_config.json").write_text('{"sampling_rate": 24000, "do_normalize": true}')
    for name in ("modeling_evil.py", "README.md", "tf_model.h5", "vocab.json", "setup.py"):
        (saved / name).write_text("not wanted")
    return saved


def weights_of(encoder: Any) -> dict[str, torch.Tensor]:
    return encoder.model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# --- what goes right -------------------------------------------------------------------------------------------------


def test_a_waveform_model(server: Any, repository: Path) -> None:
    server.add("owner/tiny", repository)
    encoder = build_encoder("hf:owner/tiny")
    assert same(weights_of(encoder), weights_of(build_encoder(f"hf:{repository}")))
    assert encoder.spec.name == "hf:owner/tiny"
    assert encoder.spec.weights == f"owner/tiny at {NEW[:12]}"
    assert encoder.spec.sample_rate_hz == 24000


def test_only_configuration_and_weights_are_fetched(server: Any, repository: Path, tmp_path: Path) -> None:
    server.add("owner/tiny", repository)
    build_encoder("hf:owner/tiny")
    assert server.fetched() == {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert not list((tmp_path / "cache").rglob("*.py"))


def test_files_come_from_the_commit_that_was_looked_up(server: Any, repository: Path) -> None:
    server.add("owner/tiny", repository)
    build_encoder("hf:owner/tiny")
    resolved = [request for request in server.requests if "/resolve/" in request]
    assert resolved and all(f"/resolve/{NEW}/" in request for request in resolved)


@pytest.mark.parametrize(("revision", "commit"), [("", NEW), ("@main", NEW), ("@v1", OLD), (f"@{OLD}", OLD)])
def test_revisions(server: Any, repository: Path, tmp_path: Path, revision: str, commit: str) -> None:
    server.add("owner/tiny", repository, NEW)
    state = load_file(repository / "model.safetensors")
    older = {key: tensor + 1 for key, tensor in state.items()}
    save_file(older, repository / "model.safetensors", metadata={"format": "pt"})
    server.add("owner/tiny", repository, OLD)
    encoder = build_encoder(f"hf:owner/tiny{revision}")
    assert encoder.spec.weights == f"owner/tiny at {commit[:12]}"
    assert same(weights_of(encoder), state if commit == NEW else older)


def test_a_published_name(server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("owner/tiny", repository, OLD)
    known = published.WAVEFORM["wav2vec2-base"]
    monkeypatch.setitem(published.WAVEFORM, "wav2vec2-base", replace(known, repository=f"owner/tiny@{OLD}"))
    encoder = build_encoder("wav2vec2-base")
    assert encoder.spec.name == "wav2vec2-base"
    assert encoder.spec.weights == f"owner/tiny at {OLD[:12]}"
    assert encoder.spec.licence == "Apache-2.0"


@pytest.mark.parametrize("kind", ["model.safetensors", "mambavision_nano_1k.pth.tar"])
def test_a_mambavision(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    state = {key: tensor + 0.01 for key, tensor in build(VARIANTS["nano"], seed=5).state_dict().items()}
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "modeling_mambavision.MambaVisionModel"}}')
    (folder / "modeling_mambavision.py").write_text("raise SystemExit")
    prefixed = {f"model.{key}": tensor for key, tensor in state.items()}
    save_file(prefixed, folder / kind) if kind.endswith("safetensors") else torch.save(
        {"state_dict": state, "epoch": 300}, folder / kind
    )
    server.add("nvidia/nano", folder)
    monkeypatch.setitem(published.MAMBAVISION, "mambavision-nano", ("nvidia/nano", "mambavision_nano_1k.pth.tar"))
    encoder = build_encoder("mambavision-nano")
    counters = {key: state[key] for key in state if key.endswith("num_batches_tracked")}
    assert same({**weights_of(encoder), **counters}, state)
    assert encoder.spec.weights == f"nvidia/nano at {NEW[:12]}, ImageNet-1K"
    assert "not for commercial use" in encoder.spec.licence
    assert server.fetched() == {kind}
    server.stop()
    huggingface_hub.close_session()
    assert same(weights_of(build_encoder("mambavision-nano")), weights_of(encoder))


def test_safetensors_first_and_the_older_kind_where_there_is_nothing_else(server: Any, repository: Path) -> None:
    server.add("owner/both", repository)
    (repository / "model.safetensors").unlink()
    server.add("owner/old", repository)
    assert same(weights_of(build_encoder("hf:owner/both")), weights_of(build_encoder("hf:owner/old")))
    weights = [request for request in server.requests if "/cdn/" in request and request.startswith("GET")]
    assert [request.rsplit("--", 1)[1] for request in weights] == ["model.safetensors", "pytorch_model.bin"]


def test_a_twin_fetches_its_configuration_alone(server: Any, repository: Path, tmp_path: Path) -> None:
    server.add("owner/tiny", repository)
    twin = build_encoder("hf:owner/tiny", "random")
    assert server.fetched() == {"config.json", "preprocessor_config.json"}
    assert not [request for request in server.requests if "/cdn/" in request]
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    assert twin.settings()["weights"] == build_encoder(f"hf:{repository}", "random").settings()["weights"]
    assert twin.spec.sample_rate_hz == 24000
    build_encoder("hf:owner/tiny")
    assert server.fetched() == {"config.json", "preprocessor_config.json", "model.safetensors"}


def test_a_twin_of_a_repository_without_weights(server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        (repository / name).unlink()
    server.add("owner/tiny", repository)
    first = build_encoder("hf:owner/tiny", "random").settings()
    makeunreachable(server, "stopped", monkeypatch)
    assert build_encoder("hf:owner/tiny", "random").settings() == first
    with pytest.raises(WeightsError, match="owner/tiny: no weights found"):
        build_encoder("hf:owner/tiny")


def test_a_twin_of_a_repository_without_configuration(server: Any, repository: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (repository / name).unlink()
    server.add("owner/tiny", repository)
    with pytest.raises(WeightsError, match=r"owner/tiny: no configuration found\. Expected a config\.json"):
        build_encoder("hf:owner/tiny", "random")


# --- the second time -------------------------------------------------------------------------------------------------


def test_nothing_is_fetched_twice(server: Any, repository: Path) -> None:
    server.add("owner/tiny", repository)
    first = build_encoder("hf:owner/tiny").settings()
    server.requests.clear()
    assert build_encoder("hf:owner/tiny").settings() == first
    assert server.fetched() == set()


@pytest.mark.parametrize("revision", ["", f"@{NEW}"])
@pytest.mark.parametrize("how", ["stopped", "offline", "busy", "portal"])
def test_the_second_time_needs_no_hub(
    server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch, how: str, revision: str
) -> None:
    server.add("owner/tiny", repository)
    first = build_encoder(f"hf:owner/tiny{revision}")
    makeunreachable(server, how, monkeypatch)
    second = build_encoder(f"hf:owner/tiny{revision}")
    assert second.spec == first.spec
    assert second.settings() == first.settings()


def makeunreachable(server: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "stopped":
        server.stop()
        huggingface_hub.close_session()
    elif how == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif how == "busy":
        server.refuses["owner/tiny"] = (503, "")
    elif how == "portal":
        server.page = b"<html>Please log in to the network</html>"


@pytest.mark.parametrize("how", ["stopped", "offline", "busy", "portal", "silent"])
def test_the_first_time_without_a_hub(server: Any, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(hub, "ANSWER_S", 0.2)
    server.silent = how == "silent"
    makeunreachable(server, how, monkeypatch)
    start = time.perf_counter()
    with pytest.raises(WeightsError, match=r"the hub cannot be reached .* not in the local cache\. Connect .*-nano"):
        build_encoder("hf:owner/tiny")
    assert time.perf_counter() - start < 3


def test_another_revision_is_not_taken_from_the_cache(
    server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("owner/tiny", repository)
    build_encoder("hf:owner/tiny")
    makeunreachable(server, "stopped", monkeypatch)
    with pytest.raises(WeightsError, match=rf"the model at revision {OLD} is not in the local cache"):
        build_encoder(f"hf:owner/tiny@{OLD}")


def test_the_newest_of_several_snapshots_serves(server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("owner/tiny", repository, OLD)
    build_encoder(f"hf:owner/tiny@{OLD}")
    time.sleep(0.02)
    state = load_file(repository / "model.safetensors")
    newer = {key: tensor + 1 for key, tensor in state.items()}
    save_file(newer, repository / "model.safetensors", metadata={"format": "pt"})
    server.add("owner/tiny", repository, NEW)
    build_encoder("hf:owner/tiny")
    makeunreachable(server, "stopped", monkeypatch)
    assert build_encoder("hf:owner/tiny").spec.weights == f"owner/tiny at {NEW[:12]}"


def left_by_another_program(name: str, commit: str, *files: str) -> None:
    """Files of a repository in the shared cache, fetched without this package."""
    for file in files:
        huggingface_hub.hf_hub_download(name, file, revision=commit)


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_what_another_program_left_without_the_front_end(
    server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    """Its 24 kHz would become the default of 16 kHz without a word."""
    server.add("owner/tiny", repository)
    left_by_another_program("owner/tiny", NEW, "config.json", "model.safetensors")
    makeunreachable(server, "stopped", monkeypatch)
    why = rf"not in the local cache as a whole \(the snapshot of commit {NEW[:12]} lacks preprocessor_config\.json\)"
    with pytest.raises(WeightsError, match=why):
        build_encoder("hf:owner/tiny", weights)


def test_what_another_program_left_whole(server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("owner/tiny", repository)
    left_by_another_program("owner/tiny", NEW, "config.json", "preprocessor_config.json", "model.safetensors")
    makeunreachable(server, "stopped", monkeypatch)
    encoder = build_encoder("hf:owner/tiny")
    assert encoder.spec.sample_rate_hz == 24000
    assert encoder.spec.weights == f"owner/tiny at {NEW[:12]}"


def test_a_repository_without_a_front_end_is_whole_once_it_was_fetched(
    server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "preprocessor_config.json").unlink()
    server.add("owner/tiny", repository)
    first = build_encoder("hf:owner/tiny").settings()
    makeunreachable(server, "stopped", monkeypatch)
    assert build_encoder("hf:owner/tiny").settings() == first


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_file_that_is_gone_from_the_cache(
    server: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    server.add("owner/tiny", repository)
    build_encoder("hf:owner/tiny")
    (path,) = (tmp_path / "cache").rglob(file)
    path.unlink()
    makeunreachable(server, "stopped", monkeypatch)
    with pytest.raises(WeightsError, match=rf"as a whole \(the snapshot of commit {NEW[:12]} lacks {file}\)"):
        build_encoder("hf:owner/tiny")


@pytest.mark.parametrize("order", [("", f"@{OLD}"), (f"@{OLD}", ""), ("@v1", ""), ("", "@v1"), ("@main", f"@{OLD}")])
def test_offline_a_name_means_what_it_meant(
    server: Any, repository: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, str]
) -> None:
    """Whatever was downloaded last."""
    server.add("owner/tiny", repository, OLD)
    server.add("owner/tiny", repository, NEW)
    for revision in order:
        build_encoder(f"hf:owner/tiny{revision}")
        time.sleep(0.02)
    makeunreachable(server, "stopped", monkeypatch)
    for revision, commit in [(order[0], None), (order[1], None), ("", NEW), (f"@{OLD}", OLD)]:
        commit = commit or (OLD if revision in ("@v1", f"@{OLD}") else NEW)
        assert build_encoder(f"hf:owner/tiny{revision}").spec.weights == f"owner/tiny at {commit[:12]}"


def test_a_name_whose_commit_is_gone_from_the_cache(
    server: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("owner/tiny", repository, OLD)
    server.add("owner/tiny", repository, NEW)
    build_encoder("hf:owner/tiny")
    build_encoder(f"hf:owner/tiny@{OLD}")
    (snapshot,) = (tmp_path / "cache").rglob(NEW)
    shutil.rmtree(snapshot)
    makeunreachable(server, "stopped", monkeypatch)
    with pytest.raises(
        WeightsError, match=rf"not in the local cache \(it stood for commit {NEW[:12]} when it was last f"
    ):
        build_encoder("hf:owner/tiny")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"files": 3}', '{"repository": "other/name"}'])
def test_a_damaged_note_is_none(
    server: Any, repository: Path, affekt_home: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    server.add("owner/tiny", repository)
    build_encoder("hf:owner/tiny")
    notes = list((affekt_home / "hub").iterdir())
    assert len(notes) == 2
    for path in notes:
        path.write_text(content)
    assert downloads.commit_of("owner/tiny", None) is None and downloads.files_of("owner/tiny", NEW) is None
    makeunreachable(server, "stopped", monkeypatch)
    assert build_encoder("hf:owner/tiny").spec.weights == f"owner/tiny at {NEW[:12]}"


def test_a_note_that_cannot_be_written_stops_nothing(
    server: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").touch()
    monkeypatch.setenv("AFFEKT_HOME", str(tmp_path / "taken"))
    server.add("owner/tiny", repository)
    build_encoder("hf:owner/tiny")


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_file_damaged_on_the_way(server: Any, repository: Path, tmp_path: Path) -> None:
    server.add("owner/tiny", repository)
    server.damaged.add("model.safetensors")
    with pytest.raises(WeightsError, match=r"model\.safetensors: damaged in transfer \(hash .*\)\. Run again"):
        build_encoder("hf:owner/tiny")
    size = (repository / "model.safetensors").stat().st_size
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_symlink() or path.is_file()]
    assert not [path for path in left if path.name == "model.safetensors" or path.stat().st_size == size]
    server.damaged.clear()
    assert same(weights_of(build_encoder("hf:owner/tiny")), load_file(repository / "model.safetensors"))


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "RepoNotFound", r"refuses access \(401\).*Check the name.*HF_TOKEN"),
        (403, "GatedRepo", r"refuses access \(403\).*accept its terms"),
        (403, "", r"refuses access \(403\)"),
        (404, "RepoNotFound", r"not to be had from the hub \(404\)\. Check the name and the revision"),
        (410, "", r"not to be had from the hub \(410\)"),
    ],
)
def test_refusals(server: Any, status: int, code: str, message: str) -> None:
    server.refuses["owner/tiny"] = (status, code)
    with pytest.raises(WeightsError, match=rf"owner/tiny at revision v1: .*{message}"):
        build_encoder("hf:owner/tiny@v1")


def test_an_unknown_revision(server: Any, repository: Path) -> None:
    server.add("owner/tiny", repository)
    with pytest.raises(WeightsError, match=r"owner/tiny at revision v9: not to be had from the hub \(404\)"):
        build_encoder("hf:owner/tiny@v9")


def test_a_repository_without_weights(server: Any, repository: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        (repository / name).unlink()
    server.add("owner/tiny", repository)
    with pytest.raises(WeightsError, match=r"owner/tiny: no weights found\. Expected one of: model\.safetensors"):
        build_encoder("hf:owner/tiny")
    assert server.fetched() == set()


@pytest.mark.parametrize("name", ["own er/tiny", "owner/ti--ny", "owner/-tiny", "öwner/tiny", f"o/{'x' * 200}"])
def test_impossible_names(server: Any, name: str) -> None:
    with pytest.raises(WeightsError, match="cannot be the name of a repository"):
        find_checkpoint(name)
    assert not server.requests


def test_a_cache_that_cannot_be_written(
    server: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("owner/tiny", repository)
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match=r"the download cannot be written .*HF_HOME"):
        build_encoder("hf:owner/tiny")


def test_settings_of_the_hub_come_from_the_environment(tmp_path: Path) -> None:
    """In a process of its own, where nothing is patched: a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    code = (
        "from affekt.encoders.hub import find_checkpoint\nfrom affekt.errors import WeightsError\n"
        "try: find_checkpoint('owner/tiny')\nexcept WeightsError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "NO_PROXY": "*"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("owner/tiny: the hub cannot be reached (ConnectError)")
    assert done.stderr == ""
