"""Published weights under short names: where they lie, at which commit, under which licence. Needs no torch.

A repository without "@commit" is fetched at its newest commit, which then goes into the result.
"""

from __future__ import annotations

#: Waveform models: repository and licence.
WAVEFORM = {
    "wav2vec2-base": ("facebook/wav2vec2-base@0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8", "Apache-2.0"),
    "wav2vec2-large": ("facebook/wav2vec2-large", "Apache-2.0"),
    "hubert-base": ("facebook/hubert-base-ls960", "Apache-2.0"),
    "wavlm-base-plus": ("microsoft/wavlm-base-plus", "see the repository"),
    "data2vec-audio-base": ("facebook/data2vec-audio-base", "Apache-2.0"),
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
