"""What stands behind the prefix, as a model keeps it: from activations of a track's clips to values on the scale.

Two kinds, as heads are of two kinds. Ridge was fitted on means over a song's clips, in closed form: it averages first,
and runs without torch. A trained suffix was fitted clip by clip: its values are averaged. A model that was trained over
time judges each moment alone, whichever its kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from affekt.training.ridge import Ridge

if TYPE_CHECKING:
    from affekt.training.fit import Regressor
    from affekt.training.table import Standardiser

Tensors = Mapping[str, np.ndarray]


class Readout(ABC):
    """Activations (n, ...) at the cut to values."""

    #: Whether a track's value is that of its mean embedding, or the mean of its clips' values.
    averages_first: bool

    @abstractmethod
    def values(self, activations: np.ndarray) -> np.ndarray:
        """A value for each clip by itself, on the scale, (n, n_targets)."""

    @abstractmethod
    def embeddings(self, activations: np.ndarray) -> np.ndarray:
        """What enters the head, (n, dim)."""

    @abstractmethod
    def distances(self, activations: np.ndarray) -> np.ndarray:
        """How far each clip lies from the centre of what was trained on, (n,): root mean square of its z-scores."""

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """All that is learnt, by name; what `readout_of` takes."""

    def of_track(self, activations: np.ndarray) -> np.ndarray:
        """One value for all clips together, (n_targets,)."""
        if self.averages_first:
            return self.values(activations.mean(axis=0, dtype=np.float64, keepdims=True))[0]
        return self.values(activations).mean(axis=0)

    def distance(self, activations: np.ndarray) -> float:
        """How far a track lies from the centre of what was trained on."""
        if self.averages_first:
            activations = activations.mean(axis=0, dtype=np.float64, keepdims=True)
        return float(self.distances(activations).mean())


class RidgeReadout(Readout):
    """A linear map of standardised embeddings; numpy alone.

    Args:
        learnt: mean, std (dim,), slopes (dim, n_targets), intercept (n_targets,), of double precision.
        clip: standardised embeddings are clipped to +-this; None for not at all.
    """

    averages_first = True

    def __init__(self, learnt: Tensors, clip: float | None) -> None:
        self._mean, self._std = learnt["mean"], learnt["std"]
        self._slopes, self._intercept = learnt["slopes"], learnt["intercept"]
        self.clip = clip

    @classmethod
    def of(cls, ridge: Ridge) -> RidgeReadout:
        """What `solve` found, with the scale of labels taken into the line."""
        assert ridge.line is not None  # the encoder hears something
        slopes = ridge.line.slopes * ridge.labels.std
        intercept = ridge.labels.undo(ridge.line.mean_y - ridge.line.mean_x @ ridge.line.slopes)
        learnt = {"mean": ridge.scale.mean, "std": ridge.scale.std, "slopes": slopes, "intercept": intercept}
        return cls(learnt, ridge.clip)

    def values(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        z = self._z(activations)
        z = z if self.clip is None else z.clip(-self.clip, self.clip)
        found: np.ndarray = z @ self._slopes + self._intercept
        return found

    def embeddings(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        return activations

    def distances(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        return np.sqrt((self._z(activations) ** 2).mean(axis=1))

    def tensors(self) -> dict[str, np.ndarray]:
        """As of `Readout`."""
        return {"mean": self._mean, "std": self._std, "slopes": self._slopes, "intercept": self._intercept}

    def _z(self, activations: np.ndarray) -> np.ndarray:
        return (activations - self._mean) / self._std


class TrainedReadout(Readout):
    """A suffix and its heads, run by torch.

    Args:
        regressor: activations to standardised values.
        labels: what undoes the standardisation.
    """

    averages_first = False
    #: Clips at a time: a track has many windows, and a suffix may be large.
    _BATCH = 32

    def __init__(self, regressor: Regressor, labels: Standardiser) -> None:
        self.regressor, self.labels = regressor.eval(), labels

    def values(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        import torch

        with torch.inference_mode():
            found = [self.regressor(batch) for batch in torch.from_numpy(activations).float().split(self._BATCH)]
        return self.labels.undo(torch.cat(found).double().numpy())

    def embeddings(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        import torch

        with torch.inference_mode():
            batches = torch.from_numpy(activations).float().split(self._BATCH)
            return torch.cat([self.regressor.suffix(batch) for batch in batches]).numpy()

    def distances(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        scale = self.regressor.standardise
        return _distances(self.embeddings(activations), scale.mean.numpy(), scale.std.numpy())

    def tensors(self) -> dict[str, np.ndarray]:
        """As of `Readout`."""
        weights = {name: value.numpy().copy() for name, value in self.regressor.state_dict().items()}
        return {**weights, "labels.mean": self.labels.mean, "labels.std": self.labels.std}


class ExportedReadout(Readout):
    """A trained suffix and its heads that ran as part of an exported graph; numpy alone.

    What it calls activations are a clip's values and behind them its embedding, side by side.

    Args:
        learnt: mean, std (dim,) of embeddings.
        n_targets: how many values there are.
    """

    averages_first = False

    def __init__(self, learnt: Tensors, n_targets: int) -> None:
        self._mean, self._std, self._n_targets = learnt["mean"], learnt["std"], n_targets

    def values(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        return activations[:, : self._n_targets].astype(np.float64)

    def distances(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        return _distances(self.embeddings(activations), self._mean, self._std)

    def embeddings(self, activations: np.ndarray) -> np.ndarray:
        """As of `Readout`."""
        return activations[:, self._n_targets :]

    def tensors(self) -> dict[str, np.ndarray]:
        """As of `Readout`."""
        return {"mean": self._mean, "std": self._std}


def _distances(embeddings: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Root mean square of z-scores, (n, dim) -> (n,), in double precision."""
    z = (embeddings.astype(np.float64) - mean) / std
    return np.sqrt((z**2).mean(axis=1))
