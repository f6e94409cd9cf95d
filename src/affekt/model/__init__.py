"""From a comparison to a predictor: an encoder and a head, trained on all songs, that anyone can ask about a track.

A model is a folder (a *bundle*): `model.safetensors`, `model.json`, and `README.md`, the model card. `bundle` reads and
writes it, `train` makes one, `predictor` asks it, `emotion` is the answer.
"""

from __future__ import annotations
