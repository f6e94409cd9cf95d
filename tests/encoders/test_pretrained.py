"""Every family behind `hf:`: from a folder, through the real download, untrained, and what can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from affekt.encoders import build_encoder
from affekt.encoders.auto import FAMILIES
from affekt.encoders.staged import StagedEncoder
from affekt.errors import EncoderError, WeightsError

Make = Callable[..., Any]


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(family: str, publish: Make, tmp_path: Path) -> Path:
    """A tiny checkpoint of each family, in the official layout."""
    publish(family, tmp_path / "published")
    return tmp_path / "published"


def built(name: str, weights: str = "pretrained", seed: int = 0) -> StagedEncoder:
    encoder = build_encoder(name, weights, seed)
    assert isinstance(encoder, StagedEncoder)
    return encoder


def test_through_the_hub(server: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    (folder / "tokenizer.json").write_text("{}")
    server.add("owner/tiny", folder)
    fetched, local = built("hf:owner/tiny"), built(f"hf:{folder}")
    assert fetched.spec.weights == f"owner/tiny at {'0' * 12}"
    assert local.spec.weights == "folder published"
    assert fetched.settings()["weights"] == local.settings()["weights"]
    assert server.fetched() <= {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert not list((tmp_path / "cache").rglob("*.py"))
    assert fetched.spec.sample_rate_hz == local.spec.sample_rate_hz
    rate_hz = fetched.spec.sample_rate_hz
    assert rate_hz is not None
    clips = np.random.default_rng(0).uniform(-1, 1, (1, rate_hz // 4)).astype(np.float32)
    one, other = (encoder.activations(clips, encoder.cut("all")) for encoder in (fetched, local))
    np.testing.assert_array_equal(one, other)


def test_untrained_twins(folder: Path) -> None:
    before = torch.get_rng_state()
    trained, twin, again, other = (
        built(f"hf:{folder}", weights, seed)
        for weights, seed in (("pretrained", 0), ("random", 0), ("random", 0), ("random", 1))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert twin.spec.weights == "random weights (seed 0)" and twin.spec.licence == "none"
    assert (twin.drawn, trained.drawn) == (True, False)
    assert twin.settings() == again.settings()
    digests = {encoder.settings()["weights"] for encoder in (trained, twin, other)}
    assert len(digests) == 3
    assert twin.n_parameters() == trained.n_parameters()
    assert {**twin.settings(), "weights": ""} == {**trained.settings(), "weights": ""}


def test_half_precision_files_are_widened(family: str, make_tiny: Make, tmp_path: Path) -> None:
    make_tiny(family).half().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    assert torch.float16 in {tensor.dtype for tensor in load_file(path).values()}
    for weights in ("pretrained", "random"):
        encoder = built_without_front_end_file(family, tmp_path, weights)
        assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}


def built_without_front_end_file(family: str, folder: Path, weights: str) -> StagedEncoder:
    """Where there is no preprocessor_config.json, its defaults must fit the sizes of the tiny model."""
    said = {"whisper": {"chunk_length": 1}, "clap": {"max_length_s": 1}, "clap_audio_model": {"max_length_s": 1}}
    (folder / "preprocessor_config.json").write_text(json.dumps(said.get(family, {})))
    return built(f"hf:{folder}", weights)


def test_the_older_kind_of_file(family: str, folder: Path) -> None:
    before = built(f"hf:{folder}").settings()
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert built(f"hf:{folder}").settings() == before


#: A weight that each family needs, in the names of its file.
NEEDED = {
    "audio-spectrogram-transformer": "encoder.layer.1.attention.attention.query.weight",
    "whisper": "encoder.layers.1.fc1.weight",
    "clap": "audio_model.audio_encoder.layers.1.blocks.0.intermediate.dense.weight",
    "clap_audio_model": "audio_encoder.norm.weight",
    "convnext": "encoder.stages.1.layers.0.dwconv.weight",
    "swin": "encoder.layers.1.blocks.0.intermediate.dense.weight",
    "vit": "embeddings.cls_token",
}


@pytest.mark.parametrize("family", list(NEEDED))
def test_missing_weights(family: str, publish: Make, tmp_path: Path) -> None:
    publish(family, tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    del state[NEEDED[family]]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"does not fit the architecture\. Missing: .*\(1\)"):
        build_encoder(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("family", "other"), [("whisper", "decoder."), ("clap", "text_"), ("clap", "audio_projection")]
)
def test_parts_that_are_not_used_may_be_missing(family: str, other: str, publish: Make, tmp_path: Path) -> None:
    publish(family, tmp_path)
    before = built(f"hf:{tmp_path}").settings()
    path = tmp_path / "model.safetensors"
    state = {key: tensor for key, tensor in load_file(path).items() if not key.startswith(other)}
    assert len(state) < len(load_file(path))
    save_file(state, path, metadata={"format": "pt"})
    assert built(f"hf:{tmp_path}").settings() == before


def test_all_families_are_named_where_one_is_not_known(saved: Path) -> None:
    transformers.ResNetConfig().save_pretrained(saved)
    with pytest.raises(EncoderError, match=r'"resnet" cannot be cut\. Families that work: ') as caught:
        build_encoder(f"hf:{saved}")
    assert all(family in str(caught.value) for family in FAMILIES)


def test_a_spectrogram_model_under_the_name_of_a_waveform_model(publish: Make, tmp_path: Path) -> None:
    publish("whisper", tmp_path)
    with pytest.raises(EncoderError, match=r'wav2vec2-base: "whisper" cannot be cut\. Families that work: wav2vec2, '):
        build_encoder("wav2vec2-base", str(tmp_path))


def test_every_family_is_known_to_transformers(family: str) -> None:
    assert family in transformers.CONFIG_MAPPING
