"""Anime-like faces of six emotions, drawn from parameters, so that the whole job can run where no images are.

    animefer data demo --out DIR --per-class 57 --seed 42

    emotion ──▶ RECIPES ──▶ Expression ─┐
                                        ├─▶ Face ──▶ render ──▶ pixels ──▶ JPEG or PNG
    chance ───▶ Looks, Pose ────────────┘

Only the expression knows the emotion. Hair, colours, style, pose, background, image size and file format are
drawn without it, so that nothing but the face gives an emotion away. Recipes overlap as people's do, and mix:
Happy and Embarrassed share smiles and blushes, Sad and Scared share brows and tears; Psycho-Crazy stands apart.

Faces are described in units of half a head's width, y downwards, the origin in the middle of the head.
"""

import colorsys
import hashlib
import io
import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from animefer_core.errors import InputError
from animefer_core.record import write_atomically
from animefer_core.seeds import stream

Points = npt.NDArray[np.float64]  # (points, 2): x, y
Colour = tuple[int, int, int]
Spread = tuple[float, float] | Mapping[Any, float]
"""How a parameter is drawn: uniformly from a range, or one of the keys by their weights."""

DRAWING_VERSION = 1  # raised by whoever changes what is drawn: an older folder is then no longer the same set
MANIFEST = ".faces.json"
FRAME = 2.45  # units across a square image at scale 1: the head fills four fifths of it
OVERSAMPLING = 2
BLACK, WHITE = (20, 20, 20), (255, 255, 255)


# ---- What is drawn -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where the head is and how it is held."""

    tilt: float
    """Rotation in the picture's plane, in degrees."""
    turn: float
    """From -1 (to the picture's left) to 1."""
    nod: float
    """From -1 (up) to 1 (down)."""
    shift: tuple[float, float]
    """Displacement of the head in units, x and y."""
    scale: float
    """1: the head fills four fifths of the image's width."""


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Everything of a picture that has nothing to do with the emotion. Colours are RGB."""

    style: str
    """"colour", "line" or "screentone"."""
    hair: str
    """A key of `HAIR`."""
    fringe: str
    """A key of `FRINGES`."""
    head: str
    """A key of `HEADS`."""
    eyes: str
    """A key of `EYES`."""
    accessory: str
    """"none", "ribbon", "clip" or "glasses"."""
    background: str
    """"plain", "gradient", "rays", "dots" or "stripes"."""
    side: int
    """-1 or 1: on which side lies what is not symmetric."""
    hair_colour: Colour
    skin: Colour
    iris: Colour
    cloth: Colour
    ground: tuple[Colour, Colour]
    """The background's two colours."""
    line: float
    """Width of the outlines, in units."""
    dots: float
    """Distance of screentone dots, in pixels of the finished image."""
    size: tuple[int, int]
    """Width and height of the finished image, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Expression:
    """Everything of a picture that shows the emotion. Lengths in units."""

    brow_slope: float
    """Rise of a brow from its inner to its outer end: positive is angry, negative is worried."""
    brow_height: float
    """How far the brows lie above their usual place."""
    brow_bend: float
    """Height of a brow's arch."""
    brow_offset: float
    """How much higher one brow lies than the other."""
    eyes: str
    """"open", "ring", "spiral", "happy" (closed, arched up), "closed" (arched down) or "squeezed"."""
    eye_open: float
    """1: fully open; below, the upper lid comes down; above, the eye grows."""
    lid_slope: float
    """How much lower the lid's inner end is than its outer end."""
    iris_size: float
    """Radius of the iris as a share of the eye's half-height."""
    gaze: float
    """Sideways look, as a share of the room in the eye."""
    gaze_down: float
    """Downward look, likewise."""
    mouth: str
    """A key of `MOUTHS`."""
    mouth_width: float
    """Half the mouth's width."""
    mouth_open: float
    """How far the mouth is open or bent."""
    blush: float
    """Strength of the blush, 0 to 1."""
    tears: str
    """"none", "drops" or "streams"."""
    sweat: int
    """Number of sweat drops."""
    vein: bool
    """Whether the cross-shaped vein of anger throbs."""
    gloom: bool
    """Whether lines of horror hang over the forehead."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """All parameters of one picture."""

    looks: Looks
    pose: Pose
    expression: Expression


RECIPES: Mapping[str, Mapping[str, Spread]] = {
    "Angry": {
        "brow_slope": (0.14, 0.42),
        "brow_height": (-0.10, 0.0),
        "brow_bend": (-0.04, 0.06),
        "brow_offset": (-0.03, 0.03),
        "eyes": {"open": 0.92, "closed": 0.04, "squeezed": 0.04},
        "eye_open": (0.6, 1.05),
        "lid_slope": (0.04, 0.34),
        "iris_size": (0.6, 0.85),
        "gaze": (-0.4, 0.4),
        "gaze_down": (-0.2, 0.3),
        "mouth": {"frown": 0.3, "grit": 0.22, "shout": 0.25, "wave": 0.1, "grin": 0.07, "small_o": 0.06},
        "mouth_width": (0.26, 0.48),
        "mouth_open": (0.14, 0.28),
        "blush": {0.0: 0.6, 0.4: 0.2, 0.8: 0.2},
        "tears": {"none": 0.95, "drops": 0.05},
        "sweat": {0: 0.85, 1: 0.15},
        "vein": {True: 0.3, False: 0.7},
        "gloom": {True: 0.08, False: 0.92},
    },
    "Embarrassed": {
        "brow_slope": (-0.34, -0.02),
        "brow_height": (0.0, 0.14),
        "brow_bend": (0.0, 0.08),
        "brow_offset": (-0.05, 0.05),
        "eyes": {"open": 0.74, "happy": 0.06, "closed": 0.08, "squeezed": 0.12},
        "eye_open": (0.75, 1.05),
        "lid_slope": (-0.16, 0.04),
        "iris_size": (0.6, 0.9),
        "gaze": {-0.9: 0.37, -0.5: 0.05, 0.0: 0.16, 0.5: 0.05, 0.9: 0.37},
        "gaze_down": (0.0, 0.6),
        "mouth": {"wave": 0.36, "smile": 0.26, "small_o": 0.12, "open_smile": 0.14, "frown": 0.12},
        "mouth_width": (0.2, 0.4),
        "mouth_open": (0.1, 0.2),
        "blush": {0.4: 0.05, 0.8: 0.3, 1.0: 0.65},
        "tears": {"none": 0.88, "drops": 0.12},
        "sweat": {0: 0.5, 1: 0.35, 2: 0.15},
        "vein": {True: 0.03, False: 0.97},
        "gloom": {True: 0.03, False: 0.97},
    },
    "Happy": {
        "brow_slope": (-0.12, 0.06),
        "brow_height": (0.02, 0.18),
        "brow_bend": (0.05, 0.14),
        "brow_offset": (-0.03, 0.03),
        "eyes": {"open": 0.58, "happy": 0.4, "squeezed": 0.02},
        "eye_open": (0.85, 1.1),
        "lid_slope": (-0.06, 0.04),
        "iris_size": (0.65, 0.92),
        "gaze": {-0.9: 0.05, -0.3: 0.2, 0.0: 0.5, 0.3: 0.2, 0.9: 0.05},
        "gaze_down": (-0.2, 0.3),
        "mouth": {"smile": 0.34, "open_smile": 0.58, "grin": 0.08},
        "mouth_width": (0.28, 0.52),
        "mouth_open": (0.15, 0.3),
        "blush": {0.0: 0.4, 0.4: 0.22, 0.8: 0.22, 1.0: 0.16},
        "tears": {"none": 0.93, "drops": 0.07},
        "sweat": {0: 0.88, 1: 0.12},
        "vein": {False: 1.0},
        "gloom": {False: 1.0},
    },
    "Psycho-Crazy": {
        "brow_slope": (-0.1, 0.34),
        "brow_height": (-0.04, 0.2),
        "brow_bend": (-0.04, 0.1),
        "brow_offset": (-0.14, 0.14),
        "eyes": {"open": 0.5, "ring": 0.28, "spiral": 0.22},
        "eye_open": (1.0, 1.2),
        "lid_slope": (-0.1, 0.14),
        "iris_size": (0.14, 0.32),
        "gaze": (-0.3, 0.3),
        "gaze_down": (-0.3, 0.3),
        "mouth": {"grin": 0.74, "open_smile": 0.26},
        "mouth_width": (0.47, 0.62),
        "mouth_open": (0.22, 0.34),
        "blush": {0.0: 0.6, 0.4: 0.2, 0.8: 0.2},
        "tears": {"none": 0.95, "drops": 0.05},
        "sweat": {0: 0.85, 1: 0.15},
        "vein": {True: 0.1, False: 0.9},
        "gloom": {True: 0.4, False: 0.6},
    },
    "Sad": {
        "brow_slope": (-0.38, -0.12),
        "brow_height": (-0.06, 0.08),
        "brow_bend": (-0.02, 0.06),
        "brow_offset": (-0.03, 0.03),
        "eyes": {"open": 0.64, "closed": 0.36},
        "eye_open": (0.55, 0.9),
        "lid_slope": (-0.3, -0.1),
        "iris_size": (0.6, 0.9),
        "gaze": (-0.5, 0.5),
        "gaze_down": (0.1, 0.8),
        "mouth": {"frown": 0.58, "wave": 0.16, "shout": 0.12, "small_o": 0.08, "tremble": 0.06},
        "mouth_width": (0.2, 0.4),
        "mouth_open": (0.1, 0.22),
        "blush": {0.0: 0.5, 0.4: 0.2, 0.8: 0.3},
        "tears": {"none": 0.36, "drops": 0.34, "streams": 0.3},
        "sweat": {0: 0.85, 1: 0.15},
        "vein": {False: 1.0},
        "gloom": {True: 0.1, False: 0.9},
    },
    "Scared": {
        "brow_slope": (-0.34, -0.1),
        "brow_height": (0.04, 0.22),
        "brow_bend": (0.0, 0.1),
        "brow_offset": (-0.04, 0.04),
        "eyes": {"open": 0.92, "squeezed": 0.08},
        "eye_open": (0.98, 1.2),
        "lid_slope": (-0.14, 0.02),
        "iris_size": (0.26, 0.56),
        "gaze": (-0.5, 0.5),
        "gaze_down": (-0.3, 0.3),
        "mouth": {"tremble": 0.55, "shout": 0.14, "small_o": 0.14, "wave": 0.1, "frown": 0.07},
        "mouth_width": (0.26, 0.45),
        "mouth_open": (0.14, 0.28),
        "blush": {0.0: 0.75, 0.4: 0.15, 0.8: 0.1},
        "tears": {"none": 0.72, "drops": 0.28},
        "sweat": {0: 0.3, 1: 0.3, 2: 0.25, 3: 0.15},
        "vein": {False: 1.0},
        "gloom": {True: 0.45, False: 0.55},
    },
}
EMOTIONS: tuple[str, ...] = tuple(sorted(RECIPES))

# Feelings are seldom pure: now and then a feature is drawn as a neighbouring emotion would show it.
MIXED = 0.1
FEATURES = (
    ("brow_slope", "brow_height", "brow_bend", "brow_offset"),
    ("eyes", "eye_open", "lid_slope", "iris_size", "gaze", "gaze_down"),
    ("mouth", "mouth_width", "mouth_open"),
    ("blush", "tears", "sweat", "vein", "gloom"),
)
NEIGHBOURS: Mapping[str, tuple[str, ...]] = {
    "Angry": ("Sad", "Embarrassed"),
    "Embarrassed": ("Happy", "Sad"),
    "Happy": ("Embarrassed",),
    "Psycho-Crazy": ("Psycho-Crazy",),
    "Sad": ("Scared", "Embarrassed"),
    "Scared": ("Sad",),
}

POSE: Mapping[str, Spread] = {
    "tilt": (-9.0, 9.0),
    "turn": (-1.0, 1.0),
    "nod": (-0.5, 0.8),
    "scale": (0.92, 1.08),
}
LOOKS: Mapping[str, Spread] = {
    "style": {"colour": 0.5, "line": 0.22, "screentone": 0.28},
    "accessory": {"none": 0.6, "ribbon": 0.16, "clip": 0.16, "glasses": 0.08},
    "background": {"plain": 0.3, "gradient": 0.25, "rays": 0.15, "dots": 0.15, "stripes": 0.15},
    "side": {-1: 0.5, 1: 0.5},
    "line": (0.03, 0.045),
    "dots": (3.2, 5.0),
}


def _points(text: str) -> Points:
    return np.array([[float(number) for number in pair.split(",")] for pair in text.split()])


# Right half of what lies behind the head, from the crown down; the left half mirrors it.
HAIR: Mapping[str, Points] = {
    "crop": _points("0,-1.2 .6,-1.1 1,-.7 1.08,-.2 1,.2 0,.3"),
    "short": _points("0,-1.22 .7,-1.1 1.12,-.5 1.14,.2 .95,.7 0,.7"),
    "bob": _points("0,-1.24 .75,-1.1 1.18,-.4 1.24,.4 1.16,.95 .7,1.02 0,.9"),
    "long": _points("0,-1.24 .75,-1.1 1.15,-.4 1.2,.5 1.3,1.2 1.35,2.2 0,2.2"),
    "wavy": _points("0,-1.26 .8,-1.12 1.22,-.5 1.1,-.1 1.3,.25 1.14,.6 1.4,1 1.2,2.2 0,2.2"),
    "spiky": _points(
        "0,-1.2 .2,-1.5 .42,-1.15 .8,-1.35 .85,-.95 1.3,-.95 1.1,-.55 1.45,-.35 1.12,-.1 1.4,.3 1.08,.35 1.15,.7 0,.6"
    ),
    "shaggy": _points("0,-1.24 .4,-1.3 .75,-1.1 1.15,-.5 1.35,.1 1.16,.1 1.4,.7 1.14,.6 1.3,1.2 .95,1 .8,1.3 0,1"),
    "twintails": _points("0,-1.22 .7,-1.1 1.1,-.5 1.08,.2 .9,.5 0,.5"),
    "ponytail": _points("0,-1.24 .7,-1.1 1.1,-.5 1.08,.2 .9,.5 0,.5"),
    "buns": _points("0,-1.22 .7,-1.1 1.1,-.5 1.1,.2 .92,.6 0,.6"),
    "drills": _points("0,-1.22 .7,-1.1 1.1,-.5 1.08,.1 .9,.4 0,.5"),
    "hime": _points("0,-1.24 .35,-1.22 .75,-1.08 1.02,-.75 1.14,-.3 1.16,2.2 0,2.2"),
}
SHARP_HAIR = ("spiky", "shaggy", "hime")
# What hangs from the hair on both sides, or on one (ponytail).
TAILS: Mapping[str, Points] = {
    "twintails": _points(".9,-.85 1.3,-1 1.55,-.3 1.5,.6 1.25,1.4 1.22,.5 1,-.3"),
    "ponytail": _points(".3,-1.15 .9,-1.5 1.45,-.9 1.5,.1 1.25,1 1.25,.1 .95,-.6"),
    "buns": _points(".45,-1.2 .6,-1.5 .95,-1.5 1.15,-1.2 1.05,-.9 .7,-.9"),
    "drills": _points(".95,-.2 1.4,0 1.25,.25 1.5,.4 1.28,.65 1.42,.85 1.15,1.3 1,.8 1.1,.5 .92,.3"),
}
# Tips of the locks over the forehead, from left to right; between two tips the hair rises in an arch.
FRINGES: Mapping[str, Points] = {
    "straight": _points("-1.06,.5 -.88,-.1 -.55,-.2 -.2,-.16 .16,-.22 .5,-.16 .88,-.1 1.06,.5"),
    "parted": _points("-1.08,.6 -.86,.02 -.62,-.12 -.36,-.35 0,-.85 .36,-.35 .62,-.12 .86,.02 1.08,.6"),
    "swept": _points("-1.06,.45 -.88,-.2 -.52,-.36 -.1,-.3 .3,-.22 .66,-.1 .92,.05 1.08,.5"),
    "spiky": _points("-1.08,.35 -.8,0 -.46,-.26 -.12,-.06 .22,-.28 .54,-.02 .84,-.2 1.08,.35"),
    "central": _points("-1.06,.7 -.9,-.02 -.66,-.26 -.32,-.3 .04,.06 .36,-.3 .68,-.26 .9,-.02 1.06,.7"),
    "high": _points("-1.06,.2 -.88,-.25 -.6,-.48 -.2,-.54 .2,-.54 .6,-.48 .88,-.25 1.06,.2"),
    "curtain": _points("-1.1,.9 -.95,.3 -.8,-.02 -.55,-.3 0,-.88 .55,-.3 .8,-.02 .95,.3 1.1,.9"),
}
# Half-width of the jaw at y = 0.62, half-width of the chin at 0.92, and y of the chin.
HEADS: Mapping[str, tuple[float, float, float]] = {
    "round": (0.78, 0.38, 1.06),
    "oval": (0.72, 0.34, 1.1),
    "pointed": (0.66, 0.28, 1.12),
    "square": (0.8, 0.46, 1.1),
}
# Half-width and half-height of an eye, and how much higher its outer corner lies.
EYES: Mapping[str, tuple[float, float, float]] = {
    "round": (0.28, 0.33, 0.0),
    "tall": (0.26, 0.37, 0.02),
    "almond": (0.32, 0.29, 0.04),
    "cat": (0.31, 0.3, 0.08),
    "droopy": (0.3, 0.31, -0.06),
}
TEAR_STREAM = _points(".34,.36 .34,.6 .4,.9 .62,.82 .6,.6 .58,.36")
DROP = _points("0,-1.7 .55,-.4 .85,.3 .5,.9 0,1.05")
EYE_X, EYE_Y, MOUTH_Y = 0.44, 0.12, 0.68
HAIR_HUES = (0.02, 0.06, 0.09, 0.12, 0.15, 0.3, 0.45, 0.55, 0.62, 0.75, 0.85, 0.95)
SIZES = (128, 144, 160, 176, 192)


def draw_parameters(emotion: str, rng: np.random.Generator) -> Face:
    """Return the parameters of a random face showing `emotion`, one of `EMOTIONS`."""
    return Face(
        looks=_draw_looks(rng),
        pose=Pose(**_draw(POSE, rng), shift=(float(rng.uniform(-0.07, 0.07)), float(rng.uniform(-0.07, 0.07)))),
        expression=_draw_expression(emotion, rng),
    )


def _draw_expression(emotion: str, rng: np.random.Generator) -> Expression:
    recipe: dict[str, Spread] = {}
    for feature in FEATURES:
        source = str(rng.choice(NEIGHBOURS[emotion])) if rng.random() < MIXED else emotion
        recipe |= {name: RECIPES[source][name] for name in feature}
    return Expression(**_draw(recipe, rng))


def _draw(spreads: Mapping[str, Spread], rng: np.random.Generator) -> dict[str, Any]:
    return {name: _draw_one(spread, rng) for name, spread in spreads.items()}


def _draw_one(spread: Spread, rng: np.random.Generator) -> Any:
    if isinstance(spread, tuple):
        return float(rng.uniform(*spread))
    weights = np.array(list(spread.values()))
    return list(spread)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _draw_looks(rng: np.random.Generator) -> Looks:
    width = int(rng.choice(SIZES))
    height = width if rng.random() < 0.75 else round(width * rng.uniform(0.9, 1.12))
    return Looks(
        **_draw(LOOKS, rng),
        hair=str(rng.choice(list(HAIR))),
        fringe=str(rng.choice(list(FRINGES))),
        head=str(rng.choice(list(HEADS))),
        eyes=str(rng.choice(list(EYES))),
        hair_colour=_hsv(rng.choice(HAIR_HUES) + rng.normal(0, 0.015), rng.uniform(0.1, 0.75), rng.uniform(0.2, 0.98)),
        skin=_hsv(rng.uniform(0.045, 0.085), rng.uniform(0.1, 0.4), rng.uniform(0.78, 1.0)),
        iris=_hsv(rng.random(), rng.uniform(0.45, 0.85), rng.uniform(0.45, 0.9)),
        cloth=_hsv(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.3, 0.95)),
        ground=(
            _hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.5, 1.0)),
            _hsv(rng.random(), rng.uniform(0.05, 0.5), rng.uniform(0.6, 1.0)),
        ),
        size=(width, height),
    )


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


# ---- Colours -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The colours of one picture, in its style."""

    ink: Colour
    skin: Colour
    skin_shade: Colour
    hair: Colour
    hair_shine: Colour
    iris: Colour
    iris_light: Colour
    mouth: Colour
    tongue: Colour
    blush: Colour
    blush_line: Colour
    water: Colour
    vein: Colour
    cloth: Colour
    ground: tuple[Colour, Colour]


def _palette(looks: Looks) -> Palette:
    """Return flat colours, or greys that become dots (screentone), or black and white alone (line)."""
    if looks.style == "colour":
        return Palette(
            ink=_mix(BLACK, looks.hair_colour, 0.2),
            skin=looks.skin,
            skin_shade=_mix(looks.skin, (170, 90, 90), 0.3),
            hair=looks.hair_colour,
            hair_shine=_mix(looks.hair_colour, WHITE, 0.35),
            iris=_mix(looks.iris, BLACK, 0.25),
            iris_light=_mix(looks.iris, WHITE, 0.45),
            mouth=(140, 45, 55),
            tongue=(225, 120, 120),
            blush=_mix(looks.skin, (240, 70, 90), 0.45),
            blush_line=(205, 65, 80),
            water=(190, 225, 250),
            vein=(205, 40, 50),
            cloth=looks.cloth,
            ground=looks.ground,
        )
    toned = looks.style == "screentone"

    def grey(level: int) -> Colour:
        return (level, level, level) if toned else WHITE

    hair = _luma(looks.hair_colour)
    hair_colour = BLACK if hair < 90 else WHITE if hair > 200 else grey(60 + int(0.7 * hair))
    return Palette(
        ink=BLACK,
        skin=WHITE,
        skin_shade=grey(215),
        hair=hair_colour,
        hair_shine=WHITE,
        iris=grey(40 + _luma(looks.iris) // 2),
        iris_light=grey(150 + _luma(looks.iris) // 3),
        mouth=(60, 60, 60) if toned else BLACK,
        tongue=grey(190),
        blush=grey(215),
        blush_line=BLACK,
        water=WHITE,
        vein=BLACK,
        cloth=grey(90 + _luma(looks.cloth) // 2),
        ground=(grey(90 + int(0.6 * _luma(looks.ground[0]))), grey(100 + int(0.6 * _luma(looks.ground[1])))),
    )


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _luma(colour: Colour) -> int:
    return round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2])


# ---- The pen -------------------------------------------------------------------------------------------------


class Pen:
    """Draws in a face's own coordinates: turned, nodded, tilted, scaled and shifted as the pose says."""

    def __init__(self, image: Image.Image, face: Face, palette: Palette) -> None:
        self.draw = ImageDraw.Draw(image)
        self.pose = face.pose
        self.line = face.looks.line
        self.ink = palette.ink
        self.unit = min(image.size) / FRAME * face.pose.scale
        self.middle = np.array(image.size) / 2 + self.unit * _at(0, 0.06, face.pose.shift)

    def place(self, points: Points) -> list[tuple[float, float]]:
        """Return pixel positions (points, 2): turning and nodding move the middle of the head most, its rim not."""
        x, y = points[:, 0], points[:, 1]
        x = x + 0.16 * self.pose.turn * np.clip(1 - x**2, 0, 1)
        y = y + 0.1 * self.pose.nod * np.clip(1 - y**2, 0, 1)
        angle = math.radians(self.pose.tilt)
        across = x * math.cos(angle) - y * math.sin(angle)
        down = x * math.sin(angle) + y * math.cos(angle)
        placed = np.stack([across, down], axis=1) * self.unit + self.middle
        return [(across, down) for across, down in placed.tolist()]

    def fill(self, points: Points, colour: Colour, line: float | None = None) -> None:
        """Fill an outline and ink its edge; `line` is the edge's width in units, 0 for none."""
        placed = self.place(points)
        self.draw.polygon(placed, fill=colour)
        width = self.line if line is None else line
        if width:
            self._line([*placed, placed[0]], width, self.ink)

    def stroke(self, points: Points, width: float, colour: Colour | None = None) -> None:
        """Draw a line with round ends, `width` units wide, in ink unless another colour is given."""
        self._line(self.place(points), width, colour or self.ink)

    def _line(self, placed: list[tuple[float, float]], width: float, colour: Colour) -> None:
        pixels = max(1, round(width * self.unit))
        # Rounded joints take most of the time of drawing, and cannot be seen on thin lines.
        self.draw.line(placed, fill=colour, width=pixels, joint="curve" if pixels > 7 else None)
        radius = pixels / 2 - 0.5
        for x, y in (placed[0], placed[-1]):
            self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _smooth(points: npt.ArrayLike, closed: bool = False) -> Points:
    """Return a Catmull-Rom curve through the points, six samples a span (Catmull and Rom, 1974)."""
    knots = np.asarray(points, dtype=np.float64)
    ends = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    knots = np.vstack([ends[0], knots, ends[1]])
    before, start, end, after = (knots[i : len(knots) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, 6, endpoint=False)[None, :, None]
    curve = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    return np.vstack([curve.reshape(-1, 2), end[-1]])


def _at(x: float, y: float, points: npt.ArrayLike) -> Points:
    moved: Points = np.asarray(points, dtype=np.float64) + np.array([x, y])
    return moved


def _mirrored(half: npt.ArrayLike) -> Points:
    """Return a closed outline from its right half; the half's first and last points lie on the middle line."""
    right = np.asarray(half, dtype=np.float64)
    return np.vstack([right, right[-2:0:-1] * (-1, 1)])


def _ellipse(x: float, y: float, across: float, down: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([x + across * np.cos(angle), y + down * np.sin(angle)], axis=1)


def _wave(start: float, end: float, y: float, height: float, waves: float) -> Points:
    x, phase = np.linspace(start, end, 24), np.linspace(0, 2 * np.pi * waves, 24)
    return np.stack([x, y + height * np.sin(phase)], axis=1)


# ---- The picture, from the back to the front -----------------------------------------------------------------


def render(face: Face, size: tuple[int, int] | None = None) -> Image.Image:
    """Return the face as an RGB image of `size` (width, height) pixels; by default of the size in its looks."""
    width, height = size or face.looks.size
    palette = _palette(face.looks)
    image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), palette.ground[0])
    _background(image, face.looks, palette)
    pen = Pen(image, face, palette)
    _hair_behind(pen, face.looks, palette)
    _head(pen, face.looks, palette)
    _blush(pen, face, palette)
    if face.expression.gloom:
        _gloom(pen)
    for side in (-1, 1):
        _eye(pen, face, palette, side)
    MOUTHS[face.expression.mouth](pen, palette, face.expression.mouth_width, face.expression.mouth_open)
    _nose(pen)
    _tears(pen, face, palette)
    _fringe(pen, face.looks, palette)
    _accessory(pen, face.looks, palette)
    for side in (-1, 1):
        _brow(pen, face, palette, side)
    _marks(pen, face, palette)
    if face.looks.style == "screentone":
        image = _screentone(image, face.looks.dots * OVERSAMPLING)
    return image.resize((width, height), Image.Resampling.BOX)


def _screentone(image: Image.Image, distance: float) -> Image.Image:
    """Turn greys between ink and paper into rows of dots at 45 degrees, the darker the larger."""
    grey = np.asarray(image.convert("L"))
    down, across = (np.cos(np.arange(length) * np.pi * math.sqrt(2) / distance) for length in grey.shape)
    screen = 127.5 * (1 + np.outer(down, across))
    inked = np.where(grey < 45, BLACK[0], np.where((grey < 250) & (screen > grey), BLACK[0] + 40, 255))
    return Image.fromarray(inked.astype(np.uint8)).convert("RGB")


def _background(image: Image.Image, looks: Looks, palette: Palette) -> None:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    first, second = palette.ground
    ink = palette.ink if looks.style == "line" else second
    if looks.background == "gradient":
        for y in range(0, height, 8):
            draw.rectangle((0, y, width, y + 8), fill=_mix(first, second, y / height))
    elif looks.background == "rays":
        for angle in np.arange(0, 2 * np.pi, np.pi / 14):
            rim = [(width / 2 + width * math.cos(a), height / 2 + width * math.sin(a)) for a in (angle, angle + 0.08)]
            draw.polygon([(width / 2, height / 2), *rim], fill=ink)
    elif looks.background == "dots":
        step = width // 9
        for row, y in enumerate(range(0, height + step, step)):
            for x in range(-(row % 2) * step // 2, width + step, step):
                draw.ellipse((x, y, x + step // 3, y + step // 3), fill=ink)
    elif looks.background == "stripes":
        for x in range(-height, width, width // 7):
            draw.line([(x, height), (x + height, 0)], fill=ink, width=width // (60 if looks.style == "line" else 18))


def _hair_behind(pen: Pen, looks: Looks, palette: Palette) -> None:
    if looks.hair in TAILS:
        sides = (looks.side,) if looks.hair == "ponytail" else (-1, 1)
        for side in sides:
            pen.fill(_smooth(TAILS[looks.hair] * (side, 1), closed=True), palette.hair)
    outline = _mirrored(HAIR[looks.hair])
    pen.fill(outline if looks.hair in SHARP_HAIR else _smooth(outline, closed=True), palette.hair)


def _head(pen: Pen, looks: Looks, palette: Palette) -> None:
    jaw, chin, bottom = HEADS[looks.head]
    pen.fill(np.array([(-1.5, 2.2), (-1.0, 1.42), (-0.3, 1.28), (0.3, 1.28), (1.0, 1.42), (1.5, 2.2)]), palette.cloth)
    pen.fill(np.array([(-0.3, 0.8), (-0.32, 1.3), (0, 1.5), (0.32, 1.3), (0.3, 0.8)]), palette.skin_shade)
    for side in (-1, 1):
        pen.fill(_ellipse(side * 0.97, 0.22, 0.13, 0.2), palette.skin)
    half = [(0, -1.0), (0.6, -0.85), (0.93, -0.4), (0.96, 0.15), (jaw, 0.66), (chin, 0.94), (0, bottom)]
    pen.fill(_smooth(_mirrored(half), closed=True), palette.skin)
    pen.fill(_at(0, 0.07, _fringe_outline(looks) * (0.86, 0.96)), palette.skin_shade, line=0)


def _fringe_tips(looks: Looks) -> Points:
    return FRINGES[looks.fringe] if looks.side > 0 else FRINGES[looks.fringe][::-1] * (-1, 1)


def _fringe_outline(looks: Looks) -> Points:
    """The locks' edge from left to right, closed over the crown."""
    t = np.linspace(0, 1, 6, endpoint=False)[:, None]
    tips = _fringe_tips(looks)
    locks = []
    for left, right in itertools.pairwise(tips):
        arch = _at(0, -0.3, (left + right) / 2)
        locks.append((1 - t) ** 2 * left + 2 * t * (1 - t) * arch + t**2 * right)
    crown = _smooth([(1.1, 0.0), (1.08, -0.5), (0.75, -1.05), (0, -1.24), (-0.75, -1.05), (-1.08, -0.5), (-1.1, 0.0)])
    return np.vstack([*locks, tips[-1:], crown])


def _fringe(pen: Pen, looks: Looks, palette: Palette) -> None:
    pen.fill(_fringe_outline(looks), palette.hair)
    for left, right in itertools.pairwise(_fringe_tips(looks)[1:-1]):
        x, y = (left + right) / 2
        pen.stroke(_smooth([(x, y - 0.12), (0.96 * x, y - 0.2), (0.85 * x, y - 0.32)]), 0.022)
    if palette.hair != palette.hair_shine:
        x = np.linspace(-0.62, 0.62, 13)
        upper = np.stack([x, -0.98 + 0.25 * x**2], axis=1)
        lower = np.stack([x, -0.84 + 0.1 * x**2 + 0.06 * (np.arange(13) % 2)], axis=1)
        pen.fill(np.vstack([upper, lower[::-1]]), palette.hair_shine, line=0)


def _accessory(pen: Pen, looks: Looks, palette: Palette) -> None:
    side = looks.side
    if looks.accessory == "ribbon":
        for way in (-1, 1):
            loop = [(side * 0.62, -0.98), (side * 0.62 + way * 0.36, -1.22), (side * 0.62 + way * 0.36, -0.78)]
            pen.fill(np.array(loop), palette.cloth)
        pen.fill(_ellipse(side * 0.62, -0.98, 0.09, 0.11), palette.cloth)
    elif looks.accessory == "clip":
        for y in (-0.72, -0.6):
            pen.fill(_ellipse(side * 0.66, y, 0.17, 0.045), palette.cloth)
    elif looks.accessory == "glasses":
        for way in (-1, 1):
            pen.stroke(_smooth(_ellipse(way * 0.45, 0.15, 0.41, 0.4), closed=True), 0.035)
        pen.stroke(np.array([(-0.06, 0.1), (0.06, 0.1)]), 0.035)


def _nose(pen: Pen) -> None:
    pen.stroke(np.array([(0.02, 0.4), (-0.02, 0.46), (0.03, 0.47)]), 0.03)


def _blush(pen: Pen, face: Face, palette: Palette) -> None:
    strength = face.expression.blush
    if strength == 0:
        return
    for side in (-1, 1):
        pen.fill(_ellipse(side * 0.6, 0.52, 0.2 + 0.1 * strength, 0.08 + 0.06 * strength), palette.blush, line=0)
        if strength > 0.5:
            for x in np.linspace(-0.16, 0.16, 3 if strength < 1 else 4) + side * 0.6:
                pen.stroke(np.array([(x - 0.05, 0.6), (x + 0.05, 0.44)]), 0.035, palette.blush_line)
    if strength == 1:
        for x in (-0.14, 0.0, 0.14):
            pen.stroke(np.array([(x - 0.04, 0.52), (x + 0.04, 0.38)]), 0.03, palette.blush_line)


def _gloom(pen: Pen) -> None:
    for place, x in enumerate(np.linspace(-0.85, 0.85, 15)):
        pen.stroke(np.array([(x, -0.9), (x, -0.12 - 0.12 * (place % 3))]), 0.028)


def _tears(pen: Pen, face: Face, palette: Palette) -> None:
    if face.expression.tears == "drops":
        for side in (-1, 1):
            _drop(pen, side * 0.68, 0.5, 0.13, palette.water)
    elif face.expression.tears == "streams":
        for side in (-1, 1):
            pen.fill(_smooth(TEAR_STREAM * (side, 1), closed=True), palette.water)


def _drop(pen: Pen, x: float, y: float, size: float, colour: Colour) -> None:
    pen.fill(_at(x, y, size * _mirrored(DROP)), colour)


def _marks(pen: Pen, face: Face, palette: Palette) -> None:
    """Sweat and the vein lie over the hair, as if added by the letterer."""
    side = face.looks.side
    for x, y, size in ((0.96, -0.1, 0.16), (-0.98, -0.3, 0.13), (0.72, -0.62, 0.11))[: face.expression.sweat]:
        _drop(pen, side * x, y, size, palette.water)
    if face.expression.vein:
        for way in (-1, 1):
            for tilt in (-1, 1):
                corner = [(way * 0.06, tilt * 0.24), (way * 0.07, tilt * 0.07), (way * 0.24, tilt * 0.06)]
                points = _at(-side * 0.6, -0.72, _smooth(corner))
                pen.stroke(points, 0.12, palette.skin)
                pen.stroke(points, 0.065, palette.vein)


# ---- Eyes and brows ------------------------------------------------------------------------------------------


def _brow(pen: Pen, face: Face, palette: Palette, side: int) -> None:
    """Brows are drawn over the hair with a pale rim, as manga does, so that they can always be read."""
    expression = face.expression
    y = EYE_Y - 0.46 - expression.brow_height - expression.brow_offset * side / 2
    slope = expression.brow_slope
    inner, middle, outer = (0.14, y + slope / 2), (0.44, y - expression.brow_bend), (0.74, y - slope / 2)
    points = _smooth([(side * x, y) for x, y in (inner, middle, outer)])
    pen.stroke(points, 0.16, palette.skin)
    pen.stroke(points, 0.11)


def _eye(pen: Pen, face: Face, palette: Palette, side: int) -> None:
    kind = face.expression.eyes
    if kind in ("open", "ring", "spiral"):
        _open_eye(pen, face, palette, side)
        return
    if kind == "squeezed":
        shape = [(0.26 * side, -0.14), (-0.2 * side, 0.04), (0.26 * side, 0.2)]
        pen.stroke(_at(side * EYE_X, EYE_Y, shape), 0.085)
        return
    bend = -0.2 if kind == "happy" else 0.14
    arc = [(-0.3, 0.0), (-0.18, 0.75 * bend), (0, bend), (0.18, 0.75 * bend), (0.3, 0.0)]
    pen.stroke(_at(side * EYE_X, EYE_Y + 0.06, _smooth(arc)), 0.085)
    if kind == "closed":
        for x in (0.2, 0.3):
            lash = [(side * x, 0.05), (side * (x + 0.1), 0.14)]
            pen.stroke(_at(side * EYE_X, EYE_Y + 0.06, lash), 0.045)


def _open_eye(pen: Pen, face: Face, palette: Palette, side: int) -> None:
    expression = face.expression
    across, down, lift = EYES[face.looks.eyes]
    growth = max(1.0, expression.eye_open)
    across, down = across * growth, down * growth
    t = np.linspace(-1, 1, 19)
    outward = t * side
    corner = EYE_Y - lift * outward
    lid = corner - down * (2 * min(1.0, expression.eye_open) - 1) - expression.lid_slope * outward
    lower = corner + 0.85 * down * (1 - np.abs(t) ** 2.6)
    upper = np.minimum(np.maximum(corner - down * (1 - np.abs(t) ** 2.4), lid), lower)
    x = side * EYE_X + across * t
    top, bottom = np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)
    pen.fill(np.vstack([top, bottom[::-1]]), WHITE)

    def clipped(points: Points) -> Points:
        inside = np.clip(points[:, 0], x[0], x[-1])
        y = np.clip(points[:, 1], np.interp(inside, x, upper), np.interp(inside, x, lower))
        return np.stack([inside, y], axis=1)

    if expression.eyes == "open":
        _iris(pen, face, palette, clipped, (side * EYE_X, EYE_Y), (across, down))
    else:
        _mad_eye(pen, expression.eyes, (side * EYE_X, EYE_Y), 0.75 * down)
    pen.stroke(top, 0.085)
    pen.stroke(bottom[5:-5], 0.035)


def _iris(
    pen: Pen,
    face: Face,
    palette: Palette,
    clipped: Callable[[Points], Points],
    centre: tuple[float, float],
    half: tuple[float, float],
) -> None:
    expression = face.expression
    radius = expression.iris_size * half[1]
    x = centre[0] + expression.gaze * (half[0] - 0.6 * radius)
    y = centre[1] + expression.gaze_down * 0.5 * (half[1] - radius) + 0.02
    pen.fill(clipped(_ellipse(x, y, 0.86 * radius, radius)), palette.iris, line=0.03)
    if expression.iris_size < 0.3:
        return
    pen.fill(clipped(_ellipse(x, y + 0.45 * radius, 0.6 * radius, 0.45 * radius)), palette.iris_light, line=0)
    pen.fill(clipped(_ellipse(x, y - 0.05 * radius, 0.36 * radius, 0.45 * radius)), pen.ink, line=0)
    if expression.iris_size > 0.55:
        shine = 0.3 * radius
        pen.fill(clipped(_ellipse(x - 0.35 * radius, y - 0.4 * radius, shine, shine)), WHITE, line=0)


def _mad_eye(pen: Pen, kind: str, centre: tuple[float, float], radius: float) -> None:
    if kind == "ring":
        for share in (0.95, 0.5):
            pen.stroke(_smooth(_ellipse(*centre, share * radius, share * radius), closed=True), 0.05)
        pen.fill(_ellipse(*centre, 0.14 * radius, 0.14 * radius), pen.ink)
        return
    angle = np.linspace(0, 5 * np.pi, 70)
    spiral = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (radius * angle / angle[-1])[:, None]
    pen.stroke(_at(*centre, spiral), 0.05)


# ---- Mouths: each draws itself from half its width and how far it is open ------------------------------------


def _smile(pen: Pen, _: Palette, width: float, openness: float) -> None:
    pen.stroke(_smooth([(-width, MOUTH_Y - 0.05), (0, MOUTH_Y + 0.6 * openness), (width, MOUTH_Y - 0.05)]), 0.09)


def _frown(pen: Pen, _: Palette, width: float, openness: float) -> None:
    pen.stroke(_smooth([(-width, MOUTH_Y + 0.1), (0, MOUTH_Y + 0.1 - openness), (width, MOUTH_Y + 0.1)]), 0.09)


def _wavy(pen: Pen, _: Palette, width: float, openness: float) -> None:
    pen.stroke(_wave(-width, width, MOUTH_Y, 0.25 * openness + 0.03, 2), 0.08)


def _small_o(pen: Pen, palette: Palette, width: float, openness: float) -> None:
    pen.fill(_ellipse(0, MOUTH_Y + 0.02, 0.07 + 0.22 * width, 0.07 + 0.55 * openness), palette.mouth, line=0.05)


def _open_smile(pen: Pen, palette: Palette, width: float, openness: float) -> None:
    top = MOUTH_Y - 0.1
    upper = _smooth([(-width, top), (0, top + 0.06), (width, top)])
    lower = _smooth(
        [
            (width, top),
            (0.72 * width, top + 0.8 * openness),
            (0, top + 1.35 * openness),
            (-0.72 * width, top + 0.8 * openness),
            (-width, top),
        ]
    )
    pen.fill(np.vstack([upper, lower]), palette.mouth, line=0.05)
    pen.fill(_ellipse(0, top + 1.02 * openness, 0.45 * width, 0.24 * openness), palette.tongue, line=0)


def _grin(pen: Pen, _: Palette, width: float, openness: float) -> None:
    corner, top = MOUTH_Y - 0.2, MOUTH_Y - 0.02
    x = np.linspace(-width, width, 21)
    arch = 1 - (x / width) ** 2
    upper, lower = corner + (top - corner) * arch, corner + (top - corner + openness) * arch**0.8
    pen.fill(np.vstack([np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)[::-1]]), WHITE, line=0.05)
    for place in range(3, 18, 2):
        pen.stroke(np.array([(x[place], upper[place]), (x[place], lower[place])]), 0.03)
    pen.stroke(np.stack([x, (upper + lower) / 2], axis=1), 0.03)


def _grit(pen: Pen, _: Palette, width: float, openness: float) -> None:
    top, bottom = MOUTH_Y - 0.5 * openness, MOUTH_Y + 0.5 * openness + 0.06
    shape = [(-width, bottom), (-0.7 * width, top), (0.7 * width, top), (width, bottom)]
    pen.fill(np.array(shape), WHITE, line=0.055)
    for x in np.linspace(-0.6, 0.6, 5) * width:
        pen.stroke(np.array([(x, top), (x, bottom)]), 0.03)
    pen.stroke(np.array([(-0.85 * width, MOUTH_Y + 0.03), (0.85 * width, MOUTH_Y + 0.03)]), 0.03)


def _shout(pen: Pen, palette: Palette, width: float, openness: float) -> None:
    top, bottom = MOUTH_Y - 0.6 * openness - 0.05, MOUTH_Y + 0.6 * openness + 0.05
    width = 0.85 * width
    shape = [(0, top), (0.6 * width, top + 0.04), (width, bottom - 0.06), (0.6 * width, bottom), (0, bottom - 0.03)]
    pen.fill(_smooth(_mirrored(shape), closed=True), palette.mouth, line=0.05)
    pen.fill(
        np.array(
            [
                (-0.5 * width, top + 0.04),
                (0.5 * width, top + 0.04),
                (0.42 * width, top + 0.11),
                (-0.42 * width, top + 0.11),
            ]
        ),
        WHITE,
        line=0,
    )
    pen.fill(_ellipse(0, bottom - 0.09, 0.45 * width, 0.05), palette.tongue, line=0)


def _tremble(pen: Pen, palette: Palette, width: float, openness: float) -> None:
    height = 0.5 * openness + 0.03
    upper = _wave(-width, width, MOUTH_Y - height, 0.035, 2.5)
    lower = _wave(-1.1 * width, 1.1 * width, MOUTH_Y + height, 0.035, 3.5)
    pen.fill(np.vstack([upper, lower[::-1]]), palette.mouth, line=0.05)


MOUTHS: Mapping[str, Callable[[Pen, Palette, float, float], None]] = {
    "smile": _smile,
    "open_smile": _open_smile,
    "grin": _grin,
    "frown": _frown,
    "grit": _grit,
    "shout": _shout,
    "wave": _wavy,
    "small_o": _small_o,
    "tremble": _tremble,
}


# ---- Files ---------------------------------------------------------------------------------------------------


def write_faces(folder: Path, per_class: int, seed: int) -> int:
    """Write `per_class` faces of every emotion as `folder`/<emotion>/<number>.jpg or .png; return how many.

    Face number n of an emotion follows from the seed, the emotion and n alone, so a larger set begins with the
    smaller. A folder that holds exactly this set already is left as it is. The set appears whole or not at all.
    Raises InputError where `folder` holds anything else, `per_class` is below 1 or `seed` below 0.
    """
    for option, value, least in (("--per-class", per_class, 1), ("--seed", seed, 0)):
        if value < least:
            raise InputError(f"{option} is {value}; give an integer of at least {least}.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a new folder for the drawn faces.")
    wanted = {"drawing": DRAWING_VERSION, "per_class": per_class, "seed": seed}
    total = per_class * len(EMOTIONS)
    if _holds(folder, wanted):
        return total
    if folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} is not empty and holds other files than {per_class} drawn faces a class of seed {seed}; "
            "give the --per-class that it was drawn with, or choose another folder by --out."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        drawn = Path(scratch) / "faces"
        _write_set(drawn, wanted)
        try:
            _move_into_place(drawn, folder)
        except OSError:
            # Another process may have drawn the same set meanwhile; then all is well.
            if not _holds(folder, wanted):
                raise
    return total


def encode(face: Face, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return the picture as a file, suffix and bytes; format, JPEG quality and chroma sampling are chance."""
    image = render(face)
    buffer = io.BytesIO()
    if rng.random() < 0.3:
        image.save(buffer, "PNG", compress_level=6, optimize=False)
        return ".png", buffer.getvalue()
    quality = int(rng.integers(68, 96))
    image.save(buffer, "JPEG", quality=quality, subsampling=int(rng.choice([0, 2])), optimize=False, progressive=False)
    return ".jpg", buffer.getvalue()


def _write_set(folder: Path, wanted: Mapping[str, int]) -> None:
    digests = {}
    for class_number, emotion in enumerate(EMOTIONS):
        (folder / emotion).mkdir(parents=True)
        for number in range(wanted["per_class"]):
            rng = stream(wanted["seed"], "faces", class_number, number)
            suffix, content = encode(draw_parameters(emotion, rng), rng)
            name = f"{emotion}/{number:04d}{suffix}"
            (folder / name).write_bytes(content)
            digests[name] = hashlib.sha256(content).hexdigest()
    write_atomically(folder / MANIFEST, json.dumps({**wanted, "sha256": digests}, indent=1).encode())


def _move_into_place(drawn: Path, folder: Path) -> None:
    if not folder.exists():
        drawn.rename(folder)
        return
    # An empty folder may be somebody's working directory: it is filled, not replaced, the manifest coming last.
    for name in (*EMOTIONS, MANIFEST):
        (drawn / name).rename(folder / name)


def _holds(folder: Path, wanted: Mapping[str, int]) -> bool:
    """Whether the folder holds this set and nothing else, every file's SHA-256 included."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except ValueError:
        return False
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    present.pop(MANIFEST)
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in present.items()}
    return bool(manifest == {**wanted, "sha256": digests})
