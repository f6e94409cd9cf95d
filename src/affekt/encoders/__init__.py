"""Encoders: anything that hears. Adding one is a module and a line in the registry; the contract test covers it."""

from __future__ import annotations

from affekt.encoders.base import Cut, Encoder, EncoderSpec
from affekt.errors import MissingExtraError
from affekt.registry import ENCODERS


def build_encoder(name: str, weights: str = "pretrained", seed: int = 0) -> Encoder:
    """Build an encoder by name.

    Args:
        name: a registered name, "hf:<repo or folder>" or "precomputed:<csv or folder>".
        weights: "pretrained" (where there are any), "random", or the path of a checkpoint in the published layout.
        seed: for random weights.

    Raises:
        EncoderError: unknown name; weights that cannot be found, fetched or loaded.
        MissingExtraError: the encoder needs a package that is not installed.
    """
    try:
        encoder: Encoder = ENCODERS.load(name)(name, weights, seed)
    except ModuleNotFoundError as error:
        if error.name in ("torch", "transformers", "huggingface_hub"):
            raise MissingExtraError(f'encoder "{name}"', "models") from None
        raise
    return encoder


__all__ = ["ENCODERS", "Cut", "Encoder", "EncoderSpec", "build_encoder"]
