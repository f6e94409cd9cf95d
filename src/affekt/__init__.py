"""affekt: which representation of sound hears emotion best, and what does this track feel like?

    import affekt
    songs = affekt.load_dataset("deam", root="~/deam")
    results = affekt.compare(songs, encoders=["mean", "handcrafted", "wav2vec2-base", "mambavision-s"])
    results.table()

Public names load on use: `import affekt` alone imports neither torch nor pandas.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# Waiting threads of torch's OpenMP sleep instead of spinning: beside another busy process, the default makes a small
# training step about ten times slower (0.18 s against 0.016 s, two processes on 2 cores).
# It has to be set before torch is loaded; a value that the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_PUBLIC = {
    "AffektError": "affekt.errors",
    "ClipPlan": "affekt.audio.clips",
    "Dataset": "affekt.data.base",
    "Emotion": "affekt.model.emotion",
    "Model": "affekt.model.predictor",
    "Results": "affekt.evaluation.results",
    "Song": "affekt.data.base",
    "build_encoder": "affekt.encoders",
    "compare": "affekt.experiment",
    "decode": "affekt.audio.decode",
    "load_dataset": "affekt.data",
    "load_experiment": "affekt.config",
    "load_model": "affekt.model.predictor",
    "run_experiment": "affekt.experiment",
    "train_model": "affekt.model.train",
    "write_all": "affekt.report",
    "write_report": "affekt.report",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'affekt' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
