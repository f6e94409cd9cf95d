"""Engines: the same activations by another way, and a key of their own; what they cannot do is told before any work."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from affekt.config import parse_experiment
from affekt.contender import enter
from affekt.data import load_dataset
from affekt.encoders import build_encoder, engines
from affekt.encoders.auto import FAMILIES
from affekt.encoders.staged import StagedEncoder
from affekt.errors import ConfigError, MissingExtraError
from affekt.experiment import run_experiment
from affekt.features.store import Store

Make = Callable[..., Any]

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf")), reason="the extra is not installed"
)
#: Every encoder that is not a model of transformers and that an engine runs.
OWN = ("wav2vec2-nano", "musicnn")


def music(encoder: StagedEncoder, n_clips: int = 7, length_s: float = 0.7) -> np.ndarray:
    """Clips of the last pieces of the calibration corpus, a second into them, (n_clips, n_samples)."""
    rate_hz = encoder.spec.sample_rate_hz
    assert rate_hz is not None
    n_samples = round(length_s * rate_hz)
    return engines.calibration_clips(rate_hz, rate_hz + n_samples)[-n_clips:, rate_hz:]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Deviation over the spread of the expected values."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - expected.mean(axis=0)))


@pytest.fixture(params=[*OWN, *FAMILIES])
def encoder(request: pytest.FixtureRequest, publish: Make, tmp_path: Path) -> StagedEncoder:
    """Each kind of encoder that OpenVINO runs, with random weights."""
    if request.param in OWN:
        built = build_encoder(request.param, "random")
    else:
        publish(request.param, tmp_path)
        built = build_encoder(f"hf:{tmp_path}")
    assert isinstance(built, StagedEncoder)
    assert engines.OPENVINO in built.engines
    return built


@pytest.fixture
def nano() -> StagedEncoder:
    built = build_encoder("wav2vec2-nano")
    assert isinstance(built, StagedEncoder)
    return built


# --- what they compute -----------------------------------------------------------------------------------------------


@installed
def test_openvino_computes_what_torch_does(encoder: StagedEncoder) -> None:
    clips = music(encoder, n_clips=3)
    for freeze in ("all", "last1"):
        cut = encoder.cut(freeze)
        encoder.run_with(engines.TORCH)
        expected = encoder.activations(clips, cut)
        encoder.run_with(engines.OPENVINO)
        found = encoder.activations(clips, cut)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@installed
def test_eight_bits_are_close_and_not_the_same(nano: StagedEncoder) -> None:
    clips = music(nano)
    for freeze in ("all", "last2"):
        cut = nano.cut(freeze)
        nano.run_with(engines.TORCH)
        expected = nano.activations(clips, cut)
        nano.run_with(engines.OPENVINO_INT8)
        assert 1e-4 < relative_error(nano.activations(clips, cut), expected) < 0.1


@installed
@pytest.mark.parametrize("engine", [engines.OPENVINO, engines.OPENVINO_INT8])
def test_a_clip_does_not_depend_on_its_batch(nano: StagedEncoder, engine: str) -> None:
    nano.run_with(engine)
    cut, clips = nano.cut("all"), music(nano)
    together = nano.activations(clips, cut)
    for n_clips in range(1, 7):
        np.testing.assert_allclose(nano.activations(clips[:n_clips], cut), together[:n_clips], rtol=1e-4, atol=1e-5)
    nano.batch_size = 2
    np.testing.assert_allclose(nano.activations(clips, cut), together, rtol=1e-4, atol=1e-5)


@installed
def test_another_clip_length_and_another_cut(nano: StagedEncoder) -> None:
    nano.run_with(engines.OPENVINO)
    for freeze, length_s in (("all", 0.7), ("all", 1.1), ("last2", 1.1), ("all", 0.7)):
        cut, clips = nano.cut(freeze), music(nano, 2, length_s)
        found = nano.activations(clips, cut)
        expected = build_encoder("wav2vec2-nano").activations(clips, cut)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@installed
@pytest.mark.parametrize("layer", [2, "weighted"])
def test_another_layer(nano: StagedEncoder, layer: str | int) -> None:
    nano.hear(layer)
    cut, clips = nano.cut("all"), music(nano, 2)
    expected = nano.activations(clips, cut)
    nano.run_with(engines.OPENVINO)
    np.testing.assert_allclose(nano.activations(clips, cut), expected, rtol=1e-4, atol=1e-4)
    nano.run_with(engines.OPENVINO_INT8)
    assert 1e-4 < relative_error(nano.activations(clips, cut), expected) < 0.1


@installed
def test_quantising_twice_gives_the_same(nano: StagedEncoder) -> None:
    nano.run_with(engines.OPENVINO_INT8)
    cut, clips = nano.cut("all"), music(nano)
    first = nano.activations(clips, cut)
    again = build_encoder("wav2vec2-nano")
    again.run_with(engines.OPENVINO_INT8)
    np.testing.assert_allclose(again.activations(clips, cut), first, rtol=1e-4, atol=1e-5)


@installed
def test_the_suffix_behind_it_can_be_trained(nano: StagedEncoder) -> None:
    nano.run_with(engines.OPENVINO)
    cut = nano.cut("last1")
    stored = torch.from_numpy(nano.activations(music(nano, 2), cut))
    suffix = nano.suffix(cut)
    assert suffix is not None
    suffix.eval()(stored).square().sum().backward()
    assert all(parameter.grad is not None for parameter in suffix.parameters())


# --- calibration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate_hz", "n_samples"), [(16_000, 80_000), (16_000, 11_201), (48_000, 9600), (22_050, 999)])
def test_calibration_clips(rate_hz: int, n_samples: int) -> None:
    clips = engines.calibration_clips(rate_hz, n_samples)
    assert clips.shape == (engines.N_CALIBRATION, n_samples) and clips.dtype == np.float32
    assert np.isfinite(clips).all() and np.abs(clips).max() <= 1.1
    np.testing.assert_array_equal(engines.calibration_clips(rate_hz, n_samples), clips)
    np.testing.assert_array_equal(engines.calibration_clips(rate_hz, n_samples, engines.OPENVINO), clips[:1])
    assert len({clip.tobytes() for clip in clips}) == len(clips)


# --- the key ---------------------------------------------------------------------------------------------------------


@installed
def test_each_engine_has_a_key_of_its_own(nano: StagedEncoder) -> None:
    cut, everything = nano.cut("all"), nano.cut("none")
    plain, whole, without = nano.settings(cut), nano.settings(), nano.settings(everything)
    assert "engine" not in {**plain, **whole, **without}
    keys = [plain]
    for engine in (engines.OPENVINO, engines.OPENVINO_INT8):
        nano.run_with(engine)
        keys.append(nano.settings(cut))
        assert {key: value for key, value in keys[-1].items() if key != "engine"} == plain
        assert nano.settings(everything) == without and nano.engine_at(everything) == engines.TORCH
    assert all(keys.count(key) == 1 for key in keys)
    assert keys[2]["engine"]["nncf"] and keys[2]["engine"]["calibration"]


@installed
def test_where_everything_is_trained_torch_runs(nano: StagedEncoder) -> None:
    nano.run_with(engines.OPENVINO_INT8)
    clips, everything = music(nano, 2), nano.cut("none")
    expected = build_encoder("wav2vec2-nano").activations(clips, everything)
    np.testing.assert_array_equal(nano.activations(clips, everything), expected)


# --- in a comparison -------------------------------------------------------------------------------------------------


@installed
def test_a_comparison_of_engines(song_folder: Path, tmp_path: Path) -> None:
    names = ("torch", "openvino", "openvino-int8")
    experiment = parse_experiment(
        {
            "dataset": {"name": "folder", "root": str(song_folder)},
            "split": {"folds": 2},
            "clips": {"count": 2, "length_s": 1.0},
            "engine": "openvino-int8",
            "encoders": [
                "mean",
                *({"name": "wav2vec2-nano", "label": name, "engine": name} for name in names[:2]),
                {"name": "wav2vec2-nano", "label": names[2]},
                # nothing is frozen, so nothing is left for an engine that does not know this encoder
                {"name": "mambavision-nano", "freeze": "none", "head": "linear", "training": {"epochs": 1}},
            ],
        }
    )
    store = Store(tmp_path / "store")
    results, _ = run_experiment(experiment, tmp_path / "run", store, quiet=True)
    told = {about["label"]: about["engine"] for about in results.encoders}
    assert told == {"mean": "torch", **{name: name for name in names}, "mambavision-nano": "torch"}
    assert all(row["n_extracted"] == 16 for row in results.cost if row["encoder"] in names)
    scores = {
        name: np.array([one.y_pred for one in results.predictions if one.encoder == name]) for name in (*names, "mean")
    }
    np.testing.assert_allclose(scores["openvino"], scores["torch"], atol=1e-2)
    assert np.abs(scores["openvino-int8"] - scores["torch"]).max() < 0.5
    assert not np.array_equal(scores["openvino-int8"], scores["torch"])


@installed
def test_unsupported_encoders_are_told_together(song_folder: Path) -> None:
    settings = {
        "engine": "openvino-int8",
        "encoders": ["mambavision-nano", "mean", {"name": "musicnn", "weights": "random"}],
    }
    with pytest.raises(ConfigError) as error:
        enter(parse_experiment(settings), load_dataset("folder", root=song_folder), quiet=True)
    assert 'mambavision-nano: engine = "openvino-int8" does not work for this encoder; allowed: torch.' in str(
        error.value
    )
    assert 'musicnn: engine = "openvino-int8" does not work for this encoder; allowed: torch, openvino.' in str(
        error.value
    )


def test_a_missing_extra_is_named(nano: StagedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for engine in (engines.OPENVINO, engines.OPENVINO_INT8):
        with pytest.raises(MissingExtraError, match=rf'engine "{engine}" .* pip install .affekt\[openvino\]'):
            nano.run_with(engine)
    nano.run_with(engines.TORCH)


def test_unknown_engines_are_mistakes_of_the_file() -> None:
    with pytest.raises(ConfigError, match="'torch', 'openvino' or 'openvino-int8'"):
        parse_experiment({"encoders": ["mean"], "engine": "onnxruntime"})


# --- what they leave alone -------------------------------------------------------------------------------------------


@installed
def test_nothing_is_reported_or_printed(tmp_path: Path) -> None:
    """The packages report their use to their makers unless told otherwise, and NNCF draws bars on standard output."""
    program = """
import numpy as np
from affekt.encoders import build_encoder
encoder = build_encoder("wav2vec2-nano")
encoder.run_with("openvino-int8")
encoder.activations(np.zeros((1, 16000), np.float32), encoder.cut("all"))
import nncf.telemetry, openvino.tools.ovc.telemetry_utils as of_openvino
assert "openvino_telemetry" not in nncf.telemetry.telemetry.__class__.__module__
assert nncf.telemetry.telemetry.__class__.__name__ != "NNCFTelemetry", nncf.telemetry.telemetry
assert of_openvino.tm.__name__.endswith("telemetry_stub"), of_openvino.tm
"""
    home = {"HOME": str(tmp_path), "AFFEKT_HOME": str(tmp_path / "affekt")}
    path = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env={**home, **path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*intel*")), "an identity was written for the reports"
