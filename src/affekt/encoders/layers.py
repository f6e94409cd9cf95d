"""Which layer of a network is heard: the last one, an earlier one, or a learned sum of all.

Conventions: layers count from 1; the embedding of layer k is the mean over frames of what leaves layer k, without the
norm that some networks have behind their last layer. "last" is the network's own output, with that norm. What emotion
and music need often sits in the middle of a network that was trained for speech, so the choice can matter much.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from affekt.encoders.stages import Stage, run_stages
from affekt.errors import ConfigError

LAST, WEIGHTED = "last", "weighted"
#: Name of the stage that sums over layers.
SUM = "layer_weights"


class LayerWeights(nn.Module):
    """A weighted sum over layers whose weights are learned; equal at first.

    Source: Yang et al. 2021, arXiv 2105.01051 (SUPERB), where frozen speech models are compared this way.
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_layers))

    def shares(self) -> Tensor:
        """The weight of each layer, (n_layers,); positive, sums to 1."""
        return self.logits.softmax(dim=0)

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled layers (batch, n_layers, dim) to embeddings (batch, dim)."""
        return torch.einsum("l,bld->bd", self.shares(), pooled)


def layer_weights(model: nn.Module) -> list[float] | None:
    """What a trained suffix, or any model that holds one, learned to take of each layer; None where it has no choice.

    Args:
        model: a suffix of an encoder that hears "weighted", alone or within the model that was trained.

    Returns:
        the weight of layer 1, 2, ...; their sum is 1.
    """
    found = next((module for module in model.modules() if isinstance(module, LayerWeights)), None)
    return None if found is None else found.shares().tolist()


def check_layer(name: str, layer: str | int, n_layers: int) -> None:
    """See that an encoder has the layer.

    Args:
        name: of the encoder.
        layer: what is asked for.
        n_layers: how many there are to choose from; 0 where the output of its blocks differs in shape.

    Raises:
        ConfigError: it has not.
    """
    if layer == LAST:
        return
    if n_layers == 0:
        raise ConfigError(
            f"{name}: layer = {layer}, but this encoder has no layers to choose from: its blocks differ in width. "
            'Only `layer: "last"` is allowed; leave it out.'
        )
    if layer != WEIGHTED and (not isinstance(layer, int) or isinstance(layer, bool) or not 1 <= layer <= n_layers):
        raise ConfigError(f'{name}: layer = {layer}; allowed are "last", "weighted" and 1 to {n_layers}.')


def up_to_layer(stages: Sequence[Stage], layer: int, pool: Stage) -> list[Stage]:
    """The stages up to layer number `layer`, and `pool` behind them; those above are not run."""
    place = [index for index, stage in enumerate(stages) if stage.is_layer][layer - 1]
    return [*stages[: place + 1], pool]


def every_layer(stages: Sequence[Stage], pool: Stage) -> list[Stage]:
    """Stages that pool what leaves each layer, (batch, n_layers, dim), and then sum over layers, (batch, dim)."""
    layers = [stage for stage in stages if stage.is_layer]
    first = stages[: stages.index(layers[0])]
    modules = tuple(module for stage in layers for module in stage.modules)
    return [
        *first,
        Stage("layers", modules, partial(_pool_each, layers=layers, pool=pool)),
        Stage(SUM, (LayerWeights(len(layers)),), _sum),
    ]


def _pool_each(*modules_and_x: nn.Module | Tensor, layers: Sequence[Stage], pool: Stage) -> Tensor:
    """What enters the first layer, (batch, frames, ...) -> every layer's pooled output, (batch, n_layers, dim)."""
    x = modules_and_x[-1]
    assert isinstance(x, Tensor)
    pooled = []
    for layer in layers:
        x = layer.run(x)
        pooled.append(run_stages([pool], x))
    return torch.stack(pooled, dim=1)


def _sum(weights: LayerWeights, pooled: Tensor) -> Tensor:
    total: Tensor = weights(pooled)
    return total
