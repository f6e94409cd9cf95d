"""Engines: the same activations by another way, and a key of their own; what they cannot do is told before any work."""

from __future__ import annotations

import importlib.util
import operator
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config

from affekt.config import parse_experiment
from affekt.contender import enter
from affekt.data import load_dataset
from affekt.encoders import build_encoder, engines
from affekt.encoders.pretrained import random_model
from affekt.encoders.staged import StagedEncoder
from affekt.encoders.stages import Stage, run_stages
from affekt.encoders.waveform import NANO
from affekt.errors import ConfigError, MissingExtraError
from affekt.experiment import run_experiment
from affekt.features.store import Store

Make = Callable[..., Any]

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in engines.PACKAGES), reason="the extra is not installed"
)
#: Quantises one layer in an interpreter of its own, and looks for what the packages report to their makers.
ELSEWHERE = """
import sys
import numpy as np
from affekt.encoders import build_encoder
encoder = build_encoder(sys.argv[1])
encoder.run_with("openvino-int8")
np.save("found.npy", encoder.activations(np.load("clips.npy"), encoder.cut("last1")))
import nncf.telemetry, openvino.tools.ovc.telemetry_utils as of_openvino
assert "openvino_telemetry" not in nncf.telemetry.telemetry.__class__.__module__
assert nncf.telemetry.telemetry.__class__.__name__ != "NNCFTelemetry", nncf.telemetry.telemetry
assert of_openvino.tm.__name__.endswith("telemetry_stub"), of_openvino.tm
"""


def music(encoder: StagedEncoder, n_clips: int = 7, length_s: float = 0.7) -> np.ndarray:
    """Clips of the last pieces of the calibration corpus, a second into them, (n_clips, n_samples)."""
    rate_hz = encoder.spec.sample_rate_hz
    assert rate_hz is not None
    n_samples = round(length_s * rate_hz)
    return engines.calibration_clips(rate_hz, rate_hz + n_samples)[-n_clips:, rate_hz:]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Deviation over the spread of the expected values."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - expected.mean(axis=0)))


def by_torch(name: str, clips: np.ndarray, freeze: str, layer: str | int = "last") -> np.ndarray:
    encoder = build_encoder(name)
    encoder.hear(layer)
    return encoder.activations(clips, encoder.cut(freeze))


def in_eight_bits(name: str) -> StagedEncoder:
    encoder = build_encoder(name)
    assert isinstance(encoder, StagedEncoder)
    encoder.run_with(engines.OPENVINO_INT8)
    return encoder


@pytest.fixture
def nano() -> StagedEncoder:
    built = build_encoder("wav2vec2-nano")
    assert isinstance(built, StagedEncoder)
    return built


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a nano with two layers: quantising takes about a second for each."""
    folder = tmp_path_factory.mktemp("two-layers")
    random_model(Wav2Vec2Config(**{**NANO, "num_hidden_layers": 2}), seed=0).save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def kept(tiny: str) -> StagedEncoder:
    """An encoder in 8 bits that keeps what it has compiled from test to test, as in the course of an extraction."""
    return in_eight_bits(tiny)


# --- what it computes ------------------------------------------------------------------------------------------------


@installed
@pytest.mark.parametrize("freeze", ["all", "last1"])
def test_eight_bits_are_close_and_not_the_same(kept: StagedEncoder, tiny: str, freeze: str) -> None:
    clips = music(kept)
    found, expected = kept.activations(clips, kept.cut(freeze)), by_torch(tiny, clips, freeze)
    assert found.dtype == np.float32
    assert 1e-4 < relative_error(found, expected) < 0.02


@installed
@pytest.mark.parametrize("family", ["wavlm", "data2vec-audio"])
def test_families_whose_positions_are_told_otherwise(family: str, publish: Make, tmp_path: Path) -> None:
    publish(family, tmp_path, num_hidden_layers=2)
    encoder = in_eight_bits(f"hf:{tmp_path}")
    clips = music(encoder, 3, 0.3)
    found = encoder.activations(clips, encoder.cut("all"))
    assert 1e-4 < relative_error(found, by_torch(f"hf:{tmp_path}", clips, "all")) < 0.1


@installed
def test_no_product_overflows_on_any_processor() -> None:
    """Without VNNI, sums of two 8-bit products are cut off at 16 bits, which independent weights show at once."""
    torch.manual_seed(0)
    stages = [Stage(name, (torch.nn.Linear(64, 64),), operator.call) for name in ("first", "second")]
    inputs = torch.randn(16, 8, 64)
    with torch.no_grad():
        found, expected = engines.compiled(stages, inputs)(inputs), run_stages(stages, inputs)
    assert 1e-4 < relative_error(found.numpy(), expected.numpy()) < 0.03


@installed
def test_a_clip_does_not_depend_on_its_batch(kept: StagedEncoder) -> None:
    cut, clips = kept.cut("all"), music(kept)
    together = kept.activations(clips, cut)
    for n_clips in range(1, 7):
        np.testing.assert_allclose(kept.activations(clips[:n_clips], cut), together[:n_clips], rtol=1e-4, atol=1e-5)
    kept.batch_size = 2
    try:
        np.testing.assert_allclose(kept.activations(clips, cut), together, rtol=1e-4, atol=1e-5)
    finally:
        del kept.batch_size


@installed
def test_another_clip_length_and_another_cut(kept: StagedEncoder, tiny: str) -> None:
    for freeze, length_s in (("all", 0.7), ("last1", 0.7), ("last1", 1.1), ("all", 0.7)):
        clips = music(kept, 2, length_s)
        found = kept.activations(clips, kept.cut(freeze))
        assert relative_error(found, by_torch(tiny, clips, freeze)) < 0.02


@installed
@pytest.mark.parametrize("layer", [1, "weighted"])
def test_another_layer(kept: StagedEncoder, tiny: str, layer: str | int) -> None:
    clips = music(kept, 2)
    kept.hear(layer)
    try:
        found = kept.activations(clips, kept.cut("all"))
    finally:
        kept.hear("last")
    assert 1e-4 < relative_error(found, by_torch(tiny, clips, "all", layer)) < 0.02


@installed
def test_the_suffix_behind_it_can_be_trained(kept: StagedEncoder) -> None:
    cut = kept.cut("last1")
    stored = torch.from_numpy(kept.activations(music(kept, 2), cut))
    suffix = kept.suffix(cut)
    assert suffix is not None
    suffix.eval()(stored).square().sum().backward()
    assert all(parameter.grad is not None for parameter in suffix.parameters())


# --- in another process ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere(
    kept: StagedEncoder, tiny: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """`ELSEWHERE`, run once, and its folder, which is its home and holds what it heard and computed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    np.save(folder / "clips.npy", music(kept))
    home = {"HOME": str(folder), "AFFEKT_HOME": str(folder / "affekt")}
    path = {"PYTHONPATH": ":".join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ELSEWHERE, tiny]
    done = subprocess.run(command, cwd=folder, env={**home, **path}, capture_output=True, text=True, check=False)
    return done, folder


@installed
def test_quantising_twice_gives_the_same(
    kept: StagedEncoder, elsewhere: tuple[subprocess.CompletedProcess[str], Path]
) -> None:
    done, folder = elsewhere
    assert done.returncode == 0, done.stderr
    again = kept.activations(np.load(folder / "clips.npy"), kept.cut("last1"))
    np.testing.assert_allclose(np.load(folder / "found.npy"), again, rtol=1e-4, atol=1e-5)


@installed
def test_nothing_is_reported_or_printed(elsewhere: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """The packages report their use to their makers unless told otherwise, and NNCF draws bars on standard output."""
    done, folder = elsewhere
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not list(folder.rglob("*intel*")), "an identity was written for the reports"


# --- calibration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate_hz", "n_samples"), [(16_000, 80_000), (16_000, 11_201), (48_000, 9600), (22_050, 999)])
def test_calibration_clips(rate_hz: int, n_samples: int) -> None:
    clips = engines.calibration_clips(rate_hz, n_samples)
    assert clips.shape == (engines.N_CALIBRATION, n_samples) and clips.dtype == np.float32
    assert np.isfinite(clips).all() and np.abs(clips).max() <= 1.1
    np.testing.assert_array_equal(engines.calibration_clips(rate_hz, n_samples), clips)
    assert len({clip.tobytes() for clip in clips}) == len(clips)


# --- the key ---------------------------------------------------------------------------------------------------------


@installed
def test_its_activations_have_a_key_of_their_own(nano: StagedEncoder) -> None:
    cut, everything = nano.cut("all"), nano.cut("none")
    plain, whole, without = nano.settings(cut), nano.settings(), nano.settings(everything)
    assert "engine" not in {**plain, **whole, **without}
    nano.run_with(engines.OPENVINO_INT8)
    found = nano.settings(cut)
    assert {key: value for key, value in found.items() if key != "engine"} == plain
    assert found["engine"]["nncf"] and found["engine"]["openvino"] and found["engine"]["calibration"]
    assert nano.settings(everything) == without and nano.engine_at(everything) == engines.TORCH


@installed
def test_where_everything_is_trained_torch_runs(nano: StagedEncoder) -> None:
    nano.run_with(engines.OPENVINO_INT8)
    clips, everything = music(nano, 2), nano.cut("none")
    expected = build_encoder("wav2vec2-nano").activations(clips, everything)
    np.testing.assert_array_equal(nano.activations(clips, everything), expected)


# --- in a comparison -------------------------------------------------------------------------------------------------


@installed
def test_a_comparison_of_engines(song_folder: Path, tmp_path: Path) -> None:
    names, trained = ("torch", "openvino-int8"), {"head": "linear", "training": {"epochs": 1}}
    experiment = parse_experiment(
        {
            "dataset": {"name": "folder", "root": str(song_folder)},
            "split": {"folds": 2},
            "clips": {"count": 2, "length_s": 1.0},
            "engine": "openvino-int8",
            "layer": 1,  # a quarter of the work to quantise
            "encoders": [
                "mean",
                {"name": "wav2vec2-nano", "label": names[0], "engine": names[0]},
                {"name": "wav2vec2-nano", "label": names[1]},
                # nothing is frozen, so nothing is left for an engine that does not know this encoder
                {"name": "mambavision-nano", "layer": "last", "freeze": "none", **trained},
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
    assert np.abs(scores["openvino-int8"] - scores["torch"]).max() < 0.5
    assert not np.array_equal(scores["openvino-int8"], scores["torch"])


def test_encoders_that_lose_too_much_are_told_together(song_folder: Path, publish: Make, tmp_path: Path) -> None:
    publish("vit", tmp_path)
    names = ["musicnn", "mambavision-nano", f"hf:{tmp_path}"]
    encoders = [{"name": "musicnn", "weights": "random"}, *names[1:], "mean"]
    asked = parse_experiment({"engine": "openvino-int8", "encoders": encoders})
    with pytest.raises(ConfigError) as error:
        enter(asked, load_dataset("folder", root=song_folder), quiet=True)
    for name in names:
        told = f'{name}: engine = "openvino-int8" does not work for this encoder; allowed: torch.'
        assert told in str(error.value)


def test_a_missing_extra_is_named(nano: StagedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'engine "openvino-int8" .* pip install .affekt\[openvino\]'):
        nano.run_with(engines.OPENVINO_INT8)
    nano.run_with(engines.TORCH)


def test_unknown_engines_are_mistakes_of_the_file() -> None:
    for engine in ("onnxruntime", "openvino"):
        with pytest.raises(ConfigError, match="'torch' or 'openvino-int8'"):
            parse_experiment({"encoders": ["mean"], "engine": engine})
