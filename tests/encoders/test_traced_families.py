"""Every family behind `hf:` as an exported graph: onnxruntime gives what torch does, for any number of clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from affekt.encoders import build_encoder
from affekt.encoders.auto import FAMILIES
from affekt.encoders.staged import StagedEncoder
from affekt.model.graph import traced
from affekt.model.onnx import CLIPS, EMBEDDINGS, VALUES
from affekt.model.readout import RidgeReadout

Make = Callable[..., Any]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_computes_what_torch_does(family: str, publish: Make, tmp_path: Path) -> None:
    publish(family, tmp_path)
    encoder = build_encoder(f"hf:{tmp_path}")
    assert isinstance(encoder, StagedEncoder) and encoder.spec.sample_rate_hz is not None
    dim, n_samples = encoder.spec.embedding_dim, encoder.spec.sample_rate_hz // 2
    rng = np.random.default_rng(0)
    learnt = {"mean": np.zeros(dim), "std": np.ones(dim), "slopes": rng.normal(size=(dim, 2)), "intercept": np.ones(2)}
    cut, readout = encoder.cut("all"), RidgeReadout(learnt, 5.0)
    session = onnxruntime.InferenceSession(traced(encoder, cut, readout, n_samples))
    for n_clips in (1, 3, 7):
        clips = rng.uniform(-1, 1, (n_clips, n_samples)).astype(np.float32)
        values, embeddings = session.run([VALUES, EMBEDDINGS], {CLIPS: clips})
        right = encoder.activations(clips, cut)
        np.testing.assert_allclose(embeddings, right, rtol=0, atol=1e-4 * max(1, np.abs(right).max()))
        np.testing.assert_allclose(values, readout.values(right), rtol=0, atol=1e-4 * max(1, np.abs(right).max()))
