"""Published weights under short names: where they lie, at which commit, under which licence. Needs no torch.

A repository without "@commit" is fetched at its newest commit, which then goes into the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PublishedWaveform:
    """A waveform model, and what its untrained twin needs to be built without a download.

    Attributes:
        repository: where the weights lie.
        licence: of the weights.
        family: `model_type` of transformers.
        sizes: of the architecture, where they are not the family's defaults.
        sample_rate_hz: `sampling_rate` in the repository's preprocessor_config.json.
        normalise: `do_normalize` there.
    """

    repository: str
    licence: str
    family: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    sample_rate_hz: int = 16_000
    normalise: bool = True


#: Waveform models. With their own weights the repository's files tell the architecture and the front end.
WAVEFORM = {
    "wav2vec2-base": PublishedWaveform(
        "facebook/wav2vec2-base@0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8", "Apache-2.0", "wav2vec2"
    ),
    "wav2vec2-large": PublishedWaveform(
        "facebook/wav2vec2-large",
        "Apache-2.0",
        "wav2vec2",
        {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    ),
    "hubert-base": PublishedWaveform("facebook/hubert-base-ls960", "Apache-2.0", "hubert"),
    "wavlm-base-plus": PublishedWaveform("microsoft/wavlm-base-plus", "see the repository", "wavlm", normalise=False),
    "data2vec-audio-base": PublishedWaveform("facebook/data2vec-audio-base", "Apache-2.0", "data2vec-audio"),
}

MAMBAVISION_LICENCE = "CC BY-NC-SA 4.0 (not for commercial use)"

#: MambaVision: repository, and the name of the file that some repositories hold instead of safetensors.
MAMBAVISION = {
    "mambavision-t": ("nvidia/MambaVision-T-1K", "mambavision_tiny_1k.pth.tar"),
    "mambavision-t2": ("nvidia/MambaVision-T2-1K", "mambavision_tiny2_1k.pth.tar"),
    "mambavision-s": (
        "nvidia/MambaVision-S-1K@e4f9ea93877fba6f1e2d231fd0f0a391368ad895",
        "mambavision_small_1k.pth.tar",
    ),
    "mambavision-b": ("nvidia/MambaVision-B-1K", "mambavision_base_1k.pth.tar"),
    "mambavision-l": ("nvidia/MambaVision-L-1K", "mambavision_large_1k.pth.tar"),
    "mambavision-l2": ("nvidia/MambaVision-L2-1K", "mambavision_large2_1k.pth.tar"),
}
