"""The command line: each command parses, calls one function, prints.

Results go to standard output, progress and remarks to standard error. Exit codes: 0 done, 1 a check failed,
2 a mistake in what was asked (told in one message, without a traceback), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from affekt.errors import AffektError

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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _examples(*lines: str) -> str:
    """Examples that stand below a command's options, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@app.command(
    epilog=_examples(
        "affekt compare experiments/demo.yaml",
        "affekt compare experiments/deam.yaml --set dataset.root=~/deam --out runs/deam",
        "affekt compare experiments/demo.yaml --set seeds=[0,1,2] --set encoders.2.freeze=last2",
    )
)
def compare(
    experiment: Annotated[Path, typer.Argument(help="An experiment file (YAML).")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<name>-<fingerprint> by default.")] = None,
    store: StoreOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Compare encoders as an experiment file says; ends with a table and a report.

    Stopped with Ctrl-C or by a crash, the same command goes on where it was.
    """
    from rich.console import Console

    from affekt.config import load_experiment
    from affekt.experiment import run_experiment
    from affekt.features.store import Store
    from affekt.progress import console
    from affekt.record import remarks
    from affekt.report import write_report
    from affekt.report.terminal import print_table

    settings = load_experiment(experiment, overrides or [])
    try:
        results, folder = run_experiment(settings, out, Store(store) if store else None, quiet)
    except KeyboardInterrupt:
        console().print("Stopped. What is finished is kept; the same command goes on from there.")
        raise typer.Exit(130) from None
    report_path = write_report(results, folder / "report.html")
    print_table(results, Console(highlight=False))
    for remark in remarks(results):
        console().print(remark, soft_wrap=True)
    console().print(f"Report: {report_path}", soft_wrap=True)


@app.command(epilog=_examples("affekt report runs/demo-1a2b3c4d", "affekt report results.json --out report.html"))
def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or a results.json.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; report.html beside the results by default.")] = None,
) -> None:
    """Rebuild report and table from results.json alone; needs neither torch nor the data."""
    from rich.console import Console

    from affekt.evaluation.results import Results
    from affekt.progress import console
    from affekt.report import write_report
    from affekt.report.terminal import print_table

    path = run / "results.json" if run.is_dir() else run
    results = Results.load(path)
    target = write_report(results, out or path.parent / "report.html")
    print_table(results, Console(highlight=False))
    console().print(f"Report: {target}", soft_wrap=True)


@app.command(epilog=_examples("affekt encoders", "affekt encoders --json"))
def encoders(as_json: JsonOption = False) -> None:
    """List what can be compared."""
    from affekt.encoders.catalogue import catalogue

    rows = catalogue()
    _print_rows(rows, ["name", "input", "weights", "licence", "needs"], as_json)


@app.command(
    epilog=_examples(
        "affekt data deam --root ~/deam",
        "affekt data folder --root ~/music --targets valence,arousal",
        "affekt data demo --json",
    )
)
def data(
    name: Annotated[str, typer.Argument(help="deam, demo or folder.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the data set; deam is downloaded without it.")] = None,
    targets: Annotated[str | None, typer.Option(help="folder: columns to predict, separated by commas.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find or make a data set, check it, and print what is in it."""
    from affekt.data.inspect import inspect

    found = inspect(name, root, targets.split(",") if targets else None)
    typer.echo(
        json.dumps(found.as_dict(), indent=1, ensure_ascii=False) if as_json else "\n".join(found.summary_lines())
    )


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
