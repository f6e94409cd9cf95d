"""AST, Whisper and CLAP against transformers: front ends against its feature extractors, stages against its models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from affekt.audio.spectrogram import LogMel
from affekt.encoders import build_encoder
from affekt.encoders.audio_spectrogram import AstFrontEnd, WhisperFrontEnd
from affekt.encoders.pretrained import FrontEnd, PretrainedEncoder
from affekt.errors import ConfigError, WeightsError

Make = Callable[..., Any]

RATES_HZ = {"audio-spectrogram-transformer": 16000, "whisper": 16000, "clap": 48000}


def sounds(rate_hz: int, length_s: float) -> np.ndarray:
    """Noise, a soft chord, a decaying hiss, and digital silence, the middle two with noise as of 16 bits; (4, n)."""
    rng = np.random.default_rng(0)
    t_s = np.arange(round(length_s * rate_hz)) / rate_hz
    noise, floor = rng.uniform(-0.9, 0.9, t_s.size), 1e-5 * rng.normal(size=t_s.size)
    chord = 0.1 * np.sin(2 * np.pi * 220 * t_s) + 0.05 * np.sin(2 * np.pi * 277 * t_s)
    hiss = np.exp(-50 * t_s) * rng.uniform(-1, 1, t_s.size) + 0.2
    return np.stack([noise, chord + floor, hiss + floor, np.zeros(t_s.size)]).astype(np.float32)


def extracted(extractor: Any, clips: np.ndarray) -> np.ndarray:
    """What transformers makes of each clip."""
    features = extractor(list(clips), sampling_rate=extractor.sampling_rate, return_tensors="np")
    return np.asarray(features[extractor.model_input_names[0]])


# --- front ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length_s", [0.03, 0.5, 3.0, 10.24, 10.26])
@pytest.mark.parametrize("normalised", [True, False])
def test_ast(length_s: float, normalised: bool) -> None:
    clips = sounds(16000, length_s)
    theirs = extracted(transformers.ASTFeatureExtractor(do_normalize=normalised), clips)  # (clips, frames, bands)
    mean, std = (-4.2677393, 4.5689974) if normalised else (0.0, 0.5)
    ours = AstFrontEnd(16000, 128, 1024, mean, std)(torch.from_numpy(clips)).numpy()
    np.testing.assert_allclose(ours[..., :-1], theirs, rtol=1e-4, atol=1e-4)
    n_frames = max(1, 1 + (clips.shape[1] - 400) // 160)
    assert ours[..., -1].sum(axis=1).tolist() == [n_frames] * 4
    assert (ours[:, :n_frames, -1] == 1).all()


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("length_s", [0.02, 5.0, 30.0])
def test_whisper(length_s: float, n_mels: int) -> None:
    clips = sounds(16000, length_s)
    theirs = extracted(transformers.WhisperFeatureExtractor(feature_size=n_mels), clips)  # (clips, bands, 3000)
    mel = LogMel(n_fft=400, win_length=400, hop_length=160, n_mels=n_mels, pad_mode="reflect")
    ours = WhisperFrontEnd(mel, 30)(torch.from_numpy(clips)).numpy()
    np.testing.assert_allclose(ours[..., :-1], theirs.swapaxes(1, 2), rtol=1e-4, atol=1e-4)
    n_frames = round(100 * length_s)
    assert ours[..., -1].sum(axis=1).tolist() == [n_frames] * 4
    assert (ours[:, :n_frames, -1] == 1).all()


@pytest.mark.parametrize(
    ("length_s", "truncation", "padding"),
    [
        (0.3, "rand_trunc", "repeatpad"),
        (3.0, "fusion", "repeatpad"),
        (3.0, "rand_trunc", "repeat"),
        (3.0, "fusion", "pad"),
        (10.0, "rand_trunc", "repeatpad"),
    ],
)
def test_clap(length_s: float, truncation: str, padding: str, tmp_path: Path, publish: Make) -> None:
    """The settings go through the official file, so that their meaning is tested with them."""
    publish("clap_audio_model", tmp_path, num_mel_bins=64, spec_size=256)
    extractor = transformers.ClapFeatureExtractor(frequency_min=50, truncation=truncation, padding=padding)
    extractor.save_pretrained(tmp_path)
    clips = sounds(48000, length_s)
    theirs = extracted(extractor, clips)[:, :1]  # (clips, 1, frames, bands); with fusion four times the same
    ours = front_end_of(tmp_path)(torch.from_numpy(clips)).numpy()
    assert ours.shape == theirs.shape == (4, 1, 1001, 64)
    error_db = np.abs(ours - theirs)
    assert error_db[theirs > -60].max() < 0.01, "the loudest values are about +40"
    assert error_db.max() < 1, "close to the floor of -100 single precision shows"


def front_end_of(folder: Path) -> FrontEnd:
    encoder = build_encoder(f"hf:{folder}")
    assert isinstance(encoder, PretrainedEncoder)
    return encoder.front_end


def test_the_front_ends_of_the_published_models(tmp_path: Path, publish: Make) -> None:
    """Values of preprocessor_config.json as published; without one, the defaults are the same."""
    files: dict[str, dict[str, Any]] = {
        "audio-spectrogram-transformer": {"do_normalize": True, "max_length": 1024, "mean": -4.2677393},
        "whisper": {"chunk_length": 30, "feature_size": 80, "hop_length": 160, "n_fft": 400, "nb_max_frames": 3000},
        "clap": {
            "feature_size": 64,
            "fft_window_size": 1024,
            "max_length_s": 10,
            "top_db": None,
            "truncation": "fusion",
        },
    }
    shapes: dict[str, dict[str, Any]] = {
        "audio-spectrogram-transformer": {"num_mel_bins": 128, "max_length": 1024},
        "whisper": {"num_mel_bins": 80, "max_source_positions": 1500},
        "clap": {
            "audio_config": {"hidden_size": 16, "projection_dim": 8, "depths": [1, 1], "num_attention_heads": [2, 2]}
        },
    }
    for family, said in files.items():
        publish(family, tmp_path / family, **shapes[family])
        path = tmp_path / family / "preprocessor_config.json"
        path.unlink()
        without = front_end_of(tmp_path / family)
        path.write_text(json.dumps(said))
        assert front_end_of(tmp_path / family) == without
        assert without.sample_rate_hz == RATES_HZ[family]
    whole_s = [front_end_of(tmp_path / family).longest_clip or 0 for family in files]
    assert whole_s == [1024 * 160 + 399, 30 * 16000, 10 * 48000]


def test_shorter_than_a_frame() -> None:
    ours = AstFrontEnd(16000, 16, 8, 0.0, 0.5)(torch.ones(1, 10))
    assert torch.isfinite(ours).all() and ours[0, :, -1].tolist() == [1] + 7 * [0]


# --- stages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clips() -> np.ndarray:
    """Three clips of 0.33 s at 16 kHz."""
    return sounds(16000, 0.33)[:3]


@pytest.fixture(params=["audio-spectrogram-transformer", "whisper"])
def transformer(request: pytest.FixtureRequest, publish: Make, tmp_path: Path) -> tuple[PretrainedEncoder, Any]:
    """An encoder, and the model of transformers that was published."""
    model = publish(request.param, tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, PretrainedEncoder)
    return encoder, model.encoder if request.param == "whisper" else model


def test_hidden_states_are_those_of_transformers(transformer: tuple[PretrainedEncoder, Any], clips: np.ndarray) -> None:
    encoder, model = transformer
    spectrograms = encoder.preprocess(torch.from_numpy(clips))[..., :-1]
    with torch.no_grad():
        seen = spectrograms if encoder.front_end.sample_rate_hz and "AST" in type(model).__name__ else spectrograms.mT
        theirs = model(seen, output_hidden_states=True)
    for index in range(2):  # what enters layer index + 1
        found = encoder.activations(clips, encoder.cut(f"last{2 - index}"))
        np.testing.assert_allclose(found[..., :-1], theirs.hidden_states[index].numpy(), rtol=1e-4, atol=2e-5)
    sound = found[0, :, -1].astype(bool)
    mean = theirs.last_hidden_state.numpy()[:, sound].mean(axis=1)
    np.testing.assert_allclose(encoder.activations(clips, encoder.cut("all")), mean, rtol=1e-4, atol=2e-5)


def test_ast_pools_the_patches_that_begin_within_the_clip(publish: Make, tmp_path: Path, clips: np.ndarray) -> None:
    publish("audio-spectrogram-transformer", tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    sound = encoder.activations(clips, encoder.cut("last1"))[0, :, -1]
    assert sound[:2].tolist() == [0, 0], "class and distillation token are no part of the sound"
    # 31 frames of 72; patches of 8 x 8 each 6 frames and each 6 of 16 bands, row by row
    by_row = sound[2:].reshape(2, 11)
    assert by_row.tolist() == 2 * [[1.0] * 6 + [0.0] * 5]


def test_whisper_pools_the_frames_of_the_clip(publish: Make, tmp_path: Path, clips: np.ndarray) -> None:
    publish("whisper", tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    sound = encoder.activations(clips, encoder.cut("last1"))[0, :, -1]
    assert sound.tolist() == 17 * [1.0] + 33 * [0.0]  # 33 frames of 10 ms become 17 of 20 ms, of 50 in one second


def test_the_table_of_positions_stays_as_it_is(publish: Make, tmp_path: Path, clips: np.ndarray) -> None:
    """Whisper's is a fixed sinusoid: it is part of the model and of the key, and never trained."""
    publish("whisper", tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, PretrainedEncoder)
    suffix = encoder.suffix(encoder.cut("none"))
    assert suffix is not None
    suffix(torch.from_numpy(encoder.activations(clips, encoder.cut("none")))).sum().backward()
    assert not [name for name, _ in suffix.named_parameters() if "positions" in name]
    assert encoder.model.embed_positions.weight.grad is None
    before = encoder.settings(encoder.cut("last2"))["weights"]
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, PretrainedEncoder)
    with torch.no_grad():
        encoder.model.embed_positions.weight.add_(1)
    assert encoder.settings(encoder.cut("last2"))["weights"] != before


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("length_s", [0.3, 1.0])
def test_clap_is_that_of_transformers(publish: Make, tmp_path: Path, fused: bool, length_s: float) -> None:
    """A model with fusion of long clips gives for a short one what it gives without."""
    model = publish("clap_audio_model", tmp_path, enable_fusion=fused)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, PretrainedEncoder)
    clips = sounds(48000, length_s)[:3]
    mel = encoder.preprocess(torch.from_numpy(clips))
    with torch.no_grad():
        theirs = model(mel.expand(-1, 4 if fused else 1, -1, -1), is_longer=torch.zeros(3, 1, dtype=torch.bool))
    found = encoder.activations(clips, encoder.cut("all"))
    np.testing.assert_allclose(found, theirs.pooler_output.numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("freeze", ["none", "last2"])
def test_gradients_of_clap_are_those_of_transformers(publish: Make, tmp_path: Path, freeze: str) -> None:
    model = publish("clap_audio_model", tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, PretrainedEncoder)
    clips = sounds(48000, 0.5)[:3]
    suffix = encoder.suffix(encoder.cut(freeze))
    assert suffix is not None
    stored = torch.from_numpy(encoder.activations(clips, encoder.cut(freeze)))
    suffix.eval()(stored).square().sum().backward()
    # Contiguous, or torch 2.13 gives the weights of transformers' batch norm wrong gradients.
    model(encoder.preprocess(torch.from_numpy(clips)).contiguous()).pooler_output.square().sum().backward()
    theirs = {name: p.grad for name, p in model.audio_encoder.named_parameters()}
    named = {id(p): name for name, p in encoder.model.audio_encoder.named_parameters()}
    behind = [p for stage in encoder.stages()[encoder.cut(freeze).index :] for p in stage.parameters()]
    assert len(behind) == len(list(suffix.parameters())) == (len(named) if freeze == "none" else len(behind))
    for one, original in zip(suffix.parameters(), behind, strict=True):
        expected = theirs[named[id(original)]]
        assert one.grad is not None and expected is not None
        torch.testing.assert_close(one.grad, expected, rtol=1e-3, atol=1e-4, msg=named[id(original)])


# --- checkpoints -----------------------------------------------------------------------------------------------------


HEADS = [
    ("audio-spectrogram-transformer", "ASTForAudioClassification"),
    ("whisper", "WhisperForConditionalGeneration"),
    ("whisper", "WhisperForAudioClassification"),
    ("clap", "ClapModel"),
    ("clap_audio_model", "ClapAudioModelWithProjection"),
]


@pytest.mark.parametrize(("family", "architecture"), HEADS)
def test_a_larger_model_comes_without_the_rest(
    publish: Make, tmp_path: Path, family: str, architecture: str, clips: np.ndarray
) -> None:
    whole = publish(family, tmp_path, architecture=getattr(transformers, architecture))
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, PretrainedEncoder)
    theirs = {id(p): (name, p) for name, p in whole.named_parameters()}
    matched = [
        name
        for own, ours in encoder.model.named_parameters()
        for name, p in theirs.values()
        if name.endswith(own) and "decoder" not in name and "text" not in name and torch.equal(ours, p)
    ]
    assert len(matched) >= len(list(encoder.model.parameters()))
    assert encoder.n_parameters() < sum(p.numel() for p in whole.parameters())
    assert not [name for name, _ in encoder.model.named_modules() if "decoder" in name or "text" in name]


def test_official_files_name_their_weights_as_before(publish: Make, tmp_path: Path) -> None:
    """The published AST names its weights as transformers did then; saving keeps these names, so loading is tested."""
    publish("audio-spectrogram-transformer", tmp_path)
    assert "encoder.layer.0.attention.attention.query.weight" in load_file(tmp_path / "model.safetensors")


MISMATCHES: list[tuple[str, dict[str, Any], str]] = [
    ("audio-spectrogram-transformer", {"num_mel_bins": 32}, "says num_mel_bins = 32, but the model .* takes 16"),
    ("audio-spectrogram-transformer", {"max_length": 100}, "says max_length = 100, but the model .* takes 72"),
    ("whisper", {"feature_size": 80}, "says feature_size = 80, but the model .* takes 16"),
    ("whisper", {"chunk_length": 30}, "says frames of chunk_length = 3000, but the model .* takes 100"),
    ("clap", {"feature_size": 64}, "says feature_size = 64, but the model .* takes 8"),
    ("clap", {"max_length_s": 10}, "says frames of max_length_s = 1001, but the model .* takes 128"),
]


@pytest.mark.parametrize(("family", "said", "message"), MISMATCHES)
def test_files_of_different_models(
    publish: Make, tmp_path: Path, family: str, said: dict[str, Any], message: str
) -> None:
    publish(family, tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))
    with pytest.raises(WeightsError, match=f"feature extractor's file {message}"):
        build_encoder(f"hf:{tmp_path}")


def test_all_mistakes_of_a_preprocessor_file_are_named(publish: Make, tmp_path: Path) -> None:
    publish("clap", tmp_path)
    said = {"hop_length": 0, "frequency_min": "low", "padding": "mirror", "fft_window_size": 10.5, "top_db": None}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    with pytest.raises(WeightsError, match=r"4 problems in preprocessor_config\.json") as caught:
        build_encoder(f"hf:{tmp_path}")
    assert "hop_length = 0, but allowed is a whole number above 0" in str(caught.value)
    assert "frequency_min = 'low', but allowed is a number" in str(caught.value)
    assert "padding = 'mirror', but allowed is 'repeatpad' or 'repeat' or 'pad'" in str(caught.value)


@pytest.mark.parametrize("older_too", [False, True])
def test_the_newer_file_of_settings(publish: Make, tmp_path: Path, older_too: bool) -> None:
    """Saved with its tokenizer, a feature extractor lies within processor_config.json since version 5."""
    publish("clap", tmp_path)
    expected, older = front_end_of(tmp_path), tmp_path / "preprocessor_config.json"
    nested = {"processor_class": "ClapProcessor", "feature_extractor": json.loads(older.read_text())}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    older.write_text('{"hop_length": 240}') if older_too else older.unlink()
    assert front_end_of(tmp_path) == expected
    (tmp_path / "processor_config.json").write_text('{"processor_class": "ClapProcessor"}')
    if older_too:
        with pytest.raises(WeightsError, match=r"frames of max_length_s = 2001, but"):
            front_end_of(tmp_path)


@pytest.mark.parametrize(
    ("family", "longest_s"), [("audio-spectrogram-transformer", 0.7449375), ("whisper", 1.0), ("clap", 1.0)]
)
def test_clips_that_are_too_long(publish: Make, tmp_path: Path, family: str, longest_s: float) -> None:
    publish(family, tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, PretrainedEncoder)
    assert encoder.longest_clip_s == longest_s
    assert encoder.spec.sample_rate_hz is not None
    longest = round(longest_s * encoder.spec.sample_rate_hz)
    whole = np.random.default_rng(0).uniform(-1, 1, (1, longest + 1)).astype(np.float32)
    assert np.isfinite(encoder.activations(whole[:, :-1], encoder.cut("all"))).all()
    with pytest.raises(ConfigError, match=r"hears .* s at most\. Set clips\.length_s to (0\.7|1) or less"):
        encoder.activations(whole, encoder.cut("all"))
