"""A pool of processes that hear songs, on one machine or a cluster, with Ray Data.

    for block in Cluster(n_actors=8).run(work, items):
        ...  # (name, answer) of some items, as they are finished, in whichever order that is

What is done with an item is a `Work`: `affekt.features.remote` computes activations, `affekt.model.cluster` predicts.
It is sent to every actor, a process that gets ready once and then runs the code that runs without a cluster. Items are
dealt out in blocks; answers come back block by block to the process that asked, which alone writes: so no machine but
this one needs a place to write to. Audio files are read where the actors run: a cluster needs them under the same path
on every machine.

An actor that dies takes no answer with it. It tells a `Ledger`, which lives on this machine, which song it begins and
what it found; Ray starts the actor anew and hands it the block again, and it goes on with what is lacking. Songs that
an actor died of are tried once more, each alone, and a second death is the answer. So a song that kills whoever reads
it costs two actors, and the run ends all the same.

Nothing is reported to the makers of Ray, and no dashboard is opened. What Ray itself sends between processes is
pickled: join clusters that you trust.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from affekt.audio.silence import native_stderr_silenced
from affekt.errors import AffektError, ConfigError, MissingExtraError
from affekt.features.crew import DEATHS
from affekt.registry import did_you_mean
from affekt.versions import versions

ENGINES = ("local", "ray")
#: Blocks for each actor at least, so that none is idle while another has much left.
BLOCKS_EACH = 4
#: Actors that may die in a row, in excess of their number, before any has heard a song to its end.
STILLBORN = 4
STILLBIRTHS = (
    "processes die while they load the model, or with their first songs. Memory is most likely too small for so many "
    "of them: take fewer --workers."
)
DEADLY = (
    "the process that hears it dies each time. The file is damaged in a way that the decoder does not survive, or "
    "memory is too small: export it again, or remove it."
)
#: Seconds to wait for an answer: of a cluster, and of the ledger with its last word.
PATIENCE_S = 20.0
#: Bytes for what goes between processes of a local Ray, beside the work itself.
STORE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class Item:
    """Something to be heard: its name, and what the work needs to know of it."""

    name: str
    task: bytes


#: Hears items and gives each one's name and answer.
Hearing = Callable[[Iterable[Item]], Iterator[tuple[str, bytes]]]


class Work(Protocol):
    """What is done with every item. Ray pickles it, and its arrays cannot be written to where they arrive."""

    #: Items in a block at most: what is written together, and what is shown of progress.
    block: ClassVar[int]

    @property
    def n_bytes(self) -> int:
        """How large it is, roughly."""

    def begin(self, threads: int) -> contextlib.AbstractContextManager[Hearing]:
        """Get ready, in the process that will hear.

        Raises:
            AffektError: for a reason that the user should read; it ends the run.
        """

    def deadly(self, item: Item) -> bytes:
        """The answer for an item that kills whoever hears it."""


@dataclass(frozen=True)
class Cluster:
    """Where to hear.

    Attributes:
        address: of a running cluster, "auto" for the one that this machine belongs to; None for the one that
            RAY_ADDRESS names, and without it for processes of this machine alone.
        n_actors: processes that hear; None for as many as there are cores for.
        threads: of torch in each; it also claims as many cores.
    """

    address: str | None = None
    n_actors: int | None = None
    threads: int = 1

    def run(self, work: Work, items: Sequence[Item]) -> Generator[list[tuple[str, bytes]]]:
        """Hear items, and give names and answers in blocks as they are finished, in whichever order that is.

        Raises:
            MissingExtraError: Ray is not installed.
            ConfigError: no cluster answers at the address.
            AffektError: Ray cannot be started, or an actor cannot get ready.
        """
        if not items:
            return
        with native_stderr_silenced(), self._joined(work.n_bytes) as ray:
            n_actors = self.n_actors or max(1, int(ray.cluster_resources().get("CPU", 1)) // self.threads)
            ledger = _ledger(ray, n_actors)
            try:
                yield from self._answers(ray, ledger, n_actors, work, items)
            except ray.exceptions.RayError:
                if refusal := ray.get(ledger.refusal.remote(), timeout=PATIENCE_S):
                    raise AffektError(refusal) from None
                raise

    @contextlib.contextmanager
    def _joined(self, n_bytes: int) -> Generator[Any]:
        """Ray, started or joined, and left after; where the caller runs it already, it is used as it is."""
        ray = _imported()
        if ray.is_initialized():
            yield ray
            return
        address = self.address or os.environ.get("RAY_ADDRESS")
        local = {"num_cpus": self._n_local * self.threads, "object_store_memory": STORE_BYTES + 2 * n_bytes}
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
        # Ray tells of processes that died on standard output, where results may go.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            try:
                yield ray
            finally:
                ray.shutdown()

    @property
    def _n_local(self) -> int:
        from joblib import cpu_count  # also knows what a container may use

        return self.n_actors or max(1, cpu_count() // self.threads)

    def _answers(
        self, ray: Any, ledger: Any, n_actors: int, work: Work, items: Sequence[Item]
    ) -> Iterator[list[tuple[str, bytes]]]:
        told = {
            "work": ray.put(work),
            "at": str(Path.cwd()),
            "threads": self.threads,
            "versions": versions(),
            "ledger": ledger,
        }
        blocks = ray.data.from_items(
            [{"name": item.name, "task": item.task} for item in items],
            override_num_blocks=_n_blocks(len(items), n_actors, work.block),
        )
        blocks.context.enable_progress_bars = blocks.context.print_on_execution_start = False
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=n_actors, initial_size=n_actors)
        found = blocks.map_batches(
            Actor, batch_size=None, compute=pool, num_cpus=self.threads, fn_constructor_kwargs=told
        )
        for block in found.iter_batches(batch_size=None):
            names = [str(name) for name in block["name"]]
            yield list(zip(names, block["answer"], strict=True))  # written down before it is forgotten
            ledger.forget.remote(names)


def cluster_of(engine: str, address: str | None, workers: int | None, threads: int | None = None) -> Cluster | None:
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
    """What is going on, told where it outlives an actor.

    Args:
        n_actors: how many there are.
    """

    def __init__(self, n_actors: int) -> None:
        self._n_born, self._most = 0, n_actors + STILLBORN
        self._n_begun: dict[str, int] = {}
        self._answers: dict[str, bytes] = {}
        self._refusal: str | None = None

    def refuse(self, text: str) -> None:
        """An actor cannot go on, for a reason that the user should read."""
        self._refusal = text

    def refusal(self) -> str | None:
        """Why the run ended, if an actor said so."""
        return self._refusal

    def born(self) -> bool:
        """An actor gets ready; whether it should, or too many died of that."""
        self._n_born += 1
        return self._n_born <= self._most

    def known(self, names: Sequence[str]) -> tuple[dict[str, bytes], dict[str, int]]:
        """Of items: the answers that were found already, and how often the others were begun and never finished."""
        found = {name: self._answers[name] for name in names if name in self._answers}
        return found, {name: self._n_begun[name] for name in names if name in self._n_begun and name not in found}

    def begin(self, name: str) -> None:
        """An item is about to be heard."""
        self._n_begun[name] = self._n_begun.get(name, 0) + 1

    def finish(self, name: str, answer: bytes) -> None:
        """An item was heard."""
        self._answers[name] = answer
        self._n_born = 0

    def forget(self, names: Sequence[str]) -> None:
        """Answers are written down."""
        for name in names:
            self._answers.pop(name, None)
            self._n_begun.pop(name, None)


class Actor:
    """A process that hears.

    Args:
        work: what to do, in Ray's store.
        at: the folder that paths are relative to.
        threads: of torch.
        versions: of the machine that asks, as of `affekt.versions`.
        ledger: who is told.
    """

    def __init__(self, work: Any, at: str, threads: int, versions: Mapping[str, str], ledger: Any) -> None:
        import ray

        self._get, self._ledger = ray.get, ledger
        with contextlib.suppress(OSError):  # another machine may lack it, and needs it for relative paths alone
            os.chdir(at)
        self._open = contextlib.ExitStack()  # never left: it hears as long as the process lives
        with self._refusing():
            if not self._get(ledger.born.remote()):
                raise AffektError(STILLBIRTHS)
            check_versions(versions)
            self._work: Work = self._get(work)
            self._hear = self._open.enter_context(self._work.begin(threads))

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Tell the ledger of an error that is the user's to mend: Ray buries it in traces of its own."""
        try:
            yield
        except AffektError as error:
            self._get(self._ledger.refuse.remote(f"a process of the pool cannot go on: {error}"))
            raise

    def __call__(self, block: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Names and answers of a block of items."""
        items = {str(name): Item(str(name), task) for name, task in zip(block["name"], block["task"], strict=True)}
        answers, begun = self._get(self._ledger.known.remote(list(items)))
        for name, n in begun.items():
            if n >= DEATHS:
                self._finish(answers, name, self._work.deadly(items[name]))
        alone = [[items[name]] for name in begun if name not in answers]
        rest = [item for name, item in items.items() if name not in answers and name not in begun]
        with self._refusing():
            for group in [*alone, rest]:
                for name, answer in self._hear(self._begun(group)):
                    self._finish(answers, name, answer)
        return {"name": list(items), "answer": [answers[name] for name in items]}

    def _begun(self, items: Sequence[Item]) -> Iterator[Item]:
        """Items, each noted in the ledger when its turn comes."""
        for item in items:
            self._get(self._ledger.begin.remote(item.name))
            yield item

    def _finish(self, answers: dict[str, bytes], name: str, answer: bytes) -> None:
        answers[name] = answer
        self._ledger.finish.remote(name, answer)


@contextlib.contextmanager
def torch_threads(n: int | None) -> Iterator[None]:
    """Give torch so many threads within; None for as many as it has.

    Most encoders give the same bits with any number, but that is not promised (docs/scale.md).
    """
    torch = sys.modules.get("torch")  # not there: the encoder does without
    if n is None or torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def _n_blocks(n_items: int, n_actors: int, block: int) -> int:
    return max(min(n_items, BLOCKS_EACH * n_actors), -(-n_items // block))


def _ledger(ray: Any, n_actors: int) -> Any:
    """A ledger on the machine that asks: it lives as long as whoever writes."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Ledger).options(scheduling_strategy=here).remote(n_actors)


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
