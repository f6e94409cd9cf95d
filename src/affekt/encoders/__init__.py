"""Encoders: anything that hears. Adding one is a module and a line in the registry; the contract test covers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affekt.encoders.base import Cut, Encoder, EncoderSpec
from affekt.errors import MissingExtraError
from affekt.registry import ENCODERS

if TYPE_CHECKING:
    from affekt.config import EncoderSection


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


def build_section(section: EncoderSection, seed: int, weights: str | None = None) -> tuple[Encoder, Cut]:
    """Build what a section of an experiment asks for: the encoder, up to the layer that is heard, and its cut.

    Args:
        section: name, weights, layer, frozen part, engine.
        seed: for random weights.
        weights: instead of the section's.

    Raises:
        AffektError: as `build_encoder`; the encoder has no such layer or cut, or its engine is not installed.
    """
    encoder = build_encoder(section.name, weights or section.weights, seed)
    encoder.hear(section.layer)
    cut = encoder.cut(section.freeze)
    if cut.index:  # where everything is trained there is nothing for an engine to run
        encoder.run_with(section.engine)
    return encoder, cut


__all__ = ["ENCODERS", "Cut", "Encoder", "EncoderSpec", "build_encoder", "build_section"]
