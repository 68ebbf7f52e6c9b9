"""The options that `sweep`, `search` and `trial` share, each said once.

Their values are checked in sweep/settings.py, together with those of a TOML file; here all but the switches are text.
"""

import inspect
import sys
from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer

from sweep.settings import LOGGERS, PRESETS, VARIED, Settings

Command = Callable[..., None]


def typed() -> list[str]:
    """Return the command line as it can be given again, wherever the program's file lies."""
    return ["animefer", *sys.argv[1:]]


def like(other: Command, but: Collection[str]) -> Callable[[Command], Command]:
    """Give a command all options of another one, save a few, beside its own; they reach its **given."""

    def take(command: Command) -> Command:
        own = inspect.signature(command).parameters
        inherited = {
            name: each for name, each in inspect.signature(other).parameters.items() if name not in {*but, *own}
        }
        parameters = [each for each in (*inherited.values(), *own.values()) if each.kind is not each.VAR_KEYWORD]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return take


def default(name: str) -> str:
    """Return an option's default as its help shows it, the quick preset's beside it where that is another."""
    usual, quick = (
        _shown(values.get(name, getattr(Settings, name))) for values in (PRESETS["paper"], PRESETS["quick"])
    )
    return f"[default: {usual}]" if quick == usual else f"[default: {usual}; quick: {quick}]"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


Data = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="A folder of class folders, or of train, valid and test folders of such; "
        "demo is drawn faces.  [default: demo]",
    ),
]
Models = Annotated[
    str | None,
    typer.Option(metavar="A,B", help=f"The study's, or any classifier of timm's.  {default('models')}"),
]
Strategies = Annotated[
    str | None,
    typer.Option(metavar="A,B", help=f"The study's, or those of --config.  {default('strategies')}"),
]
Address = Annotated[
    str | None,
    typer.Option(
        envvar="RAY_ADDRESS",
        metavar="local|auto|HOST:PORT",
        help=f"local starts Ray on this machine, auto joins the cluster that it belongs to.  {default('address')}",
    ),
]
Threads = Annotated[
    str | None, typer.Option(metavar="N", help="CPU threads of each trial.  [default: cores / trials at once]")
]
GpuShare = Annotated[
    str | None,
    typer.Option(
        metavar="auto|F",
        help="Share of a GPU that each trial gets; auto goes by the memory that it needs.  [default: auto]",
    ),
]
TrialTimeout = Annotated[
    str | None,
    typer.Option(metavar="MINUTES", help="Give a trial up that takes longer; it counts as failed.  [default: never]"),
]
Config = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="A TOML file with these options' names, and [strategy.NAME] tables for "
        "strategies of your own. What is typed wins over it.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="paper|quick",
        help="paper is the study's settings; quick is minutes, from random weights.  "
        "[default: quick for drawn faces, else paper]",
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="The results folder.  [default: reports/NAME, NAME the data folder's or the preset's]"
    ),
]
ImageSize = Annotated[
    str | None, typer.Option(metavar="N", help=f"Side of the network's input, in pixels.  {default('image_size')}")
]
Epochs = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Cap on every strategy's epochs, and on its schedule's length.  "
        f"[default: none; quick: {PRESETS['quick']['epochs']}]",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="auto|fp32|bf16", help=f"auto is bf16 where the hardware has it, else fp32.  {default('precision')}"
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE", help=f"auto is CUDA, else MPS, else the CPU; or as torch names it.  {default('device')}"
    ),
]
Pretrained = Annotated[
    bool | None,
    typer.Option(
        "--pretrained/--no-pretrained",
        help="Start from ImageNet-1K weights, or from random ones.  "
        "[default: pretrained; quick: no-pretrained, unless --weights-dir is given]",
    ),
]
WeightsDir = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Pretrained weights, named after the model or as torchvision and timm name them.  "
        "[default: theirs, downloaded]",
    ),
]
Normalisation = Annotated[
    str | None,
    typer.Option(
        metavar="auto|study|weights",
        help="Mean and deviation of the pixels: ImageNet's (study) or the weights' "
        f"own; auto is study for the study's four models.  {default('normalisation')}",
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        metavar="crop|pad|stretch",
        help=f"How images that are no squares become some: centre, bars, or distorted.  {default('fit')}",
    ),
]
FrozenNorm = Annotated[
    str | None,
    typer.Option(
        metavar="eval|train",
        help="Whether BatchNorm in frozen blocks keeps its statistics (eval) or goes on "
        f"averaging (train).  {default('frozen_norm')}",
    ),
]
Deterministic = Annotated[
    bool | None,
    typer.Option(
        "--deterministic",
        help="Use only algorithms that give equal bits in every run on one card; slower there, no difference on a CPU.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Where unfinished trials keep their last epoch: a folder, or a store that every machine reaches, as "
        "s3://BUCKET/PATH.  [default: DIR/checkpoints; on a cluster nowhere]",
    ),
]
CheckpointMinutes = Annotated[
    str | None,
    typer.Option(
        metavar="F", help=f"Keep an epoch at most every so often; 0 is every epoch.  {default('checkpoint_minutes')}"
    ),
]
SaveModels = Annotated[
    str | None,
    typer.Option(
        metavar="none|best|all",
        help=f"Which trained models to keep; best is each seed's best on validation.  {default('save_models')}",
    ),
]
SkipBad = Annotated[
    bool | None, typer.Option("--skip-bad", help="Leave images that cannot be used out, and list them.")
]
AllowDuplicates = Annotated[
    bool | None,
    typer.Option("--allow-duplicates", help="Go on with identical files in different classes or parts, and list them."),
]
ValidationShare = Annotated[
    str | None, typer.Option(metavar="F", help=f"Share of the images for validation.  {default('validation_share')}")
]
TestShare = Annotated[
    str | None, typer.Option(metavar="F", help=f"Share of the images for the test.  {default('test_share')}")
]
PerClass = Annotated[str | None, typer.Option(metavar="N", help=f"Drawn faces of each class.  {default('per_class')}")]
Folds = Annotated[
    str | None,
    typer.Option(
        metavar="K",
        help="Divide the images into K folds and train on all but one of them, K times: every image is tested once a "
        "seed.  [default: none, one split]",
    ),
]
Splits = Annotated[
    str | None,
    typer.Option(metavar="1,2", help=f"Seeds of random splits; every trial runs on each of them.  {default('splits')}"),
]
Vary = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help=f"Beside the ordinary trials, as many in which one of {', '.join(VARIED)} alone follows the seeds.  "
        "[default: none]",
    ),
]
TrainFraction = Annotated[
    str | None,
    typer.Option(
        metavar="0.25,1",
        help="Shares of the training images, of every class, each within the next; every trial runs on each of them.  "
        f"{default('train_fraction')}",
    ),
]
ExtraViews = Annotated[
    bool | None,
    typer.Option(
        "--extra-views/--no-extra-views",
        help="Meet the test images in grey, as JPEG of quality 30 and mirrored, too.  [default: extra-views]",
    ),
]
Logger = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help=f"Log epochs and results to {', '.join(LOGGERS)}, too, a run a trial; into DIR, unless "
        "MLFLOW_TRACKING_URI, WANDB_MODE or WANDB_DIR say otherwise.  [default: none]",
    ),
]
