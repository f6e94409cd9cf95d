"""A network as a list of named stages, which can be cut between any two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn


@dataclass(frozen=True)
class Stage:
    """One step of a network, from one tensor (batch, ...) to one tensor (batch, ...).

    `copy.deepcopy` of a list of stages copies their modules and nothing else; the copy runs on its own.

    Attributes:
        name: as shown in reports ("layer11", "level3.block2").
        modules: what belongs to this step alone; empty where it has no weights.
        function: called with the modules and the tensor. Further modules that it needs, but that belong to another
            step, are bound with `functools.partial`, which a deep copy follows.
        is_layer: whether `freeze: lastN` counts it.
    """

    name: str
    modules: tuple[nn.Module, ...]
    function: Callable[..., Tensor]
    is_layer: bool = False

    def run(self, x: Tensor) -> Tensor:
        """Turn the tensor that the stage before left into the one that the next stage takes."""
        return self.function(*self.modules, x)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters of this stage. No other stage has any of them."""
        for module in self.modules:
            yield from module.parameters()

    def bound_modules(self) -> Iterator[nn.Module]:
        """Modules of other steps that the function is bound to."""
        if isinstance(self.function, partial):
            bound = (*self.function.args, *self.function.keywords.values())
            yield from (value for value in bound if isinstance(value, nn.Module))


def run_stages(stages: Sequence[Stage], x: Tensor) -> Tensor:
    """Run `stages` in order."""
    for stage in stages:
        x = stage.run(x)
    return x
