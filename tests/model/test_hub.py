"""Pushed with the real client, and fetched again, over a server on this machine that answers as the hub does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affekt.errors import DataError, StorageError, WeightsError
from affekt.model.predictor import load_model


def test_pushed_and_fetched_it_says_the_same(server: Any, ridge_bundle: Path, song_folder: Path) -> None:
    model = load_model(ridge_bundle)
    address = model.push_to_hub("me/moods", token="hf_x")
    assert "me/moods" in address
    files = server.repositories["me/moods"][server.revisions["main"]]
    assert set(files) == {"model.json", "model.safetensors", "README.md"}
    assert b"library_name: affekt" in files["README.md"] and b"R\xc2\xb2" in files["README.md"]
    fetched = load_model("me/moods")
    song = song_folder / "audio" / "song05.wav"
    assert fetched.fingerprint == model.fingerprint
    assert fetched.predict(song).values == model.predict(song).values


def test_what_lies_beside_it_is_not_fetched(server: Any, ridge_bundle: Path, tmp_path: Path) -> None:
    load_model(ridge_bundle).push_to_hub("me/moods", token="hf_x")
    server.repositories["me/moods"][server.revisions["main"]] |= {"evil.py": b"raise SystemExit", "a.pkl": b""}
    load_model("me/moods")
    assert server.fetched() <= {"model.json", "model.safetensors", "README.md"}


def test_a_hub_that_refuses(server: Any, ridge_bundle: Path) -> None:
    with pytest.raises(StorageError, match="the hub did not take it"):
        load_model(ridge_bundle).push_to_hub("me/moods", token=False)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="cannot be the name"):
        load_model(ridge_bundle).push_to_hub("me/my moods!", token="hf_x")


def test_a_model_that_is_not_there(server: Any) -> None:
    with pytest.raises(WeightsError):
        load_model("me/nothing")
    with pytest.raises(DataError, match="no such folder"):
        load_model("a/b/c")
