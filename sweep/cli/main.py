"""The commands: parse, call, print. Everything heavy is imported inside them, so that --help answers at once."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from animefer_core.errors import InputError
from sweep.cli import options

DEBUG = "--debug"

app = typer.Typer(
    help="Fine-tune image classifiers over several seeds, and say which differences are real.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Draw the demo faces; check a folder of images.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line; an InputError becomes one sentence and exit code 2, --debug shows its traceback."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        app(arguments, prog_name="animefer")
    except InputError as error:
        if DEBUG in sys.argv:
            raise
        typer.echo(f"animefer: {error}", err=True)
        raise SystemExit(2) from None


@app.callback()
def animefer(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """Fine-tune image classifiers over several seeds, and say which differences are real."""


@app.command()
def sweep(
    data: options.Data = None,
    models: Annotated[
        str | None, typer.Option(help="Comma-separated.  [default: resnet18,resnet50,vit_b_16,vit_s_16]")
    ] = None,
    strategies: Annotated[
        str | None, typer.Option(help="Comma-separated.  [default: linear_probe,partial,full,progressive]")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Comma-separated integers.  [default: 42,1,2,3,4]")] = None,
    preset: options.Preset = None,
    config: options.Config = None,
    out: options.Out = None,
    address: Annotated[
        str | None, typer.Option(envvar="RAY_ADDRESS", help="local, auto or HOST:PORT of a Ray cluster.")
    ] = None,
    weights_dir: options.WeightsDir = None,
    pretrained: options.Pretrained = None,
    image_size: options.ImageSize = None,
    epochs: options.Epochs = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads a trial.  [default: cores / trials at once]")] = None,
    precision: options.Precision = None,
    device: options.Device = None,
    gpu_share: Annotated[str | None, typer.Option(help="Share of a GPU a trial gets.  [default: 1]")] = None,
    save_models: options.SaveModels = None,
    normalisation: options.Normalisation = None,
    frozen_norm: options.FrozenNorm = None,
    skip_bad: options.SkipBad = None,
    allow_duplicates: options.AllowDuplicates = None,
    validation_share: options.ValidationShare = None,
    test_share: options.TestShare = None,
    per_class: options.PerClass = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained, and train nothing.")] = False,
) -> None:
    """Train every model under every strategy with every seed, and write the robustness report.

    Without --data it takes drawn faces and the quick preset. The same command again trains only what is missing;
    a new seed or model adds to a finished sweep.
    """
    given = {name: value for name, value in locals().items() if name != "dry_run"}
    from sweep.cli.run import run_sweep

    raise SystemExit(run_sweep(given, dry_run=dry_run))


@app.command()
def trial(
    model: Annotated[str, typer.Option(help="A model, as for `animefer sweep`.")],
    strategy: Annotated[str, typer.Option(help="A strategy, as for `animefer sweep`.")],
    seed: Annotated[int, typer.Option(min=0, help="The seed of all random streams.")],
    data: options.Data = None,
    preset: options.Preset = None,
    config: options.Config = None,
    out: options.Out = None,
    weights_dir: options.WeightsDir = None,
    pretrained: options.Pretrained = None,
    image_size: options.ImageSize = None,
    epochs: options.Epochs = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.  [default: all cores]")] = None,
    precision: options.Precision = None,
    device: options.Device = None,
    save_models: options.SaveModels = None,
    normalisation: options.Normalisation = None,
    frozen_norm: options.FrozenNorm = None,
    skip_bad: options.SkipBad = None,
    allow_duplicates: options.AllowDuplicates = None,
    validation_share: options.ValidationShare = None,
    test_share: options.TestShare = None,
    per_class: options.PerClass = None,
) -> None:
    """Train one configuration with one seed in this process, without Ray, and write its record."""
    given: dict[str, Any] = locals()
    chosen = {"models": given.pop("model"), "strategies": given.pop("strategy"), "seeds": str(given.pop("seed"))}
    from sweep.cli.run import run_one

    raise SystemExit(run_one(given | chosen))


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The results folder.")],
    formats: Annotated[str, typer.Option("--format", help="Comma-separated: html, csv, md, tex.")] = "html,csv,md,tex",
) -> None:
    """Write tables/ and report.html from the records in DIR, finished or not."""
    from sweep.cli.look import write

    for path in write(directory, formats):
        typer.echo(path)


@app.command()
def status(directory: Annotated[Path, typer.Argument(metavar="DIR", help="The results folder.")]) -> None:
    """Say how far the sweep in DIR has come."""
    from sweep.cli.look import status_lines

    for line in status_lines(directory):
        typer.echo(line)


@data_app.command()
def demo(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    per_class: Annotated[int, typer.Option(help="Faces of each emotion.")] = 45,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
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
    """Open every image of a folder and say what a sweep would train on."""
    from sweep.cli.look import data_lines

    for line in data_lines(directory, skip_bad=bool(skip_bad), allow_duplicates=bool(allow_duplicates)):
        typer.echo(line)


if __name__ == "__main__":
    main()
