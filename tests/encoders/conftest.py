"""Small models in the official layouts, shared by the tests of encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

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
