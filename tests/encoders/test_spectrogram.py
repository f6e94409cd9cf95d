"""The front end of spectrogram encoders, what their key depends on, and where their weights come from."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from affekt.audio.spectrogram import LogMel, SpecAugment
from affekt.encoders import build_encoder
from affekt.encoders.mambavision import VARIANTS, MambaVision, build
from affekt.encoders.published import MAMBAVISION
from affekt.encoders.spectrogram import SpectrogramEncoder
from affekt.errors import EncoderError, WeightsError
from affekt.registry import ENCODERS


@pytest.fixture(scope="module")
def model() -> MambaVision:
    return build(VARIANTS["nano"], seed=0)


@pytest.fixture
def clips() -> np.ndarray:
    """Two clips of one second."""
    rng = np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    return np.stack([tone, rng.uniform(-1, 1, 16000)]).astype(np.float32)


def encode(model: MambaVision, **front_end: Any) -> SpectrogramEncoder:
    return SpectrogramEncoder("nano", model, "random weights (seed 0)", "none", LogMel(**front_end))


# --- the front end ---------------------------------------------------------------------------------------------------


def test_input_is_the_log_mel_image(model: MambaVision, clips: np.ndarray) -> None:
    encoder = encode(model)
    expected = LogMel().image(torch.from_numpy(clips), 128, 128)
    assert torch.equal(encoder.preprocess(torch.from_numpy(clips)), expected)
    stored = encoder.activations(clips, encoder.cut("none"))
    assert stored.shape == (2, 1, 128, 128)
    np.testing.assert_array_equal(stored, expected.numpy())


def test_embedding_is_that_of_the_image_with_its_channel_three_times(model: MambaVision, clips: np.ndarray) -> None:
    encoder = encode(model)
    with torch.no_grad():
        expected = model.eval().forward_features(LogMel().image(torch.from_numpy(clips), 128, 128).repeat(1, 3, 1, 1))
    found = encoder.activations(clips, encoder.cut("all"))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert encoder.spec.embedding_dim == model.config.n_features == found.shape[1]


def test_sample_rate_is_that_of_the_front_end(model: MambaVision) -> None:
    assert encode(model).spec.sample_rate_hz == 16000
    assert encode(model, sample_rate_hz=22050).spec.sample_rate_hz == 22050


CHANGES: dict[str, Any] = {
    "sample_rate_hz": 22050,
    "n_fft": 1024,
    "win_length": 1024,
    "hop_length": 256,
    "n_mels": 128,
    "f_min_hz": 20.0,
    "f_max_hz": None,
    "mel_scale": "htk",
    "area_normalised": False,
    "power": 1.0,
    "amin": 1e-8,
    "dynamic_range_db": 60.0,
    "pad_mode": "reflect",
}


@pytest.mark.parametrize("constant", [field.name for field in fields(LogMel)])
def test_key_follows_every_constant_of_the_front_end(model: MambaVision, constant: str) -> None:
    before, after = encode(model).settings(), encode(model, **{constant: CHANGES[constant]}).settings()
    assert before["front_end"] != after["front_end"]
    assert {**before, "front_end": ""} == {**after, "front_end": ""}
    assert json.loads(json.dumps(after)) == after


def test_key_follows_image_size_and_weights(model: MambaVision) -> None:
    before = encode(model).settings()
    larger = build(replace(VARIANTS["nano"], image_size=96), seed=0)
    other = build(VARIANTS["nano"], seed=1)
    assert [key for key, value in encode(larger).settings().items() if value != before[key]] == ["config"]
    assert [key for key, value in encode(other).settings().items() if value != before[key]] == ["weights"]


# --- masks while training --------------------------------------------------------------------------------------------


def test_masks_only_where_the_image_is_the_input(model: MambaVision) -> None:
    encoder = encode(model)
    for freeze in ("last1", "last3", "none"):
        suffix = encoder.suffix(encoder.cut(freeze))
        assert suffix is not None
        assert isinstance(suffix.augment, SpecAugment) == (freeze == "none")


def test_masks_in_training_alone(model: MambaVision, clips: np.ndarray) -> None:
    encoder = encode(model)
    cut = encoder.cut("none")
    suffix = encoder.suffix(cut)
    assert suffix is not None
    images = torch.from_numpy(encoder.activations(clips, cut)).repeat(8, 1, 1, 1)
    assert torch.equal(suffix.eval().augment(images), images)
    torch.manual_seed(0)
    hidden = suffix.train().augment(images) != images  # (clip, 1, row, column)
    assert 0 < hidden.float().mean() < 0.5
    # A clip of 5 s has 157 frames, of which the founding recipe hides up to 30, and up to 15 of 256 bands.
    columns, rows = hidden[:, 0].all(dim=1).sum(dim=1), hidden[:, 0].all(dim=2).sum(dim=1)
    assert 0 < columns.max() <= round(30 / 157 * 128)
    assert 0 < rows.max() <= round(15 / 256 * 128)


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> dict[str, torch.Tensor]:
    """Weights in a folder, as they are published."""
    state = {key: tensor + 0.01 for key, tensor in build(VARIANTS["nano"], seed=7).state_dict().items()}
    save_file({f"model.{key}": tensor for key, tensor in state.items()}, tmp_path / "model.safetensors")
    return state


@pytest.mark.parametrize("name", ["best.safetensors", "best.pth.tar", "model.safetensors", ""])
def test_weights_from_a_file_or_folder(tmp_path: Path, published: dict[str, torch.Tensor], name: str) -> None:
    if name == "best.safetensors":
        (tmp_path / "model.safetensors").rename(tmp_path / name)
    elif name == "best.pth.tar":
        torch.save({"state_dict": published}, tmp_path / name)
    encoder = build_encoder("mambavision-nano", str(tmp_path / name))
    assert isinstance(encoder, SpectrogramEncoder)
    found = {key: tensor for key, tensor in encoder.model.state_dict().items() if "num_batches" not in key}
    assert all(torch.equal(tensor, published[key]) for key, tensor in found.items())
    assert (name or f"folder {tmp_path.name}") in encoder.spec.weights
    assert "random" not in encoder.spec.weights


def test_weights_of_another_variant(tmp_path: Path) -> None:
    other = build(replace(VARIANTS["nano"], dim=24), seed=0)
    save_file(other.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"problems in .*model\.safetensors[^$]*nothing was loaded"):
        build_encoder("mambavision-nano", str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("name", ["song.mp3", "model.safetensors", "best.pth.tar"])
def test_a_file_that_holds_no_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"ID3 and so on")
    with pytest.raises(WeightsError, match=rf"{name}"):
        build_encoder("mambavision-nano", str(tmp_path / name))


@pytest.mark.parametrize("weights", ["./nowhere.safetensors", "/nowhere/model.safetensors", "pretraind", "~/nowhere"])
def test_a_path_to_nothing(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="no such folder, and not a repository"):
        build_encoder("mambavision-nano", weights)


def test_every_published_variant_has_a_repository() -> None:
    published = {name for name in ENCODERS.names() if name.startswith("mambavision-")} - {"mambavision-nano"}
    assert published == MAMBAVISION.keys() == {f"mambavision-{variant}" for variant in VARIANTS} - {"mambavision-nano"}


def test_an_unknown_variant() -> None:
    with pytest.raises(EncoderError, match=r'unknown encoder\. Did you mean "mambavision-'):
        build_encoder("mambavision-xl")
