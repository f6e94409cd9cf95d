"""Tracking against the real stores: event files read back by TensorBoard, a SQLite store read back by MLflow."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affekt.config import parse_experiment
from affekt.errors import ConfigError, MissingExtraError
from affekt.evaluation.results import Results
from affekt.evaluation.scores import score
from affekt.experiment import run_experiment
from affekt.features.store import Store
from affekt.tracking import Trackers, flat, folder_name, mean_curves, open_trackers

NANO = "mambavision-nano"
LOSSES = ("train_mse", "validation_mse", "train_loss", "validation_loss", "lr")


@pytest.fixture(scope="module")
def finished(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """A real comparison of a closed form and of an encoder that was trained for two epochs, in two folds."""
    value = {
        "name": "tracked",
        "dataset": {"name": "folder", "root": str(song_folder)},
        "split": {"folds": 2},
        "clips": {"count": 1, "length_s": 2.0},
        "encoders": ["mean", NANO],
        "head": "linear",
        "freeze": "last1",
        "training": {"epochs": 2},
    }
    out = tmp_path_factory.mktemp("tracking")
    return run_experiment(parse_experiment(value), out / "run", Store(out / "store"), quiet=True)


@pytest.fixture
def results(finished: tuple[Results, Path]) -> Results:
    return finished[0]


@pytest.fixture
def folder(finished: tuple[Results, Path], tmp_path: Path) -> Path:
    """A copy of the run folder, with a report."""
    shutil.copytree(finished[1], tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "folds"))
    (tmp_path / "run" / "report.html").write_text("<title>a report</title>", encoding="utf-8")
    (tmp_path / "run" / "figures").mkdir()
    (tmp_path / "run" / "figures" / "ladder.svg").write_text("<svg/>", encoding="utf-8")
    return tmp_path / "run"


def fits(results: Results) -> Iterator[tuple[str, int, int, list[dict[str, Any]]]]:
    """Encoder, seed, fold and epochs of every fit, as a comparison tells them to a tracker."""
    for fit in results.fits:
        whose = {name: fit[name] for name in ("encoder", "seed", "fold")}
        mine = [row for row in results.history if whose.items() <= row.items()]
        yield (*whose.values(), [{name: row[name] for name in row.keys() - whose.keys()} for row in mine])


def tracked(names: list[str], results: Results, folder: Path) -> Trackers:
    """Tell trackers of a whole comparison, epoch by epoch."""
    trackers = open_trackers(names)
    trackers.begin(folder)
    for encoder, seed, fold, history in fits(results):
        for n in range(1, len(history) + 1):
            trackers.epochs(encoder, seed, fold, history[:n])
        trackers.epochs(encoder, seed, fold, history)
    trackers.finish(results)
    return trackers


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads from one folder: step and value by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    by_tag = {
        tag: [(event.step, event.tensor_proto.float_val[0]) for event in read.Tensors(tag)]
        for tag in read.Tags()["tensors"]
        if tag != "verdict"
    }
    return by_tag | {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def text(folder: Path) -> str:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (event,) = EventAccumulator(str(folder)).Reload().Tensors("verdict")
    return str(event.tensor_proto.string_val[0].decode())


# Which trackers


def test_without_a_switch_nothing_is_loaded_and_nothing_written(results: Results, tmp_path: Path) -> None:
    trackers = tracked([], results, tmp_path)
    assert trackers.problems == [] and list(tmp_path.iterdir()) == []


def test_an_unknown_tracker() -> None:
    with pytest.raises(ConfigError, match=r'"wandb": no such tracker\. There are: tensorboard, mlflow'):
        open_trackers(["tensorboard", "wandb"])


@pytest.mark.parametrize(
    ("name", "missing"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("mlflow", "sqlalchemy")]
)
def test_a_missing_package_names_its_extra(name: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [one for one in sys.modules if one.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "sqlalchemy":  # all that is missing is what a SQLite store needs
        monkeypatch.setitem(sys.modules, "mlflow", sys)
        monkeypatch.setitem(sys.modules, "alembic", sys)
    with pytest.raises(MissingExtraError, match=rf"affekt\[{name}\]"):
        open_trackers([name])


# TensorBoard


def test_tensorboard_reads_every_curve_of_every_fit(results: Results, folder: Path) -> None:
    assert tracked(["tensorboard"], results, folder).problems == []
    found = [(encoder, seed, fold) for encoder, seed, fold, history in fits(results) if history]
    assert found == [(NANO, 0, 0), (NANO, 0, 1)]
    for _, seed, fold, history in fits(results):
        if history:
            read = scalars(folder / "tensorboard" / NANO / f"seed{seed}-fold{fold}")
            assert read.keys() == set(LOSSES)
            for name in LOSSES:
                assert read[name] == [(row["epoch"], pytest.approx(row[name])) for row in history]


def test_tensorboard_has_the_scores_of_every_encoder_and_the_verdict(results: Results, folder: Path) -> None:
    tracked(["tensorboard"], results, folder)
    table = results.table().set_index(["encoder", "target"])
    for encoder in ("mean", NANO):
        read = scalars(folder / "tensorboard" / encoder)
        for target in ("valence", "arousal"):
            for name in ("r2", "r2_low", "rmse", "ccc"):
                assert read[f"{target}/{name}"] == [(0, pytest.approx(table.loc[(encoder, target), name], abs=1e-6))]
    assert score(results).headline()[1] in text(folder / "tensorboard")
    assert f"Not pretrained (random weights): {NANO}" in text(folder / "tensorboard")


def test_a_score_on_synthetic_music_says_so(results: Results, folder: Path) -> None:
    synthetic = replace(results, dataset={**results.dataset, "synthetic": True})
    tracked(["tensorboard"], synthetic, folder)
    assert all(tag.startswith("synthetic/") for tag in scalars(folder / "tensorboard" / NANO))
    assert "Synthetic music" in text(folder / "tensorboard")


def test_a_curve_can_be_read_while_training_goes_on(results: Results, folder: Path) -> None:
    trackers = open_trackers(["tensorboard"])
    trackers.begin(folder)
    history = next(history for *_, history in fits(results) if history)
    for n in (1, 2):
        trackers.epochs(NANO, 0, 0, history[:n])
        assert len(scalars(folder / "tensorboard" / NANO / "seed0-fold0")["train_mse"]) == n


def test_a_resumed_fit_has_one_whole_curve(results: Results, folder: Path) -> None:
    """The first process was stopped after one epoch; the second is told of both."""
    history = next(history for *_, history in fits(results) if history)
    where = folder / "tensorboard" / NANO / "seed0-fold0"
    for n_epochs in (1, 1, 1, 2):
        trackers = open_trackers(["tensorboard"])
        trackers.begin(folder)
        trackers.epochs(NANO, 0, 0, history[:n_epochs])
    assert [step for step, _ in scalars(where)["train_mse"]] == [1, 2]
    assert [bool(path.stat().st_size) for path in sorted(where.iterdir())] == [False, True], "nothing piles up"


def test_an_open_tensorboard_does_not_draw_a_resumed_curve_twice(results: Results, folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = next(history for *_, history in fits(results) if history)
    where = folder / "tensorboard" / NANO / "seed0-fold0"
    reader = None
    for n_epochs in (1, 2):
        trackers = open_trackers(["tensorboard"])
        trackers.begin(folder)
        trackers.epochs(NANO, 0, 0, history[:n_epochs])
        reader = (reader or EventAccumulator(str(where))).Reload()
    assert reader is not None
    assert [event.step for event in reader.Scalars("train_mse")] == [1, 2]


def test_trials_of_a_search_are_curves_of_their_own(results: Results, folder: Path) -> None:
    trackers = open_trackers(["tensorboard"])
    trackers.begin(folder)
    history = next(history for *_, history in fits(results) if history)
    for trial in (1, 2):
        trackers.epochs(NANO, 0, 0, history, trial)
    names = sorted(path.name for path in (folder / "tensorboard" / NANO).iterdir())
    assert names == ["seed0-fold0-trial1", "seed0-fold0-trial2"]


def test_event_files_do_not_name_the_machine(results: Results, folder: Path) -> None:
    tracked(["tensorboard"], results, folder)
    names = [path.name for path in (folder / "tensorboard").rglob("*") if path.is_file()]
    assert len(names) == 5
    assert {name.split(".")[-1] for name in names} == {"affekt"}
    assert not any(f".{platform.node()}." in name for name in names)


def test_tensorboard_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from pathlib import Path\n"
        "from affekt.tracking import open_trackers\n"
        f"trackers = open_trackers(['tensorboard']); trackers.begin(Path({str(tmp_path)!r}))\n"
        "trackers.epochs('a', 0, 0, [{'epoch': 1, 'train_mse': 0.5}])\n"
        "print(trackers.problems, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] False"
    assert scalars(tmp_path / "tensorboard" / "a" / "seed0-fold0") == {"train_mse": [(1, 0.5)]}


# What fails


def test_a_tracker_that_fails_costs_nothing_but_itself(results: Results, folder: Path) -> None:
    (folder / "tensorboard").write_text("a file where a folder should be", encoding="utf-8")
    trackers = tracked(["tensorboard"], results, folder)
    (problem,) = trackers.problems
    assert "TensorBoard could not be written" in problem and "the same command tries again" in problem


def test_one_that_fails_does_not_silence_the_others(folder: Path) -> None:
    class Broken:
        name = "Broken"
        calls = 0

        def begin(self, folder: Path) -> None:
            pass

        def epochs(self, *fit: Any) -> None:
            self.calls += 1
            raise RuntimeError("no space left\nand a long story")

        def finish(self, scores: Any) -> None:
            self.calls += 1

    class Working(Broken):
        def epochs(self, *fit: Any) -> None:
            self.calls += 1

    broken, working = Broken(), Working()
    trackers = Trackers([broken, working])
    trackers.begin(folder)
    for _ in range(3):
        trackers.epochs("a", 0, 0, [{"epoch": 1, "train_mse": 1.0}])
    assert (broken.calls, working.calls) == (1, 3)
    assert len(trackers.problems) == 1 and "(RuntimeError: no space left)" in trackers.problems[0]


def test_ctrl_c_is_not_swallowed(folder: Path) -> None:
    class Interrupted:
        name = "Interrupted"

        def begin(self, folder: Path) -> None:
            raise KeyboardInterrupt

        epochs = finish = begin

    with pytest.raises(KeyboardInterrupt):
        Trackers([Interrupted()]).begin(folder)


# MLflow


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Callable[[Path], None]) -> Any:
    """MLflow's own view of a store in a working folder without anything."""
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    empty_store(tmp_path / "mlflow.db")
    return MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Copies of one store without runs: to make its tables takes seconds."""
    from mlflow import MlflowClient

    first = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{first}").search_experiments()
    return lambda path: shutil.copyfile(first, path) and None


def runs_of(client: Any, name: str = "tracked") -> tuple[Any, dict[str, Any]]:
    """The run of the comparison, and the nested runs by name; there must be one comparison alone."""
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in found if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    return parent, {run.info.run_name: run for run in nested}


@pytest.mark.slow
def test_mlflow_has_parameters_scores_curves_and_the_report(results: Results, folder: Path, client: Any) -> None:
    environment, level = dict(os.environ), logging.getLogger("mlflow").level
    assert tracked(["mlflow"], results, folder).problems == []
    assert dict(os.environ) == environment and logging.getLogger("mlflow").level == level
    parent, nested = runs_of(client)
    assert parent.info.run_name == f"tracked-{results.run['fingerprint'][:8]}"
    assert {run.info.status for run in (parent, *nested.values())} == {"FINISHED"}
    seconds = (parent.info.end_time - parent.info.start_time) / 1000
    assert seconds == pytest.approx(results.run["wall_s"], abs=0.01)

    assert parent.data.params["split.folds"] == "2" and parent.data.params["dataset.name"] == "folder"
    assert parent.data.tags["affekt.fingerprint"] == results.run["fingerprint"]
    assert parent.data.tags["affekt.version.torch"] == results.run["versions"]["torch"]
    assert parent.data.tags["affekt.random_weights"] == NANO
    assert parent.data.tags["affekt.synthetic"] == "false"
    assert score(results).headline()[0] in parent.data.tags["mlflow.note.content"]

    one = nested[NANO]
    assert one.data.params["freeze"] == "last1" and one.data.params["training.epochs"] == "2"
    row = results.table().set_index(["encoder", "target"]).loc[(NANO, "arousal")]
    for name in ("r2", "r2_low", "r2_high", "rmse", "ccc"):
        assert one.data.metrics[f"arousal/{name}"] == pytest.approx(row[name])
    curve = client.get_metric_history(one.info.run_id, "validation_mse")
    expected = mean_curves(results, NANO)
    assert [(point.step, point.value) for point in curve] == [(e, expected[e]["validation_mse"]) for e in (1, 2)]
    assert "train_mse" not in nested["mean"].data.metrics and "valence/r2" in nested["mean"].data.metrics

    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"report.html", "results.json", "run.json", "split.json", "figures"}
    copied = Path(client.download_artifacts(parent.info.run_id, "results.json"))
    assert Results.load(copied) == results
    assert Path(client.download_artifacts(parent.info.run_id, "figures/ladder.svg")).read_text() == "<svg/>"


@pytest.mark.slow
def test_a_comparison_that_is_logged_again_takes_its_own_place(
    results: Results, folder: Path, client: Any, tmp_path: Path
) -> None:
    tracked(["mlflow"], results, folder)
    first, _ = runs_of(client)
    synthetic = replace(results, dataset={**results.dataset, "synthetic": True})
    tracked(["mlflow"], synthetic, folder)
    second, nested = runs_of(client)
    assert second.info.run_id != first.info.run_id
    assert second.info.run_name.endswith("(synthetic music)") and f"{NANO} (synthetic music)" in nested
    assert second.data.tags["mlflow.note.content"].startswith("Synthetic music")
    assert client.get_run(first.info.run_id).info.lifecycle_stage == "deleted", "in the trash, not gone"

    shutil.copytree(folder, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("mlflow.json"))
    tracked(["mlflow"], results, tmp_path / "elsewhere")
    experiment = client.get_experiment_by_name("tracked")
    assert len(client.search_runs([experiment.experiment_id])) == 6, "another run folder is another comparison"

    client.delete_experiment(experiment.experiment_id)
    tracked(["mlflow"], results, tmp_path / "elsewhere")
    assert client.get_experiment_by_name("tracked").lifecycle_stage == "active", "out of the trash again"


@pytest.mark.slow
def test_the_users_own_store_is_where_it_goes(
    results: Results, folder: Path, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    shutil.copyfile(tmp_path / "mlflow.db", tmp_path / "mine.db")
    mine = f"sqlite:///{tmp_path}/mine.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mine)
    assert tracked(["mlflow"], results, folder).problems == []
    assert client.get_experiment_by_name("tracked") is None
    assert len(runs_of(mlflow.MlflowClient(tracking_uri=mine))[1]) == 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert mlflow.get_tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db", "no setting of ours is left behind"
    assert "mine.db" not in (folder / "mlflow.json").read_text(), "an address may hold a password"


@pytest.mark.slow
def test_what_mlflow_would_refuse_is_made_acceptable(results: Results, folder: Path, client: Any) -> None:
    """Labels, targets and settings may be anything; MLflow's names and lengths are limited."""
    wild = {"valence": "../tension (%) é", "arousal": "./"}
    label = "hf:me/x@y" + "z" * 300
    renamed = replace(
        results,
        targets=list(wild.values()),
        encoders=[
            {**one, "label": label, "note": "n" * 9000} if one["label"] == NANO else one for one in results.encoders
        ],
        predictions=[
            p._replace(target=wild[p.target], encoder=label if p.encoder == NANO else p.encoder)
            for p in results.predictions
        ],
        history=[{**row, "encoder": label} for row in results.history],
    )
    assert tracked(["mlflow", "tensorboard"], replace(renamed, fits=[]), folder).problems == []
    _, nested = runs_of(client)
    (long,) = [run for name, run in nested.items() if name.startswith("hf:me/x@y")]
    assert long.data.params["note"].endswith("...") and len(long.data.params["note"]) == 6000
    row = renamed.table().set_index(["encoder", "target"]).loc[(label, wild["valence"])]
    assert row["r2"] in [pytest.approx(value) for value in long.data.metrics.values()]


@pytest.mark.slow
def test_a_store_that_breaks_half_way_keeps_no_half_and_the_former_whole(
    results: Results, folder: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    tracked(["mlflow"], results, folder)
    first, _ = runs_of(client)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(MlflowClient, "log_artifacts", full)
    (problem,) = tracked(["mlflow"], results, folder).problems
    assert "MLflow could not be written (OSError: No space left on device)" in problem
    assert runs_of(client)[0].info.run_id == first.info.run_id
    assert first.info.run_id in json.loads((folder / "mlflow.json").read_text())["run_ids"]


@pytest.mark.slow
def test_mlflow_contacts_nobody_and_needs_no_torch(
    results: Results, folder: Path, tmp_path: Path, empty_store: Callable[[Path], None]
) -> None:
    """In a process of its own, where a connection is an error, telemetry or not."""
    empty_store(tmp_path / "mlflow.db")
    code = (
        "import os, socket, sys, threading\n"
        "[os.environ.pop(n, None) for n in ('CI', 'PYTEST_CURRENT_TEST', 'MLFLOW_DISABLE_TELEMETRY', 'DO_NOT_TRACK')]\n"
        "asked = []\n"
        "def refuse(*a, **k):\n"
        "    asked.append(a); raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from affekt.evaluation.results import Results\n"
        "from affekt.tracking import open_trackers\n"
        "trackers = open_trackers(['mlflow']); trackers.begin(Path('run'))\n"
        "trackers.finish(Results.load(Path('run/results.json')))\n"
        "print(trackers.problems, asked, threading.active_count(), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[] [] 1 False"
    assert done.stderr.strip() == ""


# Names


def test_settings_are_named_as_the_command_line_names_them() -> None:
    value = {"a": {"b": [1, 2], "c": {"d": None}}, "text": "x", "yes": True, "empty": {}}
    assert flat(value) == {"a.b": "[1, 2]", "a.c.d": "null", "text": "x", "yes": "true", "empty": "{}"}


def test_every_label_gives_one_folder_of_its_own() -> None:
    labels = [
        "wav2vec2-nano",
        "hf:facebook/hubert",
        "hf_facebook_hubert",
        "..",
        "",
        "a/../b",
        "x (untrained)",
        "é" * 200,
    ]
    names = [folder_name(label) for label in labels]
    assert len(set(names)) == len(labels)
    assert all(name and "/" not in name and not name.startswith(".") and len(name) < 100 for name in names)
    assert names[0] == "wav2vec2-nano" and names[6] == "x (untrained)"
