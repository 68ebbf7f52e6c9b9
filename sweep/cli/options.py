"""The options that `sweep` and `trial` share, each said once."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    str | None, typer.Option(help="A folder of class folders, or of train/valid/test folders; demo: drawn faces.")
]
Config = Annotated[Path | None, typer.Option(help="A TOML file with these options' names and [strategy.NAME] tables.")]
Preset = Annotated[str | None, typer.Option(help="paper (with --data) or quick (without).", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="The results folder.  [default: reports/<name of data or preset>]")]
ImageSize = Annotated[int | None, typer.Option(help="Side of the network's input, in pixels.  [default: 224]")]
Epochs = Annotated[int | None, typer.Option(help="Cap on every strategy's epochs and its schedule's length.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32 or bf16; auto is bf16 where the hardware has it.")]
Device = Annotated[str | None, typer.Option(help="auto (CUDA, else MPS, else CPU), or a torch device.")]
Pretrained = Annotated[
    bool | None, typer.Option("--pretrained/--no-pretrained", help="Start from ImageNet-1K weights, or random ones.")
]
WeightsDir = Annotated[
    Path | None, typer.Option(help="Pretrained weights, named after the model or as torchvision and timm name them.")
]
Normalisation = Annotated[str | None, typer.Option(help="auto, study (ImageNet's) or weights (their own).")]
FrozenNorm = Annotated[str | None, typer.Option(help="eval or train: BatchNorm in frozen blocks.")]
SaveModels = Annotated[str | None, typer.Option(help="none, best (per seed, on validation) or all.")]
SkipBad = Annotated[bool | None, typer.Option("--skip-bad", help="Leave bad images out and list them.")]
AllowDuplicates = Annotated[
    bool | None, typer.Option("--allow-duplicates", help="Go on with identical files across classes or parts.")
]
ValidationShare = Annotated[float | None, typer.Option(help="Share of the images for validation.  [default: 0.15]")]
TestShare = Annotated[float | None, typer.Option(help="Share of the images for the test.  [default: 0.15]")]
PerClass = Annotated[int | None, typer.Option(help="Drawn faces a class.  [default: 54]")]
