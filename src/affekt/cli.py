"""The command line: each command parses, calls one function, prints.

Results go to standard output, progress and remarks to standard error. Exit codes: 0 done, 1 a check failed,
2 a mistake in what was asked (told in one message, without a traceback), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from affekt.errors import AffektError, ConfigError
from affekt.service.limits import Limits

if TYPE_CHECKING:
    from affekt.data.audit import DeamAudit

app = typer.Typer(
    name="affekt",
    help="Which representation of sound hears emotion best, and what does this track feel like?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of stored activations; the user's cache by default.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
ExcerptsOption = Annotated[
    bool, typer.Option(help="Put a few seconds of the hardest songs into the report, to be played there.")
]
OverridesOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file; repeatable.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="local: processes that decode ahead, 0 for threads; ray: that hear, 0 for one a core; else what pays.",
    ),
]
EngineOption = Annotated[
    str, typer.Option(help="local: this process; ray: many processes, on this machine or a cluster.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="ray: a running cluster, as host:port or auto; else this machine's cores.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _examples(*lines: str) -> str:
    """Examples that stand below a command's options, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@app.command(
    epilog=_examples(
        "affekt compare experiments/demo.yaml",
        "affekt compare experiments/deam.yaml --set dataset.root=~/deam --out runs/deam",
        "affekt compare experiments/demo.yaml --set seeds=[0,1,2] --set encoders.2.freeze=last2",
        "affekt compare experiments/deam.yaml --engine ray --address auto",
    )
)
def compare(
    experiment: Annotated[Path, typer.Argument(help="An experiment file (YAML).")],
    overrides: OverridesOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<name>-<fingerprint> by default.")] = None,
    store: StoreOption = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves and scores for TensorBoard.")
    ] = False,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Record the run in MLflow's store.")] = False,
    excerpts: ExcerptsOption = True,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare encoders as an experiment file says; ends with a table and a report.

    Stopped with Ctrl-C or by a crash, the same command goes on where it was.
    """
    from affekt.config import load_experiment
    from affekt.evaluation.scores import score
    from affekt.experiment import open_dataset, run_experiment
    from affekt.features.cluster import cluster_of
    from affekt.features.store import Store
    from affekt.record import remarks
    from affekt.report import drop_excerpts, write_all, write_excerpts
    from affekt.tracking import open_trackers

    settings = load_experiment(experiment, overrides or [])
    who = cluster_of(engine, address, workers) or workers
    wanted = [name for name, on in (("tensorboard", tensorboard), ("mlflow", mlflow)) if on]
    trackers = open_trackers(wanted)
    with _stoppable():
        dataset = open_dataset(settings, quiet)
        place = Store(store) if store else None
        results, folder = run_experiment(settings, out, place, quiet, dataset, trackers, who)
        scores = score(results)
        if excerpts:
            write_excerpts(scores, {song.id: song.audio_path for song in dataset.songs if song.audio_path}, folder)
        else:
            drop_excerpts(folder)
        written = write_all(scores, folder, quiet=quiet, excerpts=excerpts)
        trackers.finish(scores)
    _print_scores(scores)
    _say(*remarks(results), *trackers.problems, f"Report: {written[0]}")


@app.command(
    epilog=_examples(
        "affekt train experiments/demo.yaml --encoder handcrafted --out models/demo",
        "affekt train experiments/deam.yaml --encoder mambavision-s --out models/deam --set dataset.root=~/deam",
    )
)
def train(
    experiment: Annotated[Path, typer.Argument(help="An experiment file (YAML).")],
    encoder: Annotated[str, typer.Option(help="Name or label of one of its encoders.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    overrides: OverridesOption = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the comparison; runs/<name>-<fingerprint> by default.")
    ] = None,
    store: StoreOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train a predictor on all songs of an experiment; scores and intervals come from its folds.

    A finished comparison of the experiment is taken as it is. Stopped with Ctrl-C, the same command goes on.
    """
    from affekt.config import load_experiment
    from affekt.features.cluster import cluster_of
    from affekt.features.store import Store
    from affekt.model.train import train_model

    settings = load_experiment(experiment, overrides or [])
    who = cluster_of(engine, address, workers) or workers
    with _stoppable():
        model = train_model(settings, encoder, out, run, Store(store) if store else None, quiet, who)
    _print_rows(
        model.settings.score_rows(), ["target", "r2", "r2_low", "r2_high", "rmse", "interval", "coverage"], False
    )
    _say(f"Model: {out}", f"Ask it: affekt predict {out} SONG...", f"Or on a page: affekt serve {out}")


@app.command(
    epilog=_examples(
        "affekt predict models/demo song.mp3",
        "affekt predict models/deam ~/Music --recursive --out moods.csv",
        "affekt predict models/deam ~/Music -r --out moods.jsonl --curve --workers 4",
        "affekt predict models/deam ~/Music -r --out moods.csv --write-tags --m3u happy --m3u calm",
        "affekt predict models/deam /shared/music -r --out moods.parquet --engine ray --address auto",
    )
)
def predict(
    model: Annotated[str, typer.Argument(help="Folder of a model, or owner/name on the Hugging Face hub.")],
    paths: Annotated[list[Path], typer.Argument(help="Audio files, and folders of them.")],
    out: Annotated[
        Path | None, typer.Option(help="Table to write or complete: .csv, .json, .jsonl or .parquet.")
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Follow each song over time; takes a few times as long.")
    ] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders of folders.")] = False,
    write_tags: Annotated[
        bool, typer.Option("--write-tags", help="Write predictions into the tags of the files (AFFEKT_VALENCE, ...).")
    ] = False,
    m3u: Annotated[
        list[str] | None,
        typer.Option(metavar="QUADRANT", help='Write a playlist: "V+ A+", happy, tense, sad or calm; repeatable.'),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="local: processes that decode ahead, 0 for threads; ray: processes that predict, 0 for one a core.",
        ),
    ] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch; local: as many as there are cores, ray: 1 by default.")
    ] = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what songs feel like: valence, arousal, an interval for each.

    With --out, songs that are in the table already are not predicted again, and a run that was stopped goes on. A file
    that cannot be read is a row with its error; the exit code is then 1, as it is where tags cannot be written.
    """
    from affekt.features.cluster import cluster_of
    from affekt.model.extras import Extras, first_of
    from affekt.model.library import predict_library
    from affekt.model.predictor import load_model
    from affekt.model.rows import columns

    cluster = cluster_of(engine, address, workers, threads)
    predictor = load_model(model)
    extras = Extras(predictor, out, write_tags, m3u or [])
    with _stoppable():
        rows = predict_library(
            predictor,
            paths,
            out,
            curve,
            recursive,
            workers,
            quiet,
            threads=threads,
            cluster=cluster,
            extras=extras,
        )
    if out is None:
        _print_rows(rows, columns(predictor.targets), as_json)
    failed = [row for row in rows if row["error"]]
    _say(*first_of([row["error"] for row in failed]))
    _say(f"{len(rows) - len(failed)} songs predicted, {len(failed)} could not be." + (f" Table: {out}" if out else ""))
    _say(*extras.finish())
    if failed or extras.failed:
        raise typer.Exit(1)


@app.command(
    epilog=_examples(
        "affekt export models/deam --out models/deam-onnx",
        "affekt export models/deam --out models/deam-onnx --song one.mp3 --song another.flac",
        "affekt predict models/deam-onnx song.mp3",
    )
)
def export(
    model: Annotated[str, typer.Argument(help="Folder of a model, or owner/name on the Hugging Face hub.")],
    out: Annotated[Path, typer.Option(help="Folder of the exported model.")],
    songs: Annotated[
        list[Path] | None, typer.Option("--song", metavar="FILE", help="Compare on this song, too; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model as one ONNX graph, encoder included, that runs without torch.

    It is compared with the model on generated music, noise and silence; where they differ nothing is written.
    """
    from affekt.model.predictor import load_model

    found = load_model(model)
    from affekt.model.export import TOLERANCE, export_model

    with _stoppable():
        exported = export_model(found, out, songs or [])
    graph = exported.settings.graph
    assert graph is not None  # it was exported
    rows = [{"compared": name, "difference": most, "allowed": TOLERANCE} for name, most in graph.differences.items()]
    _print_rows(rows, ["compared", "difference", "allowed"], as_json)
    spec = exported.encoder.spec
    _say(
        f"Model: {out}, {graph.n_bytes / 1e6:.1f} MB, compared on {graph.n_compared} clips",
        f"It holds the weights of {spec.name} ({spec.weights}); their licence: {spec.licence}",
        f"Ask it, without torch: affekt predict {out} SONG...",
    )


@app.command(
    epilog=_examples(
        "affekt serve models/deam",
        "affekt serve models/deam --compare-with models/demo --port 8000",
        "affekt serve models/deam --host 0.0.0.0 --max-mb 20 --max-minutes 10 --at-once 4",
        "curl -F file=@song.mp3 'http://127.0.0.1:7860/v1/predict?curve=true'",
    )
)
def serve(
    model: Annotated[str, typer.Argument(help="Folder of a model, or owner/name on the Hugging Face hub.")],
    compare_with: Annotated[
        str | None, typer.Option("--compare-with", metavar="MODEL2", help="Show another model beside it on the page.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 127.0.0.1 is for this machine alone, 0.0.0.0 for everybody.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for a free one.")] = 7860,
    max_mb: Annotated[float, typer.Option(min=0.001, help="Size of a file, in MB.")] = Limits.upload_bytes / 1e6,
    max_minutes: Annotated[float, typer.Option(min=0.01, help="Length of a track.")] = Limits.duration_s / 60,
    at_once: Annotated[int, typer.Option(min=1, help="Predictions at once.")] = Limits.n_at_once,
    waiting: Annotated[
        int, typer.Option(min=0, help="Requests that may wait; the next ones are sent away (503).")
    ] = Limits.n_waiting,
    max_seconds: Annotated[
        float, typer.Option(min=1.0, help="Until there is an answer, waiting included.")
    ] = Limits.predict_s,
) -> None:
    """Open a page to drop songs on, and an HTTP API for programs, until Ctrl-C.

    Songs are deleted once they were heard. There is no password: docs/service.md says how to put one before it.
    """
    from affekt.service.run import LOOPBACK
    from affekt.service.run import serve as run

    def ready(address: str) -> None:
        _say(f"Page: {address}", f"API: {address}/v1/predict, described at {address}/openapi.json")
        if host not in LOOPBACK:
            _say("Whoever reaches this machine can use it. Put a proxy with a password before it.")
        _say("Ctrl-C ends it.")

    limits = Limits(
        upload_bytes=round(1e6 * max_mb),
        duration_s=60 * max_minutes,
        n_at_once=at_once,
        n_waiting=waiting,
        predict_s=max_seconds,
    )
    try:
        run(model, compare_with, host, port, limits, ready)
    except KeyboardInterrupt:
        _say("Stopped.")
        raise typer.Exit(130) from None


@app.command(
    epilog=_examples(
        "affekt report runs/demo-1a2b3c4d",
        "affekt report runs/deam-raw runs/deam-corrected --out runs/labels",
        "affekt report runs/demo-1a2b3c4d/results.json --out page.html",
    )
)
def report(
    runs: Annotated[list[Path], typer.Argument(help="A run folder or a results.json; two of them to compare runs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder, or an .html file for the page alone; by default the run folder, and for two runs a new "
            "folder beside the first."
        ),
    ] = None,
    excerpts: ExcerptsOption = True,
    quiet: QuietOption = False,
) -> None:
    """Rebuild report, tables and figures from results.json alone; needs neither torch nor the data.

    Two runs on the same songs are compared: other labels, other splits, other encoders.
    """
    from affekt.evaluation.scores import score
    from affekt.report import write_all, write_report
    from affekt.report.sources import open_runs

    results, folder = open_runs(runs)
    scores = score(results)
    if out is not None and out.suffix.lower() == ".html":
        target = write_report(scores, out, run=folder, excerpts=excerpts)
    else:
        target = write_all(scores, out or folder, quiet=quiet, run=folder, excerpts=excerpts)[0]
    _print_scores(scores)
    _say(f"Report: {target}")


@app.command(epilog=_examples("affekt encoders", "affekt encoders --json"))
def encoders(as_json: JsonOption = False) -> None:
    """List what can be compared."""
    from affekt.encoders.catalogue import catalogue

    rows = catalogue()
    _print_rows(rows, ["name", "input", "weights", "licence", "needs"], as_json)


@app.command(
    epilog=_examples(
        "affekt data deam --root ~/deam",
        "affekt data deam --download ~/deam",
        "affekt data deam --from DEAM_Annotations.zip --from DEAM_audio.zip --download ~/deam",
        "affekt data pmemo --root ~/PMEmo2019",
        "affekt data folder --root ~/music --targets valence,arousal",
        "affekt data deam --root ~/deam --no-audio --html audit.html",
        "affekt data demo --json",
    )
)
def data(
    name: Annotated[str, typer.Argument(help="deam, emomusic, pmemo, folder or demo.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the data set; without it deam is downloaded.")] = None,
    targets: Annotated[str | None, typer.Option(help="folder: columns to predict, separated by commas.")] = None,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="deam: listen to every audio file, or look at the labels alone.")
    ] = True,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="deam: write what was found as one page that opens offline.")
    ] = None,
    download: Annotated[
        Path | None, typer.Option(metavar="DIR", help="deam: get it from Kaggle into this folder; goes on if stopped.")
    ] = None,
    zips: Annotated[
        list[Path] | None, typer.Option("--from", metavar="ZIP", help="deam: unpack this instead; repeatable.")
    ] = None,
    features: Annotated[
        bool, typer.Option("--features", help="deam: unpack the openSMILE features as well (1.2 GB).")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find or make a data set, check it, and print what is in it.

    deam is audited: every finding says what to do. Exit code 1 where its labels are not usable as they are.
    """
    from affekt.data.audit import DeamAudit
    from affekt.data.inspect import inspect

    if html is not None and name != "deam":
        raise ConfigError(f"--html writes the audit of deam; {name} has none. Leave it out, or take --json.")
    try:
        if download or zips or features:
            from affekt.data.download import obtain

            root = obtain(name, root, download, zips or [], features, quiet)
        found = inspect(name, root, targets.split(",") if targets else None, audio, quiet)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    typer.echo(
        json.dumps(found.as_dict(), indent=1, ensure_ascii=False) if as_json else "\n".join(found.summary_lines())
    )
    if isinstance(found, DeamAudit):
        _end_audit(found, html)


@app.command(epilog=_examples("affekt cache", "affekt cache --clear wav2vec2-nano", "affekt cache --clear all --yes"))
def cache(
    clear: Annotated[
        str | None, typer.Option(metavar="ENCODER|all", help="Delete the activations of one encoder, or all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the store of activations holds, or clean it."""
    from affekt.features.store import Store
    from affekt.paths import cache_home

    place = Store(store or cache_home() / "store")
    if clear is not None:
        _clear(place, clear, yes)
        return
    rows = place.summary()
    _print_rows(rows, ["encoder", "cut", "songs", "size_mb"], as_json)
    if not as_json:
        total = sum(row["size_mb"] for row in rows)
        typer.echo(f"{sum(row['songs'] for row in rows)} stored songs, {total:.1f} MB in {place.root}", err=True)


@app.command(epilog=_examples("affekt doctor", "affekt doctor --json"))
def doctor(as_json: JsonOption = False) -> None:
    """Say what works on this machine, and how to mend what does not."""
    from affekt.doctor import examine

    rows = examine()
    _print_rows(rows, ["check", "state", "found", "mend"], as_json)
    if any(row["state"] == "broken" for row in rows):
        raise typer.Exit(1)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C ends a command that can be taken up again."""
    try:
        yield
    except KeyboardInterrupt:
        _say("Stopped. What is finished is kept; the same command goes on from there.")
        raise typer.Exit(130) from None


def _say(*lines: str) -> None:
    """Remarks, on standard error."""
    from affekt.progress import console

    for line in lines:
        console().print(line, soft_wrap=True)


def _end_audit(audit: DeamAudit, html: Path | None) -> None:
    if html is not None:
        from affekt.report.audit import write_audit

        _say(f"Page: {write_audit(audit, html)}")
    if not audit.usable:
        raise typer.Exit(1)


def _print_scores(scores: Any) -> None:
    from rich.console import Console

    from affekt.report.terminal import print_table

    print_table(scores, Console(highlight=False))


def _clear(place: Any, what: str, yes: bool) -> None:
    encoder = None if what == "all" else what
    held = sorted({entry.about.get("encoder", "") for entry in place.entries()})
    if encoder is not None and encoder not in held:
        raise AffektError(f'"{encoder}": nothing of it in {place.root}. Held there: {", ".join(held) or "nothing"}.')
    doomed = [entry for entry in place.entries() if encoder in (None, entry.about.get("encoder"))]
    size_mb = sum(entry.n_bytes for entry in doomed) / 1e6
    if doomed and not yes:
        typer.confirm(f"Delete {len(doomed)} stored songs ({size_mb:.1f} MB) from {place.root}?", abort=True, err=True)
    typer.echo(f"Deleted {place.clear(encoder)} stored songs ({size_mb:.1f} MB).")


def _print_rows(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    """A table on a terminal, tab-separated lines in a pipe, JSON on demand."""
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    elif not sys.stdout.isatty():
        typer.echo("\t".join(columns))
        for row in rows:
            typer.echo("\t".join(str(row.get(column, "")) for column in columns))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(*columns, box=None, header_style="bold")
        for row in rows:
            table.add_row(*(str(row.get(column, "")) for column in columns))
        Console(highlight=False, markup=False).print(table)


def main() -> NoReturn:
    """Entry point: run a command, turn a user's mistake into one message."""
    try:
        app(standalone_mode=True)
    except AffektError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(0)


if __name__ == "__main__":
    main()
