"""A music library through a model in many processes, on one machine or a cluster, with Ray Data.

    cluster = Cluster(n_actors=8)
    predict_library(model, [Path("~/Music").expanduser()], Path("moods.csv"), cluster=cluster)

Files are dealt out in blocks to a pool of actors (`Listener`). Each is a process that puts the model together once and
predicts as the local engine does, with the same code. Rows come back block by block to the process that asked, which
alone writes: so no machine but this one needs a place to write to, and every block is a finished part on its disk.
Audio files are read where the actors run: a cluster needs them under the same path on every machine.

An actor that dies takes no row with it. It tells a `Ledger`, which lives on this machine, which song it begins and what
it found; Ray starts the actor anew and hands it the block again, and it goes on with what is lacking. Songs that an
actor died of are tried once more, each alone, and a second death makes a row with an error. So a song that kills
whoever reads it costs two actors, and the run ends all the same.

Nothing is reported to the makers of Ray, and no dashboard is opened. What Ray itself sends between processes is
pickled: join clusters that you trust.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affekt.audio.silence import native_stderr_silenced
from affekt.errors import AffektError, ConfigError, MissingExtraError
from affekt.features.crew import DEATHS
from affekt.model.batch import Answer, predict_running, torch_threads
from affekt.model.bundle import Settings
from affekt.model.predictor import Model, assemble
from affekt.model.rows import Row, name_of, row_of
from affekt.record import versions
from affekt.registry import did_you_mean

ENGINES = ("local", "ray")
#: Files in a block at most: what is written together, and what is shown of progress.
BLOCK = 32
#: Blocks for each actor at least, so that none is idle while another has much left.
BLOCKS_EACH = 4
#: Actors that may die in a row, in excess of their number, before any has heard a song to its end.
STILLBORN = 4
STILLBIRTHS = (
    "processes die while they load the model, or with their first songs. Memory is most likely too small for so many "
    "of them: take fewer --workers."
)
#: Seconds to wait for an answer: of a cluster, and of the ledger with its last word.
PATIENCE_S = 20.0
#: Bytes for what goes between processes of a local Ray, beside the model itself: rows are small.
STORE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class Cluster:
    """Where to predict.

    Attributes:
        address: of a running cluster, "auto" for the one that this machine belongs to; None for the one that
            RAY_ADDRESS names, and without it for processes of this machine alone.
        n_actors: processes that predict; None for as many as there are cores for.
        threads: of torch in each; it also claims as many cores.
    """

    address: str | None = None
    n_actors: int | None = None
    threads: int = 1

    def rows(self, model: Model, paths: Sequence[Path], curve: bool = False) -> Generator[Sequence[Row]]:
        """Predict files, and give rows in blocks as they are finished, in whichever order that is.

        Raises:
            MissingExtraError: Ray is not installed.
            ConfigError: no cluster answers at the address.
            AffektError: Ray cannot be started, or an actor cannot put the model together.
        """
        if not paths:
            return
        with native_stderr_silenced(), self._joined(model) as ray:
            n_actors = self.n_actors or max(1, int(ray.cluster_resources().get("CPU", 1)) // self.threads)
            ledger = _ledger(ray, n_actors)
            try:
                yield from self._found(ray, ledger, n_actors, model, paths, curve)
            except ray.exceptions.RayError:
                if refusal := ray.get(ledger.refusal.remote(), timeout=PATIENCE_S):
                    raise AffektError(refusal) from None
                raise

    @contextlib.contextmanager
    def _joined(self, model: Model) -> Generator[Any]:
        """Ray, started or joined, and left after; where the caller runs it already, it is used as it is."""
        ray = _imported()
        if ray.is_initialized():
            yield ray
            return
        address = self.address or os.environ.get("RAY_ADDRESS")
        size = sum(value.nbytes for value in model.readout.tensors().values())
        local = {"num_cpus": self._n_local * self.threads, "object_store_memory": STORE_BYTES + 2 * size}
        about = {"address": address} if address else {"address": "local", "include_dashboard": False, **local}
        if address:
            check_address(address)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **about)
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            if not address:
                raise AffektError(f"Ray cannot be started here ({reason}). Take --engine local.") from None
            raise ConfigError(
                f"--address {address}: no cluster can be reached ({reason}). Give the address that `ray start --head` "
                "told, or leave it out to use this machine alone."
            ) from None
        # Ray tells of processes that died on standard output, where rows may go.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            try:
                yield ray
            finally:
                ray.shutdown()

    @property
    def _n_local(self) -> int:
        from joblib import cpu_count  # also knows what a container may use

        return self.n_actors or max(1, cpu_count() // self.threads)

    def _found(
        self, ray: Any, ledger: Any, n_actors: int, model: Model, paths: Sequence[Path], curve: bool
    ) -> Iterator[list[Row]]:
        told = {
            "settings": model.settings.model_dump_json(),
            "tensors": ray.put(dict(model.readout.tensors())),
            "at": str(Path.cwd()),
            "curve": curve,
            "threads": self.threads,
            "versions": versions(),
            "ledger": ledger,
        }
        blocks = ray.data.from_items(
            [{"path": os.fsencode(path)} for path in paths], override_num_blocks=_n_blocks(len(paths), n_actors)
        )
        blocks.context.enable_progress_bars = blocks.context.print_on_execution_start = False
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=n_actors, initial_size=n_actors)
        found = blocks.map_batches(
            Listener, batch_size=None, compute=pool, num_cpus=self.threads, fn_constructor_kwargs=told
        )
        for block in found.iter_batches(batch_size=None):
            rows = [json.loads(row) for row in block["row"]]
            yield rows  # written down before it is forgotten
            ledger.forget.remote([row["path"] for row in rows])


def cluster_of(engine: str, address: str | None, workers: int, threads: int | None) -> Cluster | None:
    """What options of the command line ask for; None for this process.

    Raises:
        ConfigError: no such engine, or an address without Ray.
    """
    if engine not in ENGINES:
        raise ConfigError(
            f'--engine "{engine}": no such engine.{did_you_mean(engine, list(ENGINES))} Take local or ray.'
        )
    if engine == "local" and address is not None:
        raise ConfigError("--address names a Ray cluster. Add --engine ray, or leave it out.")
    return Cluster(address, workers or None, threads or 1) if engine == "ray" else None


class Ledger:
    """What is going on, told where it outlives an actor. Files go by their names in rows.

    Args:
        n_actors: how many there are.
    """

    def __init__(self, n_actors: int) -> None:
        self._n_born, self._most = 0, n_actors + STILLBORN
        self._n_begun: dict[str, int] = {}
        self._rows: dict[str, str] = {}
        self._refusal: str | None = None

    def refuse(self, text: str) -> None:
        """An actor cannot go on, for a reason that the user should read."""
        self._refusal = text

    def refusal(self) -> str | None:
        """Why the run ended, if an actor said so."""
        return self._refusal

    def born(self) -> bool:
        """An actor begins to load the model; whether it should, or too many died of that."""
        self._n_born += 1
        return self._n_born <= self._most

    def known(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, int]]:
        """Of files: the rows that were found already, and how often the others were begun and never finished."""
        rows = {name: self._rows[name] for name in names if name in self._rows}
        return rows, {name: self._n_begun[name] for name in names if name in self._n_begun and name not in rows}

    def begin(self, name: str) -> None:
        """A file is about to be read."""
        self._n_begun[name] = self._n_begun.get(name, 0) + 1

    def finish(self, name: str, row: str) -> None:
        """A file was predicted."""
        self._rows[name] = row
        self._n_born = 0

    def forget(self, names: Sequence[str]) -> None:
        """Rows are written down."""
        for name in names:
            self._rows.pop(name, None)
            self._n_begun.pop(name, None)


class Listener:
    """An actor: a model in a process of its own.

    Args:
        settings: of the model, as JSON.
        tensors: what it learnt, in Ray's store.
        at: the folder that paths are relative to.
        curve: whether to follow songs over time.
        threads: of torch.
        versions: of the machine that asks, as of `affekt.record.versions`.
        ledger: who is told.
    """

    def __init__(
        self,
        settings: str,
        tensors: Any,
        at: str,
        curve: bool,
        threads: int,
        versions: Mapping[str, str],
        ledger: Any,
    ) -> None:
        import ray

        self._get, self._ledger, self._curve = ray.get, ledger, curve
        with contextlib.suppress(OSError):  # another machine may lack it, and needs it for relative paths alone
            os.chdir(at)
        with self._refusing():
            if not self._get(ledger.born.remote()):
                raise AffektError(STILLBIRTHS)
            check_versions(versions)
            # Mapped from Ray's store, where nothing may be written.
            learnt = {name: value.copy() for name, value in self._get(tensors).items()}
            self._model = assemble(Settings.model_validate_json(settings), learnt)
        self._open = contextlib.ExitStack()  # never left: the model runs as long as the process
        self._open.enter_context(torch_threads(threads))
        self._open.enter_context(self._model.running())

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Tell the ledger of an error that is the user's to mend: Ray buries it in traces of its own."""
        try:
            yield
        except AffektError as error:
            self._get(self._ledger.refuse.remote(f"a process that predicts cannot go on: {error}"))
            raise

    def __call__(self, block: Mapping[str, Any]) -> dict[str, list[str]]:
        """Rows as JSON, which keeps every number as it is, for a block of paths."""
        paths = {name_of(path): path for path in map(Path, map(os.fsdecode, block["path"]))}
        rows, begun = self._get(self._ledger.known.remote(list(paths)))
        for name, n in begun.items():
            if n >= DEATHS:
                self._finish(rows, _deadly(paths[name]))
        alone = [[paths[name]] for name in begun if name not in rows]
        rest = [path for name, path in paths.items() if name not in rows and name not in begun]
        with self._refusing():
            for group in [*alone, rest]:
                for answer in predict_running(self._model, self._begun(group), self._curve):
                    self._finish(rows, answer)
        return {"row": [rows[name] for name in paths]}

    def _begun(self, paths: Sequence[Path]) -> Iterator[Path]:
        """Files, each noted in the ledger when its turn comes."""
        for path in paths:
            self._get(self._ledger.begin.remote(name_of(path)))
            yield path

    def _finish(self, rows: dict[str, str], answer: Answer) -> None:
        row = json.dumps(row_of(answer, self._model.targets, self._model.fingerprint))
        rows[name_of(answer.path)] = row
        self._ledger.finish.remote(name_of(answer.path), row)


def check_address(address: str) -> None:
    """See that somebody listens: Ray itself would wait for minutes.

    Raises:
        ConfigError: nobody does, or only Ray's client could ask there.
    """
    host, _, port = address.rpartition(":")
    if address.startswith("ray://"):
        raise ConfigError(
            f"--address {address}: Ray's client is not enough for Ray Data. Run the command on a machine of the "
            "cluster, with --address auto, or hand it over with `ray job submit`."
        )
    if not host or not port.isdecimal():  # "auto", or what Ray will call nonsense
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--address {address}: nobody answers there ({error}). Give the address that `ray start --head` told, or "
            "leave it out to use this machine alone."
        ) from None


def check_versions(asked: Mapping[str, str]) -> None:
    """See that this machine computes with the same packages as the one that asks.

    Raises:
        ConfigError: it does not.
    """
    here = versions()
    others = [
        f"{name} {here.get(name, 'none')} instead of {asked.get(name, 'none')}"
        for name in sorted({*asked, *here})
        if asked.get(name) != here.get(name)
    ]
    if others:
        raise ConfigError(
            f"{socket.gethostname()} has {', '.join(others)}: numbers could differ. Install the versions of the "
            "machine that asks on all others."
        )


def _n_blocks(n_paths: int, n_actors: int) -> int:
    return max(min(n_paths, BLOCKS_EACH * n_actors), -(-n_paths // BLOCK))


def _ledger(ray: Any, n_actors: int) -> Any:
    """A ledger on the machine that asks: it lives as long as whoever writes the rows."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Ledger).options(scheduling_strategy=here).remote(n_actors)


def _deadly(path: Path) -> Answer:
    return Answer(
        path,
        None,
        f"{path}: the process that hears it dies each time. The file is damaged in a way that the decoder does not "
        "survive, or memory is too small: export it again, or remove it.",
    )


def _imported() -> Any:
    """Ray, told to report nothing to its makers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")  # what matters is raised
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("--engine ray", "ray") from None
    return ray
