"""Encoders that hear the raw waveform: Wav2Vec 2.0 and every model of transformers that is built like it.

Stages: "frontend" (convolutions, projection, position), then "layer1" .. "layerN", then "pool" (mean over frames).
`freeze: last2` on a twelve-layer model stores what leaves layer 10, which is the founding system's cache.

Facts: Baevski et al. 2020, arXiv 2006.11477; 16 kHz mono, one frame each 20 ms. Models with group norm take no
attention mask, so clips of one batch have equal length and nothing is ever padded.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from affekt.encoders.base import Cut, EncoderSpec
from affekt.encoders.convolutions import rebuilt_extractor, rebuilt_position
from affekt.encoders.drawn import random_source
from affekt.encoders.engines import OPENVINO_INT8, TORCH
from affekt.encoders.hub import find_checkpoint
from affekt.encoders.pretrained import (
    Pretrained,
    config_digest,
    open_pretrained,
    random_model,
    transformers_for,
)
from affekt.encoders.published import WAVEFORM, PublishedWaveform
from affekt.encoders.staged import StagedEncoder
from affekt.encoders.stages import Stage
from affekt.errors import EncoderError

#: transformers' families with `feature_extractor`, `feature_projection` and `encoder.layers`.
FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")

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
        return _given(name, weights)
    config = transformers_for(name).Wav2Vec2Config(**NANO)
    return WaveformEncoder(name, random_model(config, seed), random_source(seed), "none")


def published(name: str, weights: str, seed: int) -> WaveformEncoder:
    """A published model under its short name, or its untrained twin with `weights: random`.

    Raises:
        EncoderError: a name of the registry that `published.WAVEFORM` does not tell.
        WeightsError: the checkpoint cannot be found, fetched or loaded.
    """
    if name not in WAVEFORM:
        raise EncoderError(
            f'"{name}": registered as a published waveform model, but affekt.encoders.published.WAVEFORM does not tell '
            f"its repository and architecture. Known are {', '.join(WAVEFORM)}. Add a line there."
        )
    facts = WAVEFORM[name]
    if weights == "random":
        return _untrained(name, facts, seed)
    if weights != "pretrained":
        return _given(name, weights)
    return waveform(open_pretrained(name, find_checkpoint(facts.repository), FAMILIES, facts.licence))


def waveform(source: Pretrained) -> WaveformEncoder:
    """A checkpoint of one of `FAMILIES`.

    Raises:
        EncoderError: it has an adapter behind its layers.
        WeightsError: the checkpoint cannot be loaded, or the settings of its front end are not usable.
    """
    if getattr(source.config, "add_adapter", False):
        raise EncoderError(
            f"{source.name}: config.json has add_adapter = true, but the adapter behind the layers cannot be heard "
            "here. To hear the layers without it, copy the repository to a folder, set add_adapter to false in its "
            "config.json, and use hf:<folder>."
        )
    said = source.preprocessor(sampling_rate=16000, do_normalize=True)
    model = source.model()
    return WaveformEncoder(
        source.name, model, source.weights, source.licence, said["sampling_rate"], said["do_normalize"]
    )


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
    engines = (TORCH, OPENVINO_INT8)

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
        """Adds the input normalisation and the model's configuration to what the key depends on."""
        own = {"normalise": self.normalise, "config": config_digest(self.model.config)}
        return {**super().settings(cut), **own}

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

    def faster(self, module: nn.Module) -> nn.Module | None:
        """Adds the convolutions: the front end's own, and the long one that tells the position."""
        if module is self.model.feature_extractor:
            return rebuilt_extractor(module)
        plain = super().faster(module)
        return rebuilt_position(plain or module) or plain

    def layer_pool(self) -> Stage:
        """Mean over frames, without the norm behind the last layer."""
        return Stage("pool", (), _pool)


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


def _given(name: str, weights: str) -> WaveformEncoder:
    """A registered name with weights from a folder or repository that the user names."""
    return waveform(open_pretrained(name, find_checkpoint(weights), FAMILIES, "as given"))


def _untrained(name: str, facts: PublishedWaveform, seed: int) -> WaveformEncoder:
    """The architecture and front end of a published model with random weights; needs no download."""
    config = transformers_for(name).AutoConfig.for_model(facts.family, **facts.sizes)
    model = random_model(config, seed)
    return WaveformEncoder(name, model, random_source(seed), "none", facts.sample_rate_hz, facts.normalise)
