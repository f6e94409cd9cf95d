"""What activations are found by: the hash of everything that determines them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from affekt.audio import AUDIO_VERSION
from affekt.audio.clips import ClipPlan
from affekt.audio.frames import FramePlan, Windows
from affekt.audio.track import TrackPlan
from affekt.digest import digest
from affekt.encoders.base import Cut, Encoder
from affekt.errors import AudioError

#: What of a song is heard: clips for one annotation a song, windows for annotations over time.
Plan = ClipPlan | FramePlan
#: The same, worked out for one song; a predictor follows whole tracks.
Heard = ClipPlan | Windows | TrackPlan
#: Of stored activations.
DTYPE = np.float16


def prefix_settings(encoder: Encoder, cut: Cut, plan: Plan | Heard) -> dict[str, object]:
    """Everything but the audio that determines activations: what the store's key is made of."""
    heard = {"audio_version": AUDIO_VERSION, "sample_rate_hz": encoder.spec.sample_rate_hz, "clips": plan}
    return {**encoder.settings(cut), **heard, "cut": cut.index, "dtype": np.dtype(DTYPE).name}


def store_key(audio_path: Path, settings: dict[str, object]) -> str:
    """The key for one file: its bytes and the settings."""
    try:
        with audio_path.open("rb") as file:
            audio = hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as error:
        raise AudioError(f"{audio_path}: cannot be read ({error.strerror}).") from None
    return digest({"audio": audio, **settings})
