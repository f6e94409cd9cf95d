"""Waveform encoders against transformers' own forward pass, and everything that can be wrong with a checkpoint."""

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

from affekt.encoders import build_encoder, waveform
from affekt.encoders.published import WAVEFORM
from affekt.encoders.waveform import FAMILIES, NANO, WaveformEncoder
from affekt.errors import EncoderError, WeightsError
from affekt.registry import ENCODERS

Make = Callable[..., Any]

#: Both orders of norm and residual, each with the front end that the published models of this order have.
POST_NORM = {"do_stable_layer_norm": False, "feat_extract_norm": "group", "conv_bias": False}
PRE_NORM = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
#: data2vec knows post-norm alone; HuBERT may leave out the norm before its projection.
ARCHITECTURES: list[tuple[str, dict[str, Any]]] = [
    *((family, order) for family in FAMILIES if family != "data2vec-audio" for order in (POST_NORM, PRE_NORM)),
    ("data2vec-audio", {}),
    ("hubert", {**PRE_NORM, "feat_proj_layer_norm": False}),
    ("hubert", {**POST_NORM, "conv_pos_batch_norm": True}),
]
IDS = [
    f"{family}-{'pre' if order.get('do_stable_layer_norm') else 'post'}norm-{len(order)}"
    for family, order in ARCHITECTURES
]


@pytest.fixture
def clips() -> np.ndarray:
    """Three clips of 0.1 s."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (3, 1600)).astype(np.float32)


def encode(model: Any, **settings: Any) -> WaveformEncoder:
    return WaveformEncoder("tiny", model, "random weights (seed 0)", "none", **settings)


def own_hidden_states(model: Any, encoder: WaveformEncoder, clips: np.ndarray) -> list[np.ndarray]:
    """hidden_states[0] .. [N] as transformers computes them."""
    with torch.no_grad():
        output = model.eval()(encoder.preprocess(torch.from_numpy(clips)), output_hidden_states=True)
    return [state.numpy() for state in output.hidden_states] + [output.last_hidden_state.numpy()]


# --- the forward pass ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "changes"), ARCHITECTURES, ids=IDS)
def test_hidden_states_are_those_of_transformers(
    make_tiny: Make, clips: np.ndarray, family: str, changes: dict[str, Any]
) -> None:
    model = make_tiny(family, **changes)
    encoder = encode(model)
    *theirs, last = own_hidden_states(model, encoder, clips)
    n_layers = model.config.num_hidden_layers
    assert len(theirs) == n_layers + 1
    for index in range(n_layers):  # what enters layer index + 1
        cut = encoder.cut(f"last{n_layers - index}")
        assert cut.name == f"layer{index + 1}"
        np.testing.assert_allclose(encoder.activations(clips, cut), theirs[index], rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(encoder.activations(clips, encoder.cut("all")), last.mean(axis=1), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("family", "changes"), ARCHITECTURES, ids=IDS)
def test_gradients_are_those_of_transformers(
    make_tiny: Make, clips: np.ndarray, family: str, changes: dict[str, Any]
) -> None:
    """With `freeze: none` the suffix is the model, so that each weight gets the gradient it gets there."""
    model = make_tiny(family, **changes)
    encoder = encode(model)
    suffix = encoder.suffix(encoder.cut("none"))
    assert suffix is not None
    waveforms = encoder.preprocess(torch.from_numpy(clips))
    suffix.eval()(waveforms).square().sum().backward()
    model(waveforms).last_hidden_state.mean(dim=1).square().sum().backward()
    ours = [parameter for stage in suffix._stages for parameter in stage.parameters()]
    theirs = [parameter for stage in encoder.stages() for parameter in stage.parameters()]
    assert len(ours) == len(theirs) == len(list(suffix.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        assert one is not other and one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("family", "changes"), ARCHITECTURES, ids=IDS)
def test_all_weights_belong_to_a_stage(make_tiny: Make, family: str, changes: dict[str, Any]) -> None:
    model = make_tiny(family, **changes)
    staged = {id(parameter) for stage in encode(model).stages() for parameter in stage.parameters()}
    left_out = [name for name, parameter in model.named_parameters() if id(parameter) not in staged]
    assert left_out in ([], ["masked_spec_embed"])


@pytest.mark.parametrize("changes", [POST_NORM, PRE_NORM], ids=["post", "pre"])
def test_position_bias_of_wavlm(make_tiny: Make, clips: np.ndarray, changes: dict[str, Any]) -> None:
    """All layers share the table of the first: it trains in the copy where layer 1 does, and nowhere else."""
    model = make_tiny("wavlm", **changes)
    encoder = encode(model)
    table = model.encoder.layers[0].attention.rel_attn_embed.weight
    for freeze in ("none", "last3"):
        suffix = encoder.suffix(encoder.cut(freeze))
        assert suffix is not None
        (copy,) = [p for name, p in suffix.named_parameters() if name.endswith("rel_attn_embed.weight")]
        suffix.eval()(torch.from_numpy(encoder.activations(clips, encoder.cut(freeze)))).sum().backward()
        assert copy is not table and copy.grad is not None and copy.grad.any()
    behind = encoder.suffix(encoder.cut("last2"))
    assert behind is not None
    assert not [name for name, _ in behind.named_parameters() if "rel_attn_embed" in name]
    behind.eval()(torch.from_numpy(encoder.activations(clips, encoder.cut("last2")))).sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not [m for m in behind._borrowed if any(p.requires_grad for p in m.parameters())]


def test_position_bias_matters(make_tiny: Make, clips: np.ndarray) -> None:
    """The comparisons above would not notice a missing bias if it did nothing."""
    model = make_tiny("wavlm")
    encoder = encode(model)
    cut = encoder.cut("last1")
    before = encoder.activations(clips, cut)
    with torch.no_grad():
        model.encoder.layers[0].attention.rel_attn_embed.weight.mul_(-3)
    assert np.abs(encoder.activations(clips, cut) - before).max() > 1e-3


def test_a_trained_suffix_drops_out(make_tiny: Make, clips: np.ndarray) -> None:
    encoder = encode(make_tiny(hidden_dropout=0.5))
    suffix = encoder.suffix(encoder.cut("last2"))
    assert suffix is not None
    stored = torch.from_numpy(encoder.activations(clips, encoder.cut("last2")))
    assert not torch.equal(suffix.train()(stored), suffix(stored))
    assert torch.equal(suffix.eval()(stored), suffix(stored))


# --- the input -------------------------------------------------------------------------------------------------------


def test_normalisation_is_that_of_transformers(make_tiny: Make) -> None:
    rng = np.random.default_rng(1)
    clips = (rng.standard_normal((4, 800)) * [[1e-3], [0.1], [1], [0]] + [[0.2], [0], [-0.5], [0.3]]).astype(np.float32)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    theirs = np.stack([extractor(clip, sampling_rate=16000, return_tensors="np").input_values[0] for clip in clips])
    ours = encode(make_tiny()).preprocess(torch.from_numpy(clips)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_without_normalisation_clips_stay_as_they_are(make_tiny: Make, clips: np.ndarray) -> None:
    raw, normalised = encode(make_tiny(), normalise=False), encode(make_tiny())
    assert torch.equal(raw.preprocess(torch.from_numpy(clips)), torch.from_numpy(clips))
    assert raw.settings() != normalised.settings()


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize(
    ("said", "rate_hz", "normalise"),
    [
        (None, 16000, True),
        ({}, 16000, True),
        ({"sampling_rate": 24000, "do_normalize": False}, 24000, False),
        ({"do_normalize": True, "feature_size": 1, "padding_value": 0.0}, 16000, True),
    ],
)
def test_preprocessor_config(
    saved: Path, said: dict[str, Any] | None, rate_hz: int, normalise: bool, weights: str
) -> None:
    if said is not None:
        (saved / "preprocessor_config.json").write_text(json.dumps(said))
    encoder = build_encoder(f"hf:{saved}", weights)
    assert encoder.spec.sample_rate_hz == rate_hz
    assert encoder.settings()["normalise"] is normalise


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", '{"sampling_rate": "fast"}', '{"sampling_rate": -1}', '{"do_normalize": "no"}', "\xff"]
)
def test_a_bad_preprocessor_config(saved: Path, text: str) -> None:
    (saved / "preprocessor_config.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json"):
        build_encoder(f"hf:{saved}")


# --- checkpoints -----------------------------------------------------------------------------------------------------


def assert_same_weights(encoder: Any, model: Any, tolerance: float = 0.0) -> None:
    theirs = dict(model.named_parameters())
    for name, parameter in encoder.model.named_parameters():
        if name != "masked_spec_embed":
            torch.testing.assert_close(parameter, theirs[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_comes_back(make_tiny: Make, tmp_path: Path, family: str) -> None:
    model = make_tiny(family)
    model.save_pretrained(tmp_path / "published")
    encoder = build_encoder(f"hf:{tmp_path / 'published'}")
    assert_same_weights(encoder, model)
    assert encoder.spec.weights == "folder published"
    assert encoder.spec.licence == "see the repository"


def test_a_model_with_a_head_comes_without_it(make_tiny: Make, tmp_path: Path) -> None:
    """Most published files hold a model for pretraining or for speech recognition, their keys under a prefix."""
    config = make_tiny("wav2vec2").config
    config.vocab_size = 7
    whole = transformers.Wav2Vec2ForCTC(config)
    whole.save_pretrained(tmp_path)
    assert_same_weights(build_encoder(f"hf:{tmp_path}"), whole.wav2vec2)


def test_half_precision_weights_are_widened(make_tiny: Make, tmp_path: Path, clips: np.ndarray) -> None:
    make_tiny().half().save_pretrained(tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert_same_weights(encoder, make_tiny(), tolerance=1e-3)
    assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}
    assert np.isfinite(encoder.activations(clips, encoder.cut("all"))).all()


def as_bin(folder: Path, rename: Callable[[str], str] = str) -> Path:
    """Turn a folder's weights into the older kind of file."""
    state = {rename(key): tensor for key, tensor in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def test_the_older_kind_of_file(saved: Path, make_tiny: Make) -> None:
    as_bin(saved)
    assert_same_weights(build_encoder(f"hf:{saved}"), make_tiny())


def test_safetensors_are_preferred(saved: Path, make_tiny: Make) -> None:
    (saved / "pytorch_model.bin").write_bytes(b"never read")
    assert_same_weights(build_encoder(f"hf:{saved}"), make_tiny())


def older_names(key: str) -> str:
    """Names of a weight-normed convolution before torch 2.1."""
    return key.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"
    )


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_the_positional_convolution_under_its_older_names(saved: Path, make_tiny: Make, kind: str) -> None:
    """These names are those of `facebook/wav2vec2-base`; unknown to the loader, they would leave it random."""
    if kind == "bin":
        as_bin(saved, older_names)
        stored = torch.load(saved / "pytorch_model.bin", weights_only=True)
    else:
        stored = {older_names(key): tensor for key, tensor in load_file(saved / "model.safetensors").items()}
        save_file(stored, saved / "model.safetensors", metadata={"format": "pt"})
    assert {"encoder.pos_conv_embed.conv.weight_g", "encoder.pos_conv_embed.conv.weight_v"} < stored.keys()
    assert_same_weights(build_encoder(f"hf:{saved}"), make_tiny())


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_malicious_file_runs_nothing(saved: Path, tmp_path: Path) -> None:
    path = as_bin(saved)
    marker = tmp_path / "executed"
    torch.save({**torch.load(path, weights_only=True), "extra": Bomb(marker)}, path)
    with pytest.raises(
        WeightsError, match=r"pytorch_model\.bin cannot be loaded \(Unsupported global: \S+ \S+ was not an allowed"
    ):
        build_encoder(f"hf:{saved}")
    assert not marker.exists()
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path), "no bomb in it, so this proves nothing"


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize(
    "asked",
    [{"attn_implementation": "owner/kernel"}, {"_attn_implementation": "flash"}, {"quantization_config": {"a": 1}}],
)
def test_a_configuration_that_asks_for_foreign_code_is_refused(
    asked: dict[str, Any], weights: str, tmp_path: Path, make_tiny: Make
) -> None:
    make_tiny().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for place in (asked, {"inner": [asked]}):
        path.write_text(json.dumps({**config, **place}))
        with pytest.raises(WeightsError, match=f"asks for {next(iter(asked))}.*Allowed are eager and sdpa"):
            build_encoder(f"hf:{tmp_path}", weights, seed=0)


def test_code_beside_the_weights_is_not_run(saved: Path, tmp_path: Path, make_tiny: Make) -> None:
    marker = tmp_path / "executed"
    for name in ("configuration_evil", "modeling_evil"):
        (saved / f"{name}.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Evil: pass\n")
    config = json.loads((saved / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "configuration_evil.Evil", "AutoModel": "modeling_evil.Evil"}
    (saved / "config.json").write_text(json.dumps(config))
    assert_same_weights(build_encoder(f"hf:{saved}"), make_tiny())
    (saved / "config.json").write_text(json.dumps({**config, "model_type": "evil"}))
    with pytest.raises(WeightsError, match=r"no usable config\.json"):
        build_encoder(f"hf:{saved}")
    assert not marker.exists()


def test_missing_weights_are_named(saved: Path) -> None:
    state = load_file(saved / "model.safetensors")
    gone = ["encoder.layers.1.attention.q_proj.weight", "feature_projection.projection.bias"]
    save_file({k: t for k, t in state.items() if k not in gone}, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"does not fit the architecture") as caught:
        build_encoder(f"hf:{saved}")
    assert all(key in str(caught.value) for key in gone)
    assert "(2)" in str(caught.value)


def test_weights_of_another_shape(saved: Path) -> None:
    state = load_file(saved / "model.safetensors")
    state["feature_projection.projection.bias"] = torch.zeros(5)
    save_file(state, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"tiny"):
        build_encoder(f"hf:{saved}")


def test_what_pretraining_alone_needs_may_be_missing(saved: Path, make_tiny: Make) -> None:
    """It is drawn at random, and yet two loadings have the same key in the store, and the caller's numbers stay."""
    state = load_file(saved / "model.safetensors")
    del state["masked_spec_embed"]
    save_file(state, saved / "model.safetensors", metadata={"format": "pt"})
    before = torch.get_rng_state()
    first = build_encoder(f"hf:{saved}")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert build_encoder(f"hf:{saved}").settings() == first.settings()
    assert_same_weights(first, make_tiny())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_truncated_files(saved: Path, share: float, kind: str) -> None:
    path = saved / "model.safetensors" if kind == "safetensors" else as_bin(saved)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(WeightsError, match=rf"{path.name} cannot be loaded"):
        build_encoder(f"hf:{saved}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"model_type": 3}',
        '{"model_type": "no such"}',
        '{"model_type": "wav2vec2", "hidden_size": "x"}',
    ],
)
def test_a_bad_config(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(WeightsError):
        build_encoder(f"hf:{saved}")


def test_a_missing_config(saved: Path) -> None:
    (saved / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"no usable config\.json"):
        build_encoder(f"hf:{saved}")


def test_a_family_that_cannot_be_cut(saved: Path) -> None:
    transformers.BertConfig(hidden_size=8, num_attention_heads=2).save_pretrained(saved)
    with pytest.raises(EncoderError, match=r'"bert" cannot be cut\. Families that work: wav2vec2, '):
        build_encoder(f"hf:{saved}")


# --- names and weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [str, lambda folder: f"{folder}/model.safetensors"], ids=["folder", "file"])
@pytest.mark.parametrize("name", ["wav2vec2-nano", "wav2vec2-base"])
def test_own_weights_under_a_registered_name(
    saved: Path, make_tiny: Make, name: str, place: Callable[[Path], str]
) -> None:
    encoder = build_encoder(name, place(saved))
    assert encoder.spec.name == name
    assert encoder.spec.licence == "as given"
    assert encoder.spec.weights == "folder tiny"
    assert_same_weights(encoder, make_tiny())


def test_a_file_of_another_name(saved: Path) -> None:
    path = (saved / "model.safetensors").rename(saved / "best.safetensors")
    with pytest.raises(WeightsError, match=r"best\.safetensors: weights must be named model\.safetensors or"):
        build_encoder("wav2vec2-nano", str(path))


def test_hub_names_and_weights_exclude_each_other(saved: Path) -> None:
    with pytest.raises(EncoderError, match=r'write "hf:/other" instead'):
        build_encoder(f"hf:{saved}", "/other")


def test_a_twin_needs_no_weights(saved: Path) -> None:
    expected = build_encoder(f"hf:{saved}", "random").settings()["weights"]
    assert build_encoder(f"hf:{saved}/model.safetensors", "random").settings()["weights"] == expected
    (saved / "model.safetensors").unlink()
    assert build_encoder(f"hf:{saved}", "random").settings()["weights"] == expected
    (saved / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"no usable config\.json"):
        build_encoder(f"hf:{saved}", "random")


def test_the_untrained_twin_of_a_folder(saved: Path, make_tiny: Make) -> None:
    twin, other = (build_encoder(f"hf:{saved}", "random", seed) for seed in (0, 1))
    assert twin.spec.weights == "random weights (seed 0)"
    assert twin.n_parameters() == build_encoder(f"hf:{saved}").n_parameters()
    assert len({e.settings()["weights"] for e in (twin, other, build_encoder(f"hf:{saved}"))}) == 3


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "one-word", "a/b/c", "~/nowhere", ""])
def test_no_such_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderError, match=r"no such folder|the argument is missing"):
        build_encoder(f"hf:{name}")


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("hf:~nosuchuser/x", "pretrained"),
        ("hf:~nosuchuser/x", "random"),
        ("precomputed:~nosuchuser/x.csv", "pretrained"),
        ("wav2vec2-base", "~nosuchuser/x"),
        ("mambavision-nano", "~nosuchuser/x"),
        ("musicnn", "~nosuchuser/x.whl"),
    ],
)
def test_the_home_of_nobody(name: str, weights: str) -> None:
    with pytest.raises(EncoderError, match=r'^"~nosuchuser/x.*": "~nosuchuser" stands for no folder .*Write the path'):
        build_encoder(name, weights)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"no weights found\. Expected one of: model\.safetensors, pytorch_model\.bin"
    ):
        build_encoder(f"hf:{tmp_path}")


def test_nano_has_the_step_that_it_says() -> None:
    encoder = build_encoder("wav2vec2-nano")
    one, two = (encoder.activations(np.zeros((1, n), np.float32), encoder.cut("last4")).shape for n in (16000, 32000))
    assert one[2] == two[2] == NANO["hidden_size"]
    assert two[1] - one[1] == 16000 / np.prod(NANO["conv_stride"]) == 25  # frames a second: one each 40 ms


def test_published_names_are_whole_repositories() -> None:
    for model in WAVEFORM.values():
        assert model.repository.count("/") == 1 and model.licence and model.family in FAMILIES


#: `do_normalize` in the repositories' preprocessor_config.json; all say 16 kHz.
NORMALISED = {
    **dict.fromkeys(("wav2vec2-base", "wav2vec2-large", "hubert-base", "data2vec-audio-base"), True),
    "wavlm-base-plus": False,
}


@pytest.mark.parametrize("name", WAVEFORM)
def test_a_twin_hears_as_its_model_does(name: str, make_tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def tiny(config: Any, seed: int) -> Any:
        built.append((config, seed))
        return make_tiny(config.model_type)

    monkeypatch.setattr(waveform, "random_model", tiny)
    encoder = build_encoder(name, "random", seed=3)
    assert encoder.settings()["normalise"] is NORMALISED[name]
    assert encoder.spec.sample_rate_hz == 16_000
    ((config, seed),) = built
    assert (config.hidden_size, config.num_hidden_layers) == ((1024, 24) if "large" in name else (768, 12))
    assert seed == 3


@pytest.mark.parametrize("weights", ["pretrained", "random", "/a/folder"])
def test_a_name_that_the_registry_alone_knows(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {**ENCODERS._entries, "xls-r": "affekt.encoders.waveform:published"}
    monkeypatch.setattr(ENCODERS, "_entries", entries)
    with pytest.raises(EncoderError, match=r'"xls-r": registered .* Known are wav2vec2-base, .* Add a line there'):
        build_encoder("xls-r", weights)


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "data2vec-audio"])
def test_an_adapter_is_refused_and_can_be_left_out(
    family: str, make_tiny: Make, tmp_path: Path, clips: np.ndarray
) -> None:
    make_tiny(family, add_adapter=True, num_adapter_layers=1).save_pretrained(tmp_path)
    for weights in ("pretrained", "random"):
        with pytest.raises(EncoderError, match=r"add_adapter = true.* set add_adapter to false .* use hf:<folder>"):
            build_encoder(f"hf:{tmp_path}", weights)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "add_adapter": False}))
    encoder: Any = build_encoder(f"hf:{tmp_path}")
    assert not [name for name, _ in encoder.model.named_parameters() if "adapter" in name]
    assert np.isfinite(encoder.activations(clips, encoder.cut("all"))).all()


def test_another_configuration_of_the_same_weights_is_another_key(tmp_path: Path) -> None:
    encoder = build_encoder("wav2vec2-nano")
    encoder.model.save_pretrained(tmp_path)  # type: ignore[attr-defined]
    first = build_encoder(f"hf:{tmp_path}").settings()
    assert build_encoder(f"hf:{tmp_path}").settings() == first
    path = tmp_path / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "num_attention_heads": 2}), encoding="utf-8")
    second = build_encoder(f"hf:{tmp_path}").settings()
    assert second["weights"] == first["weights"] and second["config"] != first["config"]
