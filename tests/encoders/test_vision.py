"""Vision models on log-mel images against transformers' own forward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from affekt.audio.spectrogram import LogMel, SpecAugment
from affekt.encoders import build_encoder
from affekt.encoders.vision import VisionEncoder

Make = Callable[..., Any]

FAMILIES = ["convnext", "convnextv2", "swin", "vit", "deit"]
#: Class and distillation token.
N_SPECIAL = {"vit": 1, "deit": 2}


@pytest.fixture
def clips() -> np.ndarray:
    """Three clips of 0.4 s."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (3, 6400)).astype(np.float32)


def built(folder: Path) -> VisionEncoder:
    encoder = build_encoder(f"hf:{folder}")
    assert isinstance(encoder, VisionEncoder)
    return encoder


def images(encoder: VisionEncoder, clips: np.ndarray) -> torch.Tensor:
    """What the model of transformers is given, (clips, 3, height, width)."""
    return encoder.preprocess(torch.from_numpy(clips)).repeat(1, 3, 1, 1)


# --- the forward pass ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *((family, {}) for family in FAMILIES),
        ("swin", {"image_size": 30}),  # not a whole number of patches
        ("swin", {"image_size": 28}),  # a grid of odd size, which is no whole number of windows
        ("swin", {"use_absolute_embeddings": True}),
        ("vit", {"image_size": [32, 16]}),
        ("convnext", {"image_size": 40, "layer_scale_init_value": 0.0}),
    ],
)
def test_embedding_is_that_of_transformers(
    publish: Make, tmp_path: Path, clips: np.ndarray, family: str, changes: dict[str, Any]
) -> None:
    model = publish(family, tmp_path, **changes)
    encoder = built(tmp_path)
    with torch.no_grad():
        theirs = model(images(encoder, clips))
    if family in N_SPECIAL:
        expected = theirs.last_hidden_state[:, N_SPECIAL[family] :].mean(dim=1)
    else:
        expected = theirs.pooler_output
    found = encoder.activations(clips, encoder.cut("all"))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("family", ["vit", "deit"])
def test_hidden_states_are_those_of_transformers(publish: Make, tmp_path: Path, clips: np.ndarray, family: str) -> None:
    model = publish(family, tmp_path)
    encoder = built(tmp_path)
    with torch.no_grad():
        theirs = model(images(encoder, clips), output_hidden_states=True).hidden_states
    for index in range(2):  # what enters layer index + 1
        found = encoder.activations(clips, encoder.cut(f"last{2 - index}"))
        np.testing.assert_allclose(found, theirs[index].numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_transformers(publish: Make, tmp_path: Path, clips: np.ndarray, family: str) -> None:
    model = publish(family, tmp_path)
    encoder = built(tmp_path)
    suffix = encoder.suffix(encoder.cut("none"))
    assert suffix is not None
    stored = torch.from_numpy(encoder.activations(clips, encoder.cut("none")))
    suffix.eval()(stored).square().sum().backward()
    theirs = model(images(encoder, clips))
    n_special = N_SPECIAL.get(family)
    pooled = theirs.pooler_output if n_special is None else theirs.last_hidden_state[:, n_special:].mean(dim=1)
    pooled.square().sum().backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    names = {id(p): name for name, p in encoder.model.named_parameters()}
    behind = [p for stage in encoder.stages() for p in stage.parameters()]
    assert len(behind) == len(names) == len(list(suffix.parameters()))
    for ours, original in zip(suffix.parameters(), behind, strict=True):
        name = names[id(original)]
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad, expected[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_layers(publish: Make, tmp_path: Path, family: str) -> None:
    publish(family, tmp_path)
    names = [stage.name for stage in built(tmp_path).stages()]
    assert (names[0], names[-1]) == ("stem", "pool")
    if family in N_SPECIAL:
        assert names[1:-1] == ["layer1", "layer2"]
    else:
        down = "level1.down" if "convnext" in family else "level0.down"
        assert names[1:4] == ["level0.block0", "level0.block1", down] and names[4] == "level1.block0"


# --- the input -------------------------------------------------------------------------------------------------------


def test_input_is_the_founding_image_in_the_size_of_the_model(publish: Make, tmp_path: Path, clips: np.ndarray) -> None:
    publish("vit", tmp_path, image_size=[32, 16])
    encoder = built(tmp_path)
    stored = encoder.activations(clips, encoder.cut("none"))
    assert stored.shape == (3, 1, 32, 16)
    np.testing.assert_array_equal(stored, LogMel().image(torch.from_numpy(clips), 32, 16).numpy())
    assert encoder.spec.sample_rate_hz == LogMel().sample_rate_hz == 16000
    assert encoder.longest_clip_s is None


def test_colours_are_not_normalised(publish: Make, tmp_path: Path, clips: np.ndarray) -> None:
    """The image is standardised already: what preprocessor_config.json says of photographs changes nothing."""
    publish("convnext", tmp_path)
    before = built(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "do_resize": false}')
    after = built(tmp_path)
    assert after.settings() == before.settings()
    stored = after.activations(clips, after.cut("none"))
    np.testing.assert_allclose(stored.mean(axis=(1, 2, 3)), 0, atol=0.02)


def test_masks_while_the_image_is_the_input(publish: Make, tmp_path: Path) -> None:
    publish("swin", tmp_path)
    encoder = built(tmp_path)
    for freeze in ("last1", "none"):
        suffix = encoder.suffix(encoder.cut(freeze))
        assert suffix is not None
        assert isinstance(suffix.augment, SpecAugment) == (freeze == "none")
    masks = encoder.augment()
    assert isinstance(masks, SpecAugment)
    # of 157 frames 30, of 256 bands 15, on 32 pixels
    assert (masks.time_mask_px, masks.frequency_mask_px) == (round(30 * 32 / 157), round(15 * 32 / 256))


def test_key_follows_the_image_size(publish: Make, tmp_path: Path) -> None:
    """ConvNeXt takes any size with the same weights."""
    publish("convnext", tmp_path / "small")
    publish("convnext", tmp_path / "large", image_size=64)
    small, large = (built(tmp_path / size).settings() for size in ("small", "large"))
    assert small["weights"] == large["weights"]
    assert small["front_end"] != large["front_end"]


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "architecture"),
    [
        ("convnext", "ConvNextForImageClassification"),
        ("convnextv2", "ConvNextV2ForImageClassification"),
        ("swin", "SwinForImageClassification"),
        ("vit", "ViTForImageClassification"),
        ("deit", "DeiTForImageClassificationWithTeacher"),
    ],
)
def test_a_classifier_comes_without_its_head(
    publish: Make, tmp_path: Path, clips: np.ndarray, family: str, architecture: str
) -> None:
    """Most published files hold one; those of ViT hold no pooler then."""
    whole = publish(family, tmp_path, architecture=getattr(transformers, architecture))
    bare = getattr(whole, whole.base_model_prefix)
    bare.save_pretrained(tmp_path / "bare")
    classifier, encoder = built(tmp_path), built(tmp_path / "bare")
    assert classifier.settings()["weights"] == encoder.settings()["weights"]
    assert classifier.n_parameters() < sum(p.numel() for p in whole.parameters())
    cut = classifier.cut("all")
    np.testing.assert_array_equal(classifier.activations(clips, cut), encoder.activations(clips, cut))


@pytest.mark.parametrize("family", ["vit", "deit"])
def test_an_unused_pooler_is_left_in_the_file(publish: Make, tmp_path: Path, family: str) -> None:
    publish(family, tmp_path)
    assert "pooler.dense.weight" in load_file(tmp_path / "model.safetensors")
    assert not [name for name, _ in built(tmp_path).model.named_parameters() if "pooler" in name]
