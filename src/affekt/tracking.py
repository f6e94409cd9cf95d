"""A comparison in the trackers that a laboratory may already use: TensorBoard and MLflow. Off unless asked for.

Conventions: curves and scores carry the names that `results.json` and `Results.table` have; a score is
`<target>/<score>`, on the data set's own scale. A tracker only watches: where it fails, the comparison goes on, and
`Trackers.problems` says what happened. Neither tracker needs torch or contacts a host that the user did not name.

TensorBoard: one event file for each fit in `<run>/tensorboard/<encoder>/seed<k>-fold<j>/`, one for the scores of each
encoder in `<run>/tensorboard/<encoder>/`, the verdict in `<run>/tensorboard/`. A later run writes a file anew, so
that a curve is whole and stands there once.

MLflow: one run for each comparison with a nested run for each encoder, in the store that MLflow itself would use. It is
written when the comparison is finished; written again from the same run folder, it takes the place of its former self.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from affekt.digest import digest
from affekt.errors import ConfigError, MissingExtraError
from affekt.evaluation.results import Results
from affekt.evaluation.scores import Scores, score
from affekt.files import write_json
from affekt.report.view import View
from affekt.report.words import caveats

History = Sequence[Mapping[str, Any]]
Value = TypeVar("Value")

#: What MLflow keeps of a run folder: everything a reader needs, no weights, and no audio but
#: the excerpts within the report.
ARTIFACTS = (
    *("report.html", "results.json", "run.json", "split.json"),
    *("results.csv", "table.tex", "summary.md", "figures"),
)
#: Limits of MLflow: entries of a batch, characters of a key, of a parameter and of a tag.
_N_PARAMS, _N_METRICS, _KEY_LENGTH, _PARAM_LENGTH, _TAG_LENGTH = 100, 1000, 250, 6000, 8000
#: Where a run folder notes which runs of MLflow it has made.
_MLFLOW_MARK = "mlflow.json"


class Tracker(Protocol):
    """Something that watches a comparison."""

    name: str

    def begin(self, folder: Path) -> None:
        """The run folder is known, training begins."""

    def epochs(self, encoder: str, seed: int, fold: int, history: History, trial: int | None = None) -> None:
        """One more epoch of a fit is finished, or the fit as a whole, or it was found finished.

        Args:
            encoder: its label.
            seed: of the run.
            fold: counted from 0, as in `results.json`.
            history: the figures of all epochs so far.
            trial: which trial of a search, counted from 1.
        """

    def finish(self, scores: Scores) -> None:
        """The comparison is finished; results and report lie in the run folder."""


def open_trackers(names: Sequence[str]) -> Trackers:
    """Trackers that are ready, or an error before any work starts.

    Args:
        names: of "tensorboard" and "mlflow"; none gives a `Trackers` that does nothing.

    Raises:
        ConfigError: another name.
        MissingExtraError: the tracker's package is not installed.
    """
    unknown = [name for name in names if name not in _TRACKERS]
    if unknown:
        raise ConfigError(f'"{unknown[0]}": no such tracker. There are: {", ".join(_TRACKERS)}.')
    return Trackers([_TRACKERS[name]() for name in dict.fromkeys(names)])


class Trackers:
    """Several trackers as one that never raises: one that fails is left out from then on.

    Attributes:
        problems: a sentence for each tracker that failed.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.problems: list[str] = []
        self._trackers = list(trackers)

    def begin(self, folder: Path) -> None:
        """Tell all of the run folder."""
        self._each(lambda tracker: tracker.begin(folder))

    def epochs(self, encoder: str, seed: int, fold: int, history: History, trial: int | None = None) -> None:
        """Tell all of the epochs so far of one fit."""
        self._each(lambda tracker: tracker.epochs(encoder, seed, fold, history, trial))

    def finish(self, results: Results | Scores) -> None:
        """Tell all of the finished comparison.

        Raises:
            DataError: the results cannot be scored.
        """
        if self._trackers:
            scores = results if isinstance(results, Scores) else score(results)
            self._each(lambda tracker: tracker.finish(scores))

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                tell(tracker)
            except Exception as error:  # whatever a store may raise: it must not cost anybody a comparison
                self._trackers.remove(tracker)
                what = _shortened(next(iter(str(error).splitlines()), ""), 300)
                self.problems.append(
                    f"{tracker.name} could not be written ({type(error).__name__}: {what}). The comparison itself is "
                    "not affected; the same command tries again and trains nothing twice."
                )


class TensorBoard:
    """Curves while training goes on, then scores and verdict, as event files in the run folder."""

    name = "TensorBoard"

    def __init__(self) -> None:
        try:
            from tensorboard.compat.proto import event_pb2  # noqa: F401
            from tensorboard.summary.writer import record_writer  # noqa: F401
        except ImportError:
            raise MissingExtraError("TensorBoard", "tensorboard") from None
        self._root: Path
        self._fits: dict[Path, tuple[_EventFile, int]] = {}

    def begin(self, folder: Path) -> None:
        """Event files go below `folder`/tensorboard."""
        self._root = folder / "tensorboard"

    def epochs(self, encoder: str, seed: int, fold: int, history: History, trial: int | None = None) -> None:
        """Append the epochs that are not in the file yet; a file of an earlier process is replaced."""
        folder = self._root / folder_name(encoder) / (f"seed{seed}-fold{fold}" + (f"-trial{trial}" if trial else ""))
        if not history:  # a closed form
            return
        file, n_written = self._fits[folder] if folder in self._fits else (_EventFile(folder), 0)
        file.append([(int(epoch["epoch"]), _curves(epoch)) for epoch in history[n_written:]])
        self._fits[folder] = file, len(history)

    def finish(self, scores: Scores) -> None:
        """The scores of each encoder, and the verdict as a text."""
        synthetic = "synthetic/" if View(scores).synthetic else ""
        for encoder, values in final_scores(scores).items():
            marked = {f"{synthetic}{name}": value for name, value in values.items()}
            _EventFile(self._root / folder_name(encoder)).append([(0, marked)])
        _EventFile(self._root).append([], text="\n\n".join(verdict(scores)))


class _EventFile:
    """A new event file in a folder of its own; former ones in it are emptied.

    Written without a thread in between, so that an error comes to light where it happens, and under a name without
    the machine's.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2

        folder.mkdir(parents=True, exist_ok=True)
        for former in folder.glob("events.out.tfevents.*"):
            _empty(former)
        self._path = folder / f"events.out.tfevents.{time.time_ns()}.affekt"
        # A TensorBoard that is already open forgets on "start" what it has read from the former file.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write([event_pb2.Event(file_version="brain.Event:2"), event_pb2.Event(step=0, session_log=start)])

    def append(self, rows: Sequence[tuple[int, Mapping[str, float]]], text: str | None = None) -> None:
        """Add numbers, by step and name, and a text."""
        from tensorboard.compat.proto import event_pb2, summary_pb2

        found = [
            (step, [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
            for step, values in rows
        ]
        if text is not None:
            found.append((0, [_text_value("verdict", text)]))
        self._write([event_pb2.Event(step=step, summary=summary_pb2.Summary(value=values)) for step, values in found])

    def _write(self, events: Sequence[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._path.open("ab") as file:
            for event in events:
                event.wall_time = time.time()
                RecordWriter(file).write(event.SerializeToString())


def _empty(path: Path) -> None:
    """Take a file's content: a TensorBoard that has it open goes on to the next, but waits for one that is gone."""
    if path.stat().st_size:
        path.write_bytes(b"")
    else:  # emptied by an earlier call: whoever read it is past it
        path.unlink()


def _text_value(tag: str, text: str) -> Any:
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    metadata = create_summary_metadata(display_name=tag, description="")
    return summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=make_tensor_proto([text], shape=(1,)))


class MLflow:
    """Parameters, scores, curves, verdict and report of a finished comparison, in the store that MLflow would use.

    That is `MLFLOW_TRACKING_URI`, or what the calling program has set; else `mlflow.db` and `mlruns/` in the working
    folder, where `mlflow ui` looks for them.
    """

    name = "MLflow"

    def __init__(self) -> None:
        try:
            with _without_telemetry():
                import alembic  # noqa: F401
                import mlflow
                import sqlalchemy  # noqa: F401
        except ImportError:
            raise MissingExtraError("MLflow", "mlflow") from None
        self._uri = mlflow.get_tracking_uri()
        self._folder: Path

    def begin(self, folder: Path) -> None:
        """Reports come from `folder`."""
        self._folder = folder

    def epochs(self, encoder: str, seed: int, fold: int, history: History, trial: int | None = None) -> None:
        """Nothing: MLflow gets the curves with the finished comparison, as means over fits."""

    def finish(self, scores: Scores) -> None:
        """Write all of it, then remove what an earlier call from the same run folder wrote."""
        with _without_telemetry(), _without_remarks():
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=self._uri)
            former = self._former()
            runs = _MLflowRuns(client, scores)
            try:
                runs.write(self._folder)
            except BaseException:
                _forget(client, runs.ids)
                raise
            write_json(self._folder / _MLFLOW_MARK, {"store": digest(self._uri), "run_ids": runs.ids})
            _forget(client, former)

    def _former(self) -> list[str]:
        """Runs that an earlier call wrote to the same store; the address itself may hold a password and is not kept."""
        try:
            found = json.loads((self._folder / _MLFLOW_MARK).read_text(encoding="utf-8"))
            return list(found["run_ids"]) if found["store"] == digest(self._uri) else []
        except (OSError, ValueError, KeyError, TypeError):
            return []


class _MLflowRuns:
    """One comparison on its way into a store; `ids` are the runs it has made there, the whole comparison first."""

    def __init__(self, client: Any, scores: Scores) -> None:
        self.ids: list[str] = []
        self._client = client
        self._scores = scores
        self._view = View(scores)
        self._final = final_scores(scores)
        self._run = scores.results.run
        finished = self._run.get("finished")
        self._end_ms = int((datetime.fromisoformat(finished).timestamp() if finished else time.time()) * 1000)
        self._start_ms = self._end_ms - int(1000 * self._run.get("wall_s", 0))
        self._experiment = _experiment(client, self._view.name)

    def write(self, folder: Path) -> None:
        """The comparison with its artefacts, then each encoder."""
        results = self._scores.results
        fingerprint = str(self._run.get("fingerprint", ""))
        tags = {
            "mlflow.source.name": "affekt compare",
            "mlflow.note.content": "\n\n".join(verdict(self._scores)),
            "affekt.fingerprint": fingerprint,
            "affekt.random_weights": ", ".join(filter(self._view.untrained, results.labels)),
            **{f"affekt.version.{name}": found for name, found in self._run.get("versions", {}).items()},
        }
        settings = {key: value for key, value in self._run.get("experiment", {}).items() if key != "encoders"}
        numbers: dict[str, float] = {"n_songs": len(self._scores.song_ids), "n_skipped": len(results.skipped)}
        numbers |= {f"{target}/ceiling": value for target, value in self._view.ceiling.items()}
        parent = self._add(f"{self._view.name}-{fingerprint[:8]}", tags, flat(settings), {0: numbers})
        for path in (folder / name for name in ARTIFACTS):
            if path.is_dir():
                self._client.log_artifacts(parent, str(path), path.name)
            elif path.is_file():
                self._client.log_artifact(parent, str(path))
        for encoder in results.encoders:
            self._write_encoder(encoder, {"mlflow.parentRunId": parent, "affekt.fingerprint": fingerprint})
        self._client.set_terminated(parent, end_time=self._end_ms)

    def _write_encoder(self, encoder: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        label = encoder["label"]
        costs = {f"cost/{name}": value for name, value in self._view.cost(label).items() if _is_number(value)}
        metrics = {0: {**costs, **self._final.get(label, {})}, **mean_curves(self._scores.results, label)}
        tags = {**tags, "affekt.weights": str(encoder.get("weights", ""))}
        self._client.set_terminated(self._add(label, tags, flat(encoder), metrics), end_time=self._end_ms)

    def _add(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        metrics: Mapping[int, Mapping[str, float]],
    ) -> str:
        """A run with all its entries; `metrics` by step and name."""
        from mlflow.entities import Metric, Param

        kept = {key: _shortened(value, _TAG_LENGTH) for key, value in tags.items()}
        kept["affekt.synthetic"] = str(self._view.synthetic).lower()
        title = _shortened(name, _KEY_LENGTH) + (" (synthetic music)" if self._view.synthetic else "")
        run = self._client.create_run(self._experiment, self._start_ms, kept, title)
        self.ids.append(run.info.run_id)
        settings = [Param(key, _shortened(value, _PARAM_LENGTH)) for key, value in _accepted(params).items()]
        for some_settings in _portions(settings, _N_PARAMS):
            self._client.log_batch(run.info.run_id, params=some_settings)
        numbers = [
            Metric(key, value, self._end_ms, step)
            for step, row in metrics.items()
            for key, value in _accepted(row).items()
        ]
        for some_numbers in _portions(numbers, _N_METRICS):
            self._client.log_batch(run.info.run_id, metrics=some_numbers)
        return str(run.info.run_id)


def final_scores(scores: Scores) -> dict[str, dict[str, float]]:
    """Every defined score of every encoder by name, such as "valence/r2" and "valence/r2_low"."""
    table = scores.table()
    names = [name for name in table.columns if name not in ("encoder", "target", "n_songs", "n_seeds")]
    found: dict[str, dict[str, float]] = {}
    for row in table.to_dict("records"):
        values = {f"{row['target']}/{name}": float(row[name]) for name in names if _is_number(row[name])}
        found.setdefault(row["encoder"], {}).update(values)
    return found


def mean_curves(results: Results, encoder: str) -> dict[int, dict[str, float]]:
    """Figures of each epoch, the mean over those folds and seeds that reached it."""
    rows = [row for row in results.history if row["encoder"] == encoder]
    by_epoch: dict[int, list[dict[str, float]]] = {}
    for row in rows:
        by_epoch.setdefault(int(row["epoch"]), []).append(_curves(row))
    return {
        epoch: {name: float(np.mean([one[name] for one in some if name in one])) for name in some[0]}
        for epoch, some in sorted(by_epoch.items())
    }


def verdict(scores: Scores) -> list[str]:
    """What a reader must know before the numbers, then the answer for each target."""
    return [*caveats(View(scores)), *scores.headline()]


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings with dotted names, as the experiment file's `--set` has them; values as JSON but for texts."""
    found: dict[str, str] = {}
    for key, one in value.items():
        if isinstance(one, Mapping) and one:
            found |= flat(one, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
    return found


def folder_name(label: str) -> str:
    """A label as the name of one folder; different labels give different names."""
    safe = re.sub(r"[^\w.+() -]", "_", label).strip(" .")[:80]
    return safe if safe and safe == label else f"{safe}-{digest(label)[:6]}"


def _curves(epoch: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an epoch without what says whose it is."""
    whose = ("encoder", "seed", "fold", "epoch")
    return {name: float(value) for name, value in epoch.items() if name not in whose and _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


def _accepted(values: Mapping[str, Value]) -> dict[str, Value]:
    """Names as MLflow takes them: ASCII letters, digits and _-./ and spaces, no empty or dotted part, no two alike."""
    found: dict[str, Value] = {}
    for key, value in values.items():
        parts = [re.sub(r"[^0-9A-Za-z_. -]", "_", part).strip(" .") or "_" for part in key.split("/")]
        name = _shortened("/".join(parts), _KEY_LENGTH)
        found[name if name not in found else f"{name[: _KEY_LENGTH - 7]}-{digest(key)[:6]}"] = value
    return found


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _portions(values: Sequence[Value], size: int) -> Iterator[Sequence[Value]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _experiment(client: Any, name: str) -> str:
    """Id of MLflow's experiment of this name, made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name))
    if found.lifecycle_stage == "deleted":  # its name stays taken until it leaves the trash
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _forget(client: Any, run_ids: Sequence[str]) -> None:
    """Move runs to MLflow's trash; one that is not there any more is no harm."""
    for run_id in run_ids:
        with contextlib.suppress(Exception):
            client.delete_run(run_id)


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """MLflow does not report to its makers; the environment is as before afterwards."""
    names = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "true"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """MLflow does not tell of every table that it makes; its log level is as before afterwards."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


_TRACKERS: dict[str, Callable[[], Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
