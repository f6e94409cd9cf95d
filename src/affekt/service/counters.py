"""What a service counts, for Prometheus: requests by how they ended, their time, the sound they held, who waits.

Nothing that was sent is in it: no names, no addresses.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Counters:
    """The counters of one application."""

    def __init__(self, n_inside: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "affekt_predictions", "Requests to predict, by how they ended.", ("outcome",), registry=self._registry
        )
        self.seconds = Histogram(
            "affekt_prediction_seconds",
            "From the end of an upload to the answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.audio_s = Counter("affekt_audio_seconds", "Sound that was heard.", registry=self._registry)
        inside = Gauge("affekt_predictions_inside", "Predictions that run or wait.", registry=self._registry)
        inside.set_function(n_inside)

    def text(self) -> bytes:
        """All of them, in the text format."""
        return generate_latest(self._registry)
