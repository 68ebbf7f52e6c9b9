"""The commands: parse, call, print. Everything heavy is imported inside them, so that --help answers at once."""

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from animefer_core.errors import InputError
from sweep.cli import options
from sweep.settings import Settings

DEBUG = "--debug"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Of an OSError: the disk or the quota is full, or the disk is read-only."""
INTERRUPTED = 130
"""What Typer makes of KeyboardInterrupt."""
USAGE_ERROR: Any = typer.BadParameter.__base__
"""What Typer raises for a command line that it cannot read; it exports no name for it."""

# Plain text: Rich's markup would take the defaults in brackets for styles.
app = typer.Typer(
    help="Fine-tune image classifiers over several seeds, and say which differences are real.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Draw the demo faces, or check a folder of images.", rich_markup_mode=None)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line; what a user can mend becomes one sentence and exit code 2, --debug shows its traceback."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG] or ["--help"]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _end)
    try:
        code = app(arguments, prog_name="animefer", standalone_mode=False)
    except _Ended as error:
        _leave(error.args[0])
    except (InputError, USAGE_ERROR) as error:
        if DEBUG in sys.argv:
            raise
        typer.echo(_usage(error) if isinstance(error, USAGE_ERROR) else f"animefer: {error}", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        if DEBUG in sys.argv or error.errno not in NO_ROOM:
            raise
        what = f"animefer: {error.filename or 'a file'} could not be written ({error.strerror})"
        typer.echo(f"{what}; make room there or choose another folder, and the same command goes on.", err=True)
        raise SystemExit(2) from None
    if code == INTERRUPTED:
        _leave("Ctrl-C")
    raise SystemExit(code)


class _Ended(BaseException):
    """A signal of a scheduler ended the command, by this name; while trials run, the executor hears it instead."""


def _end(number: int, _frame: object) -> None:
    raise _Ended(signal.Signals(number).name)


def _leave(by: str) -> NoReturn:
    """Say what ended the command, and end at once: libraries that were cut off while loading may crash at the end."""
    typer.echo(f"animefer: ended by {by}; what is finished is kept, and the same command goes on.", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _usage(error: Any) -> str:
    """Return a usage error as one sentence that names the command whose help to read."""
    command = error.ctx.command_path if error.ctx else "animefer"
    return f"{command}: {' '.join(error.format_message().split()).rstrip('.?')}; see `{command} --help`."


@app.callback()
def animefer(
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an error; may stand anywhere in the line.")
    ] = False,
) -> None:
    """Fine-tune image classifiers over several seeds, and say which differences are real."""


@app.command(short_help="Train models under strategies with several seeds, and report.")
def sweep(
    data: options.Data = None,
    models: options.Models = None,
    strategies: options.Strategies = None,
    seeds: Annotated[str | None, typer.Option(metavar="1,2", help=f"Integers.  {options.default('seeds')}")] = None,
    preset: options.Preset = None,
    config: options.Config = None,
    out: options.Out = None,
    address: options.Address = None,
    weights_dir: options.WeightsDir = None,
    pretrained: options.Pretrained = None,
    image_size: options.ImageSize = None,
    epochs: options.Epochs = None,
    threads: options.Threads = None,
    precision: options.Precision = None,
    device: options.Device = None,
    gpu_share: options.GpuShare = None,
    trial_timeout: options.TrialTimeout = None,
    deterministic: options.Deterministic = None,
    save_models: options.SaveModels = None,
    storage: options.Storage = None,
    checkpoint_minutes: options.CheckpointMinutes = None,
    normalisation: options.Normalisation = None,
    fit: options.Fit = None,
    frozen_norm: options.FrozenNorm = None,
    skip_bad: options.SkipBad = None,
    allow_duplicates: options.AllowDuplicates = None,
    validation_share: options.ValidationShare = None,
    test_share: options.TestShare = None,
    folds: options.Folds = None,
    splits: options.Splits = None,
    vary: options.Vary = None,
    train_fraction: options.TrainFraction = None,
    per_class: options.PerClass = None,
    extra_views: options.ExtraViews = None,
    logger: options.Logger = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained, and train nothing.")] = False,
) -> None:
    """Train every model under every strategy with every seed, and write the robustness report.

    Without --data it takes drawn faces and the quick preset. The same command again trains only what is missing, and a
    new seed or model adds to a finished sweep.
    """
    given = {name: value for name, value in locals().items() if name != "dry_run"}
    from sweep.cli.run import run_sweep

    raise SystemExit(run_sweep(given, dry_run=dry_run))


@app.command(short_help="Search rates, batch size and blocks of strategies for each model, on validation only.")
def search(
    data: options.Data = None,
    models: options.Models = None,
    strategies: options.Strategies = None,
    budget: Annotated[
        str, typer.Option(metavar="N", help="Candidates for each model and strategy, the strategy as it stands first.")
    ] = "16",
    search_seeds: Annotated[
        str, typer.Option(metavar="1,2", help="Seeds of the search; none of them may be the sweep's.")
    ] = "1001",
    seeds: Annotated[
        str | None, typer.Option(metavar="1,2", help=f"Seeds of the sweep to come.  {options.default('seeds')}")
    ] = None,
    preset: options.Preset = None,
    config: options.Config = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="The search's own folder.  [default: reports/NAME-search, NAME as in sweep]"),
    ] = None,
    address: options.Address = None,
    weights_dir: options.WeightsDir = None,
    pretrained: options.Pretrained = None,
    image_size: options.ImageSize = None,
    epochs: options.Epochs = None,
    threads: options.Threads = None,
    precision: options.Precision = None,
    device: options.Device = None,
    gpu_share: options.GpuShare = None,
    trial_timeout: options.TrialTimeout = None,
    normalisation: options.Normalisation = None,
    fit: options.Fit = None,
    frozen_norm: options.FrozenNorm = None,
    skip_bad: options.SkipBad = None,
    allow_duplicates: options.AllowDuplicates = None,
    validation_share: options.ValidationShare = None,
    test_share: options.TestShare = None,
    per_class: options.PerClass = None,
    logger: options.Logger = None,
) -> None:
    """Try the same number of candidates for every model and strategy, and write the best as strategies for --config.

    No test image is there. Candidates are judged by validation loss; ASHA stops the worse half after a quarter and
    after half of the epochs. The same command again goes on where it stopped. The winners lie in DIR/search.toml.
    """
    given = {name: value for name, value in locals().items() if name not in ("budget", "search_seeds")}
    from sweep.cli.search import run_search

    raise SystemExit(run_search(given, budget=budget, search_seeds=search_seeds))


@app.command(short_help="Train one configuration with one seed, without Ray.")
def trial(
    model: Annotated[str, typer.Option(metavar="M", help="One of those that `animefer sweep` takes.")],
    strategy: Annotated[str, typer.Option(metavar="S", help="The study's, or one of --config.")],
    seed: Annotated[str, typer.Option(metavar="N", help="The seed of all random streams, an integer.")],
    data: options.Data = None,
    preset: options.Preset = None,
    config: options.Config = None,
    out: options.Out = None,
    weights_dir: options.WeightsDir = None,
    pretrained: options.Pretrained = None,
    image_size: options.ImageSize = None,
    epochs: options.Epochs = None,
    threads: Annotated[str | None, typer.Option(metavar="N", help="CPU threads.  [default: all cores]")] = None,
    precision: options.Precision = None,
    device: options.Device = None,
    deterministic: options.Deterministic = None,
    save_models: options.SaveModels = None,
    storage: options.Storage = None,
    checkpoint_minutes: options.CheckpointMinutes = None,
    normalisation: options.Normalisation = None,
    fit: options.Fit = None,
    frozen_norm: options.FrozenNorm = None,
    skip_bad: options.SkipBad = None,
    allow_duplicates: options.AllowDuplicates = None,
    validation_share: options.ValidationShare = None,
    test_share: options.TestShare = None,
    folds: options.Folds = None,
    splits: options.Splits = None,
    vary: options.Vary = None,
    train_fraction: options.TrainFraction = None,
    per_class: options.PerClass = None,
    extra_views: options.ExtraViews = None,
    again: Annotated[
        bool, typer.Option("--again", help="Train a completed trial anew; it then meets the test images twice.")
    ] = False,
) -> None:
    """Train one configuration with one seed in this process, without Ray, and write its record."""
    given = {name: value for name, value in locals().items() if name != "again"}
    from sweep.cli.run import run_one

    raise SystemExit(run_one(given, again=again))


@app.command(short_help="Print what a sweep would train and cost, or what one strategy does when.")
@options.like(sweep, but=("dry_run", "logger"))
def plan(
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="MODEL STRATEGY", help="Print the timeline of one configuration instead."),
    ] = None,
    **given: Any,
) -> None:
    """Print which trials a sweep with these options would train, how long they take, and whether memory and disk do.

    Nothing is trained but a few steps on noise, for the time. With --explain it prints what one strategy trains in
    which epochs, how many parameters, and at which rates.
    """
    if explain is None:
        from sweep.cli.foretell import run_plan

        raise SystemExit(run_plan(given))
    model, strategy = explain
    from sweep.cli.run import explained

    one = {"config": given["config"], "preset": given["preset"] or "paper", "image_size": given["image_size"]}
    for line in explained({**one, "epochs": given["epochs"], "model": model, "strategy": strategy}):
        typer.echo(line)


@app.command(short_help="Write tables and report from the records in DIR.")
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The results folder.")],
    formats: Annotated[
        str,
        typer.Option(
            "--format", metavar="A,B", help="Any of html, csv, md, tex; svg and pdf are figures, in DIR/figures."
        ),
    ] = "html,csv,md,tex",
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Leave out hosts, paths, users and error messages, for blind review.")
    ] = False,
    price_per_hour: Annotated[
        str | None, typer.Option(metavar="X", help="Say what trials cost at X an hour, in any currency.")
    ] = None,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Leave the images that were misread most often out of the page.")
    ] = False,
) -> None:
    """Write tables/ and report.html from the records in DIR, finished or not."""
    from sweep.cli.look import written

    paths = written(directory, formats, unnamed=anonymous, price_per_hour=price_per_hour, images=not no_images)
    for path in paths:
        typer.echo(path)


@app.command()
def status(directory: Annotated[Path, typer.Argument(metavar="DIR", help="The results folder.")]) -> None:
    """Say how far the sweep in DIR has come."""
    from sweep.cli.look import status_lines

    for line in status_lines(directory):
        typer.echo(line)


@app.command(short_help="Run a sweep as a job on a cluster that is far from here.")
def submit(
    address: Annotated[
        str, typer.Option(metavar="URL", help="The dashboard of the cluster's head, as http://HEAD:8265.")
    ],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="sweep or search, with paths on the head.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the log, and exit with the command's code.")] = False,
) -> None:
    """Run a sweep as a Ray job on a cluster's head, where animefer, images and results are; nothing is uploaded.

    It goes on when this machine does not. For example:
    animefer submit --address http://HEAD:8265 -- sweep --data /IMAGES --out /RESULTS
    """
    from sweep.execution.submission import submit as submit_job

    raise SystemExit(submit_job(address, command or (), wait=wait, say=typer.echo))


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Predictions as .csv or .parquet, a row an image.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The results folder.")],
) -> None:
    """Turn predictions made elsewhere into records, tables and a report."""
    from sweep.cli.look import import_lines

    for line in import_lines(file, out):
        typer.echo(line)


@app.command()
def compare(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The results folder.")],
    first: Annotated[str, typer.Argument(metavar="A", help="A configuration, as model/strategy.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
) -> None:
    """Say how configuration A differs from B, how surely, and what would decide it."""
    from rich.console import Console

    from sweep.cli.look import print_comparison

    print_comparison(directory, first, second, Console())


@data_app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    per_class: Annotated[int, typer.Option(metavar="N", help="Faces of each emotion.")] = Settings.per_class,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Draw anime-like faces of six emotions."""
    from animefer_core.data.faces import write_faces

    typer.echo(f"{write_faces(out, per_class, seed)} faces in {out}")


@data_app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of images.")],
    skip_bad: options.SkipBad = None,
    allow_duplicates: options.AllowDuplicates = None,
) -> None:
    """Open every image of a folder, and say what a sweep would train on."""
    from sweep.cli.look import data_lines

    for line in data_lines(directory, skip_bad=bool(skip_bad), allow_duplicates=bool(allow_duplicates)):
        typer.echo(line)


if __name__ == "__main__":
    main()
