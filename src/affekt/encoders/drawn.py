"""Random weights: drawn from a seed without a trace, and what reports call them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from affekt.encoders.base import RANDOM_WEIGHTS


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers on the CPU start from `seed` within, and go on as if nothing had been after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def random_source(seed: int) -> str:
    """Drawn weights, in words."""
    return f"{RANDOM_WEIGHTS} (seed {seed})"
