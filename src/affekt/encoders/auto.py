"""`hf:<repository or folder>`: any model of transformers of a known family, told by `model_type` in its config.json.

A family is one line here: its `model_type`, and a function from a `Pretrained` to an encoder.
"""

from __future__ import annotations

from collections.abc import Callable

from affekt.encoders import audio_spectrogram, vision, waveform
from affekt.encoders.hub import find_checkpoint, find_configuration
from affekt.encoders.pretrained import Pretrained, open_pretrained
from affekt.encoders.staged import StagedEncoder
from affekt.errors import EncoderError

FAMILIES: dict[str, Callable[[Pretrained], StagedEncoder]] = {
    **dict.fromkeys(waveform.FAMILIES, waveform.waveform),
    "audio-spectrogram-transformer": audio_spectrogram.ast,
    "whisper": audio_spectrogram.whisper,
    "clap": audio_spectrogram.clap,
    "clap_audio_model": audio_spectrogram.clap,
    "convnext": vision.convnext,
    "convnextv2": vision.convnext,
    "swin": vision.swin,
    "vit": vision.vit,
    "deit": vision.vit,
}


def from_hub(name: str, weights: str, seed: int) -> StagedEncoder:
    """Any model of `FAMILIES`: "hf:<owner/name[@revision]>" or "hf:<folder>".

    Args:
        name: with its prefix.
        weights: "pretrained", or "random" for the same architecture untrained.
        seed: for random weights.

    Raises:
        EncoderError: the family is not known, or `weights` names other weights.
        WeightsError: the checkpoint cannot be found, fetched or loaded.
        MissingExtraError: transformers is not installed.
    """
    if weights not in ("pretrained", "random"):
        raise EncoderError(f'{name}: names its weights itself; with `weights: {weights}` write "hf:{weights}" instead.')
    drawn = weights == "random"
    checkpoint = (find_configuration if drawn else find_checkpoint)(name.removeprefix("hf:"))
    source = open_pretrained(name, checkpoint, FAMILIES, "see the repository", seed if drawn else None)
    return FAMILIES[source.config.model_type](source)
