"""Encoders that hear the raw waveform: Wav2Vec 2.0 and every model of transformers that is built like it.

Stages: "frontend" (convolutions, projection, position), then "layer1" .. "layerN", then "pool" (mean over frames).
`freeze: last2` on a twelve-layer model stores what leaves layer 10, which is the founding system's cache.

Facts: Baevski et al. 2020, arXiv 2006.11477; 16 kHz mono, one frame each 20 ms. Models with group norm take no
attention mask, so clips of one batch have equal length and nothing is ever padded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from affekt.digest import digest
from affekt.encoders.base import RANDOM_WEIGHTS, Cut, EncoderSpec
from affekt.encoders.hub import Checkpoint, find_checkpoint
from affekt.encoders.published import WAVEFORM
from affekt.encoders.staged import StagedEncoder
from affekt.encoders.stages import Stage
from affekt.errors import EncoderError, MissingExtraError, WeightsError

#: transformers' families with `feature_extractor`, `feature_projection` and `encoder.layers`.
FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")

#: Weights that only pretraining uses; absent from many published files, never used here.
NOT_NEEDED = ("masked_spec_embed",)

#: What a configuration says of the file it came from, and not of the model.
NOT_ARCHITECTURE = ("transformers_version", "architectures", "dtype", "torch_dtype", "name_or_path")

#: A compact Wav2Vec 2.0: three convolutions to one frame each 640 samples (40 ms, twice the published step) and four
#: narrow layers. Dropout inside attention is off: with it torch leaves its fast attention on the CPU.
NANO = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 384,
    "conv_dim": (64, 64, 96),
    "conv_kernel": (20, 16, 8),
    "conv_stride": (20, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "hidden_dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
}


def wav2vec2_nano(name: str, weights: str, seed: int) -> WaveformEncoder:
    """The compact, untrained Wav2Vec 2.0 for the demo, tests and training from scratch."""
    if weights not in ("pretrained", "random"):
        return _load(name, find_checkpoint(weights), "as given")
    transformers = _transformers(name)
    model = _random_model(transformers.Wav2Vec2Config(**NANO), seed)
    return WaveformEncoder(name, model, f"{RANDOM_WEIGHTS} (seed {seed})", "none")


def published(name: str, weights: str, seed: int) -> WaveformEncoder:
    """A published model under its short name, or its untrained twin with `weights: random`."""
    repository, licence = WAVEFORM[name]
    if weights == "random":
        return _untrained(name, seed)
    if weights != "pretrained":
        return _load(name, find_checkpoint(weights), "as given")
    return _load(name, find_checkpoint(repository), licence)


def from_hub(name: str, weights: str, seed: int) -> WaveformEncoder:
    """Any waveform model of transformers: "hf:<owner/name[@revision]>" or "hf:<folder>"."""
    if weights not in ("pretrained", "random"):
        raise EncoderError(f'{name}: names its weights itself; with `weights: {weights}` write "hf:{weights}" instead.')
    checkpoint = find_checkpoint(name.removeprefix("hf:"))
    if weights == "random":
        model = _random_model(_config(name, checkpoint.folder), seed)
        source = f"{RANDOM_WEIGHTS} (seed {seed})"
        return WaveformEncoder(name, model, source, "none", *_input(name, checkpoint.folder))
    return _load(name, checkpoint, "see the repository")


class WaveformEncoder(StagedEncoder):
    """A waveform model of transformers as stages.

    Args:
        name: for reports.
        model: with `feature_extractor`, `feature_projection` and `encoder`.
        weights: where they come from, in words.
        licence: of the weights.
        sample_rate_hz: what the model was trained on.
        normalise: whether each clip is brought to zero mean and unit variance first.
    """

    model: Any

    def __init__(
        self,
        name: str,
        model: Any,
        weights: str,
        licence: str,
        sample_rate_hz: int = 16000,
        normalise: bool = True,
    ) -> None:
        self.model = model
        self.normalise = normalise
        self.spec = EncoderSpec(name, "waveform", sample_rate_hz, int(model.config.hidden_size), weights, licence)

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Adds the input normalisation and the model's configuration to what the key depends on.

        The same weights compute other numbers under another configuration, another number of heads say.
        """
        config = self.model.config.to_dict()
        told = {key: value for key, value in config.items() if not key.startswith("_") and key not in NOT_ARCHITECTURE}
        return {**super().settings(cut), "normalise": self.normalise, "config": digest(told)}

    def preprocess(self, clips: Tensor) -> Tensor:
        """Zero mean and unit variance per clip, as the published models expect."""
        if not self.normalise:
            return clips
        variance, mean = torch.var_mean(clips, dim=-1, keepdim=True, correction=0)  # (n_clips, 1)
        return (clips - mean) / torch.sqrt(variance + 1e-7)  # 1e-7 as in transformers' feature extractor

    def stages(self) -> list[Stage]:
        """Front end, one stage per transformer layer, mean over frames."""
        model, encoder = self.model, self.model.encoder
        frontend = (model.feature_extractor, model.feature_projection, encoder.pos_conv_embed, encoder.dropout)
        # Pre-norm models keep their one norm for the end, post-norm models have it before the first layer.
        norm_last = bool(getattr(model.config, "do_stable_layer_norm", False))
        first, last = ((), (encoder.layer_norm,)) if norm_last else ((encoder.layer_norm,), ())
        # WavLM's layers share a position bias that the first one owns; each layer asks for it, so that a cut between
        # them needs no second tensor.
        bias = encoder.layers[0].attention if hasattr(encoder.layers[0].attention, "compute_bias") else None
        layers = [
            Stage(f"layer{i}", (layer,), partial(_layer, bias=bias), is_layer=True)
            for i, layer in enumerate(encoder.layers, start=1)
        ]
        return [Stage("frontend", (*frontend, *first), _frontend), *layers, Stage("pool", last, _pool)]


def _frontend(*modules_and_waveform: Any) -> Tensor:
    """Waveform (batch, samples) -> what enters the first layer, (batch, frames, dim)."""
    extractor, projection, position, dropout, *norm, waveform = modules_and_waveform
    projected = projection(extractor(waveform).transpose(1, 2))
    hidden = projected[0] if isinstance(projected, tuple) else projected  # (batch, frames, dim)
    hidden = hidden + position(hidden)
    return dropout(norm[0](hidden) if norm else hidden)


def _layer(layer: Any, x: Tensor, bias: Any) -> Tensor:
    """One transformer layer, (batch, frames, dim) -> the same; `bias` owns the shared position bias, if any."""
    if bias is None:
        out = layer(x)
    else:
        by_head = bias.compute_bias(x.shape[1], x.shape[1])  # (heads, frames, frames)
        out = layer(x, position_bias=by_head.repeat(x.shape[0], 1, 1))
    return out[0] if isinstance(out, tuple) else out


def _pool(*norm_and_x: Any) -> Tensor:
    """Mean over frames, (batch, frames, dim) -> (batch, dim)."""
    *norm, x = norm_and_x
    return (norm[0](x) if norm else x).mean(dim=1)


def _load(name: str, checkpoint: Checkpoint, licence: str) -> WaveformEncoder:
    transformers = _transformers(name)
    config = _config(name, checkpoint.folder)
    try:
        with _seeded(0):  # what a file may lack (`NOT_NEEDED`) is drawn, and must not differ from run to run
            model, report = transformers.AutoModel.from_pretrained(
                checkpoint.folder,
                config=config,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=checkpoint.weights_path.suffix == ".safetensors",
                weights_only=True,
            )
    except Exception as error:  # a damaged or foreign file shows as many kinds of error
        raise WeightsError(f"{name}: {checkpoint.weights_path.name} cannot be loaded ({_first_line(error)}).") from None
    _check_loaded(name, report)
    return WaveformEncoder(name, model.float(), checkpoint.source, licence, *_input(name, checkpoint.folder))


def _check_loaded(name: str, report: dict[str, Any]) -> None:
    """Refuse weights that would leave a part of the model random without a word."""
    missing = [key for key in report["missing_keys"] if not key.endswith(NOT_NEEDED)]
    wrong = [str(key) for key in report.get("mismatched_keys", [])]
    if missing or wrong:
        raise WeightsError(
            f"{name}: the file does not fit the architecture. Missing: {missing[:5] or 'none'} ({len(missing)}); "
            f"of another shape: {wrong[:5] or 'none'} ({len(wrong)}). Configuration and weights must belong together."
        )


def _config(name: str, folder: Path) -> Any:
    transformers = _transformers(name)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever stands in the file decides what falls over
        raise WeightsError(f"{name}: no usable config.json ({_first_line(error)}).") from None
    if config.model_type not in FAMILIES:
        raise EncoderError(f'{name}: "{config.model_type}" cannot be cut. Families that work: {", ".join(FAMILIES)}.')
    return config


def _input(name: str, folder: Path) -> tuple[int, bool]:
    """Sample rate in Hz and whether clips are normalised, as preprocessor_config.json says, if there is one."""
    path = folder / "preprocessor_config.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        rate_hz, normalise = said.get("sampling_rate", 16000), said.get("do_normalize", True)
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{name}: no usable {path.name} ({_first_line(error)}).") from None
    if not (isinstance(rate_hz, int) and rate_hz > 0 and isinstance(normalise, bool)):
        raise WeightsError(
            f"{name}: {path.name} has sampling_rate {rate_hz!r} and do_normalize {normalise!r}; allowed are a number "
            "of Hz, and true or false."
        )
    return rate_hz, normalise


def _untrained(name: str, seed: int) -> WaveformEncoder:
    """The architecture of a published model with random weights; needs no download."""
    transformers = _transformers(name)
    shapes: dict[str, Any] = {
        "wav2vec2-base": lambda: transformers.Wav2Vec2Config(),
        "wav2vec2-large": lambda: transformers.Wav2Vec2Config(
            hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
        ),
        "hubert-base": lambda: transformers.HubertConfig(),
        "wavlm-base-plus": lambda: transformers.WavLMConfig(),
        "data2vec-audio-base": lambda: transformers.Data2VecAudioConfig(),
    }
    return WaveformEncoder(name, _random_model(shapes[name](), seed), f"{RANDOM_WEIGHTS} (seed {seed})", "none")


def _random_model(config: Any, seed: int) -> Any:
    """A model with random weights that leaves the caller's random numbers as they were."""
    transformers = _transformers("random weights")
    with _seeded(seed):
        return transformers.AutoModel.from_config(config)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers on the CPU start from `seed` within, and go on as if nothing had been after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    # torch opens with how to load an unsafe file after all; what it refused stands further down.
    _, _, refused = text.partition("WeightsUnpickler error: ")
    return (refused.partition(". ")[0] or text).splitlines()[0][:200]


def _transformers(feature: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(feature, "models") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
