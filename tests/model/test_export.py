"""Exported models: every kind of network computes what torch does, files are checked, torch is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import soundfile as sf
import torch

from affekt.cli import app, main
from affekt.config import EncoderSection, parse_experiment
from affekt.encoders import Encoder, build_encoder
from affekt.errors import AudioError, ConfigError, DataError, EncoderError, MissingExtraError, ShapeError
from affekt.features.store import Store
from affekt.model import export, graph
from affekt.model.bundle import CARD, GRAPH, SETTINGS, GraphFile, Settings, Target, TrainedOn, write_bundle
from affekt.model.export import TOLERANCE, compare, export_model
from affekt.model.graph import OPSET, traced
from affekt.model.onnx import CLIPS, EMBEDDINGS, VALUES, n_threads, open_graph
from affekt.model.predictor import Model, load_model
from affekt.model.readout import Readout, RidgeReadout, TrainedReadout
from affekt.model.train import train_model
from affekt.training.epochs import Recipe
from affekt.training.fit import Regressor
from affekt.training.table import Standardiser

TARGETS = ("valence", "arousal")
RATE_HZ = 22_050


class Case(NamedTuple):
    """A kind of network."""

    encoder: str
    freeze: str = "all"
    head: str = "ridge"
    layer: str | int = "last"
    window_s: float = 1.0


QUICK = [
    Case("wav2vec2-nano"),
    Case("mambavision-nano", "last1", "mlp"),
]
SLOW = [
    Case("musicnn"),
    Case("musicnn", window_s=5.0),  # two patches
    Case("musicnn", "last1", "seed", window_s=5.0),
    Case("mambavision-nano", window_s=5.0),
    Case("mambavision-nano", "none", "linear"),
    Case("wav2vec2-nano", "last1", "mlp"),
    Case("wav2vec2-nano", layer="weighted", head="linear"),
    Case("wav2vec2-nano", layer=2),
    Case("mel-mamba-nano", window_s=5.0),
    Case("wave-transformer-nano", "last2", "seed"),
]


def section_of(case: Case) -> EncoderSection:
    entry = {"name": case.encoder, "weights": "random", "layer": case.layer, "freeze": case.freeze, "head": case.head}
    return parse_experiment({"encoders": [entry]}).encoders[0]


def model_of(case: Case) -> Model:
    """A model whose readout is drawn at random: no training is needed to compare two ways of running it."""
    section = section_of(case)
    encoder = build_encoder(case.encoder, "random", 0)
    encoder.hear(section.layer)
    return Model(settings_of(case, section, encoder), encoder, readout_of(case, section, encoder))


def readout_of(case: Case, section: EncoderSection, encoder: Encoder) -> Readout:
    rng, dim = np.random.default_rng(0), encoder.spec.embedding_dim
    mean, std = rng.normal(0, 0.1, dim), rng.uniform(0.5, 1.5, dim)
    if case.head == "ridge":
        slopes = rng.normal(0, dim**-0.5, (dim, 2))
        learnt = {"mean": mean, "std": std, "slopes": slopes, "intercept": np.array([5.0, 4.0])}
        return RidgeReadout(learnt, section.clip_embeddings)
    recipe = Recipe.of(section.head, section.training, section.loss, section.clip_embeddings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        regressor = Regressor(encoder.suffix(encoder.cut(case.freeze)), dim, 2, recipe)
    regressor.standardise.mean.copy_(torch.from_numpy(mean))
    regressor.standardise.std.copy_(torch.from_numpy(std))
    return TrainedReadout(regressor, Standardiser(np.array([5.0, 4.0]), np.array([1.5, 1.2])))


def settings_of(case: Case, section: EncoderSection, encoder: Encoder) -> Settings:
    spec = encoder.spec
    return Settings(
        name="drawn",
        section=section,
        seed=0,
        encoder={name: getattr(spec, name) for name in spec.__dataclass_fields__},
        weights_digest=None,
        code_version=encoder.code_version,
        over_time=False,
        causal=False,
        window_s=case.window_s,
        targets=[Target(name=name, half_width=1.0, measured_coverage=0.9, scores=SCORES) for name in TARGETS],
        scale=(1.0, 9.0),
        coverage=0.9,
        distance=2.0,
        trained_on=TrainedOn(
            dataset="drawn", labels=None, fingerprint="0", n_songs=10, synthetic=True, notes=["drawn at random"]
        ),
        chosen={},
        made_by={},
    )


SCORES: dict[str, tuple[float | None, float | None, float | None]] = dict.fromkeys(
    ("r2", "rmse", "mae", "pearson", "spearman", "ccc"), (0.5, 0.4, 0.6)
)


def n_samples_of(model: Model) -> int:
    return round(model.settings.window_s * model.sample_rate_hz)


def with_graph(model: Model, content: bytes) -> Settings:
    file = GraphFile(
        sha256="0" * 64, n_bytes=8, opset=OPSET, n_samples=n_samples_of(model), differences={}, n_compared=1
    )
    return model.settings.model_copy(update={"graph": file})


def check_agreement(case: Case) -> None:
    model = model_of(case)
    content = traced(model.encoder, model.cut, model.readout, n_samples_of(model))  # type: ignore[arg-type]
    assert b"/home/" not in content and b"site-packages" not in content
    found = export._opened(with_graph(model, content), content, export._tensors(model))
    rng = np.random.default_rng(1)
    for n_clips in (1, 3, 7):
        clips = rng.standard_normal((n_clips, n_samples_of(model))).astype(np.float32) * 0.1
        right, other = (one.encoder.activations(clips, one.cut) for one in (model, found))
        np.testing.assert_allclose(found.readout.values(other), model.readout.values(right), rtol=0, atol=TOLERANCE)
        assert np.abs(found.readout.of_track(other) - model.readout.of_track(right)).max() < TOLERANCE
        assert found.readout.distance(other) == pytest.approx(model.readout.distance(right), rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*QUICK, *SLOW], ids=lambda case: "-".join(map(str, case)))
def test_the_graph_computes_what_torch_does(case: Case) -> None:
    check_agreement(case)


class Trained(NamedTuple):
    """A trained model, its export, and a song."""

    model: Model
    exported: Path
    song: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A last layer and a head, trained on generated music for an epoch; written, exported."""
    folder = tmp_path_factory.mktemp("exported")
    experiment = parse_experiment(
        {
            "name": "tiny",
            "dataset": {"name": "demo", "n_songs": 24},
            "split": {"folds": 2},
            "clips": {"count": 2, "length_s": 1.0},
            "training": {"epochs": 1},
            "encoders": [{"name": "wav2vec2-nano", "freeze": "last1", "head": "mlp"}],
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFFEKT_HOME", str(folder / "home"))
        store = Store(folder / "store")
        train_model(experiment, "wav2vec2-nano", folder / "model", folder / "run", store, quiet=True, workers=0)
    song = folder / "song.wav"
    sf.write(song, song_of(4.0), RATE_HZ)
    model = load_model(folder / "model")
    export_model(model, folder / "onnx", [song])
    return Trained(model, folder / "onnx", song)


def song_of(length_s: float) -> np.ndarray:
    """A chord in stereo that swells, (n_samples, 2)."""
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (220.0, 277.2, 329.6))
    return np.stack([chord, 0.8 * chord], axis=1) * (0.02 + 0.2 * time_s[:, None] / length_s)


@pytest.mark.slow
def test_a_trained_model_says_the_same_in_both_forms(trained: Trained) -> None:
    exported = load_model(trained.exported)
    right, found = trained.model.predict(trained.song), exported.predict(trained.song)
    np.testing.assert_allclose(found.values, right.values, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found.intervals, right.intervals, rtol=0, atol=TOLERANCE)
    assert right.curve is not None and found.curve is not None
    np.testing.assert_allclose(found.curve.values, right.curve.values, rtol=0, atol=TOLERANCE)
    assert found.remarks == right.remarks and found.scale == right.scale
    assert exported.fingerprint != trained.model.fingerprint


WITHOUT_TORCH = """
import json, sys
for name in ("torch", "transformers", "lightning", "onnx", "onnxscript"):
    sys.modules[name] = None  # importing it raises
import affekt
model = affekt.load_model(sys.argv[1])
print(json.dumps(model.predict(sys.argv[2]).as_dict()))
from affekt.cli import app
app(["predict", sys.argv[1], sys.argv[2], "--json", "--quiet", "--workers", "1"], standalone_mode=False)
"""


@pytest.mark.slow
def test_it_is_asked_where_torch_cannot_be_imported(trained: Trained) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(trained.exported), str(trained.song)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    said, rows, right = json.loads(first), json.loads(rest), trained.model.predict(trained.song)
    for target in trained.model.targets:
        assert said[target]["value"] == pytest.approx(right.of(target), abs=TOLERANCE)
        assert rows[0][target] == pytest.approx(right.of(target), abs=TOLERANCE)
    assert said["curve"]["times_s"] == right.as_dict()["curve"]["times_s"]


@pytest.mark.slow
def test_what_is_written(trained: Trained) -> None:
    assert {path.name for path in trained.exported.iterdir()} == {CARD, GRAPH, SETTINGS, "model.safetensors"}
    settings = load_model(trained.exported).settings
    assert settings.graph is not None and settings.graph.n_bytes == (trained.exported / GRAPH).stat().st_size
    assert set(settings.graph.differences) == {"values", "embeddings", "distances"}
    assert max(settings.graph.differences.values()) <= TOLERANCE
    assert settings.graph.n_compared == 3 + 3 + 1 + 2  # music, noise, silence, the song's clips
    card = (trained.exported / CARD).read_text(encoding="utf-8")
    assert "(n_clips, 16000)" in card and "passes them on" in card
    assert [node.name for node in onnx.load(trained.exported / GRAPH).graph.output] == [VALUES, EMBEDDINGS]


@pytest.mark.slow
def test_an_exported_model_is_not_exported_again(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is exported already"):
        export_model(load_model(trained.exported), tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
def test_the_model_itself_is_not_written_over(trained: Trained) -> None:
    own = trained.exported.parent / "model"
    with pytest.raises(ConfigError, match="Name another folder"):
        export_model(trained.model, own)
    assert load_model(own).settings.graph is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (GRAPH, lambda content: content[:-1] + bytes([content[-1] ^ 1]), "damaged"),
        (GRAPH, lambda content: content + b"0", "expected at most"),
        (GRAPH, lambda content: content[:100], "damaged"),
        (SETTINGS, lambda content: content.replace(b'"opset": 20', b'"opset": 0'), "graph.opset"),
        (SETTINGS, lambda content: content.replace(b'"embedding_dim": 96', b'"embedding_dim": 95'), "expected"),
        (SETTINGS, lambda content: content.replace(b'"sample_rate_hz": 16000', b'"sample_rate_hz": null'), "described"),
        (SETTINGS, lambda content: content.replace(b'"licence":', b'"license":'), "description"),
        (SETTINGS, lambda content: content.replace(b'"n_samples": 16000', b'"n_samples": 8000'), "expected"),
    ],
)
def test_a_damaged_model_is_refused(trained: Trained, tmp_path: Path, name: str, change: Any, message: str) -> None:
    for path in trained.exported.iterdir():
        content = path.read_bytes()
        made = change(content) if path.name == name else content
        assert path.name != name or made != content
        (tmp_path / path.name).write_bytes(made)
    with pytest.raises(DataError, match=message):
        load_model(tmp_path)


@pytest.mark.slow
def test_clips_of_another_length_are_refused(trained: Trained) -> None:
    exported = load_model(trained.exported)
    with pytest.raises(ShapeError, match="16000"):
        exported.encoder.activations(np.zeros((1, 8000), np.float32), exported.cut)


@pytest.mark.slow
def test_weights_beside_an_exported_model_are_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match="Leave weights out"):
        load_model(trained.exported, weights="random")


@pytest.mark.slow
def test_without_onnxruntime_the_extra_is_named(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"affekt\[onnx\]"):
        load_model(trained.exported)


@pytest.mark.slow
def test_the_command(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "onnx"
    arguments = ["export", str(trained.exported.parent / "model"), "--out", str(out), "--json"]
    assert app(arguments, standalone_mode=False) in (None, 0)
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert [row["compared"] for row in rows] == ["values", "embeddings", "distances"]
    assert all(row["difference"] <= row["allowed"] == TOLERANCE for row in rows)
    assert "random weights (seed 0)" in printed.err.replace("\n", " ")
    assert (out / GRAPH).is_file()


@pytest.mark.slow
def test_a_graph_that_differs_is_not_written(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is traced with another head than the model's."""
    monkeypatch.setattr(graph, "traced", lambda *given: _with_another_bias(traced(*given), trained.model.targets))
    with pytest.raises(EncoderError, match=r"differs from torch in values by 1\.0e-03.*Nothing was written"):
        export_model(trained.model, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def _with_another_bias(content: bytes, targets: tuple[str, ...]) -> bytes:
    message = onnx.load_from_string(content)
    (name,) = [node.name for node in message.graph.output if node.name == VALUES]
    for node in message.graph.node:
        node.output[:] = ["right" if output == name else output for output in node.output]
    offset = onnx.numpy_helper.from_array(np.full(len(targets), 1e-3, np.float32), "offset")
    message.graph.initializer.append(offset)
    message.graph.node.append(onnx.helper.make_node("Add", ["right", "offset"], [VALUES]))
    return bytes(message.SerializeToString())


def test_values_that_are_not_numbers_are_a_difference() -> None:
    model = model_of(Case("wav2vec2-nano"))
    clips = np.full((2, n_samples_of(model)), np.nan, np.float32)
    with pytest.raises(EncoderError, match="values by nan"):
        compare(model, model, clips)


def test_descriptors_have_no_graph(tmp_path: Path) -> None:
    case = Case("handcrafted")
    with pytest.raises(EncoderError, match=r"runs without torch as it is.*affekt\[handcrafted\]"):
        export_model(model_of(case), tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_eight_bits_have_no_graph(tmp_path: Path) -> None:
    model = model_of(Case("wav2vec2-nano"))
    section = model.settings.section.model_copy(update={"engine": "openvino-int8"})
    model.settings = model.settings.model_copy(update={"section": section})
    with pytest.raises(ConfigError, match="engine: torch"):
        export_model(model, tmp_path / "onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_a_package_the_extra_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = export.importlib.util.find_spec
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(MissingExtraError, match=r"affekt\[export\]"):
        export_model(model_of(Case("wav2vec2-nano")), tmp_path / "onnx")


def test_a_network_that_cannot_be_traced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Case("wav2vec2-nano"))
    plain = model.encoder.preprocess  # type: ignore[attr-defined]
    monkeypatch.setattr(model.encoder, "preprocess", lambda clips: plain(clips) if clips.sum() > 0 else plain(-clips))
    with pytest.raises(EncoderError, match=r"wav2vec2-nano: cannot be exported with torch"):
        traced(model.encoder, model.cut, model.readout, n_samples_of(model))  # type: ignore[arg-type]


def test_a_graph_that_asks_for_other_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor may lie in another file, and a graph from elsewhere could name any file of this machine."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(np.ones(2, np.float32).tobytes())
    model = model_of(Case("wav2vec2-nano"))
    for place in ("secret", str(tmp_path / "secret")):
        content = graph_with(tensor_elsewhere(place))
        with pytest.raises(DataError, match=r"onnxruntime \S+ cannot run"):
            open_graph(with_graph(model, content), content, "there")


def test_the_same_graph_that_asks_for_nothing_is_opened() -> None:
    """What the test above refuses is the other file and nothing else."""
    model = model_of(Case("wav2vec2-nano"))
    content = graph_with(onnx.numpy_helper.from_array(np.ones(2, np.float32), "weights"))
    found = open_graph(with_graph(model, content), content, "there")
    assert found.activations(np.zeros((17, 16_000), np.float32), model.cut).shape == (17, 96)


def tensor_elsewhere(place: str) -> Any:
    tensor = onnx.TensorProto(name="weights", data_type=onnx.TensorProto.FLOAT, dims=[2])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return tensor


def graph_with(weights: Any) -> bytes:
    """A graph with the inputs and outputs of a model of two targets and 96 dimensions that does next to nothing."""
    helper, info = onnx.helper, onnx.helper.make_tensor_value_info
    firsts = [onnx.numpy_helper.from_array(np.array([number]), str(number)) for number in (0, 1, 2, 96)]
    nodes = [
        helper.make_node("Slice", [CLIPS, "0", "2", "1"], ["two"]),
        helper.make_node("Add", ["two", "weights"], [VALUES]),
        helper.make_node("Slice", [CLIPS, "0", "96", "1"], [EMBEDDINGS]),
    ]
    inputs = [info(CLIPS, onnx.TensorProto.FLOAT, ["n", 16_000])]
    outputs = [info(VALUES, onnx.TensorProto.FLOAT, ["n", 2]), info(EMBEDDINGS, onnx.TensorProto.FLOAT, ["n", 96])]
    made = helper.make_graph(nodes, "graph", inputs, outputs, [weights, *firsts])
    opsets = [helper.make_opsetid("", OPSET)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString())


def test_what_is_no_graph_is_refused() -> None:
    model = model_of(Case("wav2vec2-nano"))
    with pytest.raises(DataError, match="cannot run"):
        open_graph(with_graph(model, b"no graph"), b"no graph", "there")


def test_threads_are_those_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert n_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert n_threads() >= 1


def test_a_song_that_cannot_be_read_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "traced", lambda *given: b"not asked for")
    with pytest.raises(AudioError, match=r"not-there\.mp3"):
        export_model(model_of(Case("wav2vec2-nano")), tmp_path / "onnx", [tmp_path / "not-there.mp3"])


def test_the_command_names_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case("handcrafted")
    model = model_of(case)
    digest = model.encoder.settings(model.cut).get("weights")
    settings = model.settings.model_copy(update={"weights_digest": digest})
    write_bundle(tmp_path / "model", settings, model.readout.tensors(), "# card\n")
    monkeypatch.setattr(sys, "argv", ["affekt", "export", str(tmp_path / "model"), "--out", str(tmp_path / "onnx")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "no graph to export" in capsys.readouterr().err
