import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.models import resnet18

from animefer_core.data import faces
from animefer_core.data.faces import EMOTIONS, draw_parameters, render, write_faces
from animefer_core.errors import InputError
from animefer_core.seeds import stream

PER_CLASS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "faces"
    write_faces(path, PER_CLASS, seed=0)
    return path


def pictures(folder: Path) -> list[Path]:
    return sorted(path for emotion in EMOTIONS for path in (folder / emotion).iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in pictures(folder)}


def labels(paths: list[Path]) -> np.ndarray:
    return np.array([EMOTIONS.index(path.parent.name) for path in paths])


def drawn(emotion: str, count: int) -> Iterator[faces.Face]:
    rng = np.random.default_rng(5)
    return (draw_parameters(emotion, rng) for _ in range(count))


def accuracy(features: np.ndarray, classes: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    return float(cross_val_score(model, features, classes, cv=5).mean())


def histogram(image: Image.Image) -> np.ndarray:
    cells = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(np.int64) // 64
    counts = np.bincount(cells @ (16, 4, 1), minlength=64)
    return counts / counts.sum()


# ---- Parameters ----------------------------------------------------------------------------------------------


def test_the_six_emotions_are_sorted() -> None:
    assert EMOTIONS == ("Angry", "Embarrassed", "Happy", "Psycho-Crazy", "Sad", "Scared")


def test_parameters_follow_from_the_generator_alone() -> None:
    assert draw_parameters("Sad", stream(3, "faces", 0)) == draw_parameters("Sad", stream(3, "faces", 0))


def test_looks_and_pose_do_not_know_the_emotion() -> None:
    drawings = [draw_parameters(emotion, stream(3, "faces")) for emotion in EMOTIONS]
    assert {(face.looks, face.pose) for face in drawings} == {(drawings[0].looks, drawings[0].pose)}


def test_no_two_of_sixty_share_hair_eyes_and_pose() -> None:
    sixty = [draw_parameters(EMOTIONS[n % 6], stream(0, "faces", n % 6, n // 6)) for n in range(60)]
    # Poses count as one when a person could not tell them apart: within 6 degrees and a third of a turn.
    seen = Counter(
        (face.looks.hair, face.looks.fringe, face.looks.eyes, face.pose.tilt // 6, face.pose.turn // 0.33)
        for face in sixty
    )
    assert max(seen.values()) == 1


def test_every_hairstyle_eye_and_style_is_drawn() -> None:
    looks = [face.looks for face in drawn("Happy", 300)]
    assert {look.hair for look in looks} == set(faces.HAIR)
    assert {look.fringe for look in looks} == set(faces.FRINGES)
    assert {look.eyes for look in looks} == set(faces.EYES)
    assert {look.style for look in looks} == {"colour", "line", "screentone"}


def test_happy_and_embarrassed_share_whole_faces() -> None:
    happy, embarrassed = (
        [(face.expression.eyes, face.expression.mouth, face.expression.blush) for face in drawn(emotion, 200)]
        for emotion in ("Happy", "Embarrassed")
    )
    assert np.mean([face in happy for face in embarrassed]) > 0.2


def test_a_mixed_face_takes_a_whole_feature_from_a_neighbour() -> None:
    shown = [face.expression for face in drawn("Embarrassed", 200)]
    unblushing = [face for face in shown if face.blush == 0.0]
    assert 0.0 < len(unblushing) / len(shown) < faces.MIXED


def test_psycho_crazy_stands_apart() -> None:
    def mad(face: faces.Face) -> bool:
        shown = face.expression
        return shown.mouth_width > 0.46 and (shown.eyes in ("ring", "spiral") or shown.iris_size < 0.33)

    shares = {emotion: np.mean([mad(face) for face in drawn(emotion, 100)]) for emotion in EMOTIONS}
    assert shares == {emotion: float(emotion == "Psycho-Crazy") for emotion in EMOTIONS}


# ---- Pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mouth", faces.MOUTHS)
def test_every_mouth_leaves_its_own_mark(mouth: str) -> None:
    face = next(drawn("Happy", 1))
    others = [
        np.asarray(render(replace(face, expression=replace(face.expression, mouth=other)))) for other in faces.MOUTHS
    ]
    own = np.asarray(render(replace(face, expression=replace(face.expression, mouth=mouth))))
    assert sum(np.array_equal(own, other) for other in others) == 1


def test_render_takes_the_size_of_the_looks() -> None:
    face = next(drawn("Angry", 1))
    assert render(face).size == face.looks.size


def test_render_takes_another_size_where_asked() -> None:
    assert render(next(drawn("Angry", 1)), size=(40, 32)).size == (40, 32)


def test_line_art_is_grey() -> None:
    face = next(face for face in drawn("Angry", 50) if face.looks.style == "line")
    pixels = np.asarray(render(face)).astype(int)
    assert np.ptp(pixels, axis=2).max() == 0


# ---- Files ---------------------------------------------------------------------------------------------------


def test_the_count_is_returned(folder: Path) -> None:
    assert write_faces(folder, PER_CLASS, seed=0) == len(pictures(folder)) == 6 * PER_CLASS


def test_every_picture_is_different(folder: Path) -> None:
    assert len({hashlib.sha256(content).digest() for content in contents(folder).values()}) == 6 * PER_CLASS


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_faces(tmp_path / name, 2, seed=7)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_another_seed_gives_other_pictures(tmp_path: Path) -> None:
    for seed in (7, 8):
        write_faces(tmp_path / str(seed), 1, seed=seed)
    assert not set(contents(tmp_path / "7").values()) & set(contents(tmp_path / "8").values())


def test_a_larger_set_contains_the_smaller(folder: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", 3, seed=0)
    assert contents(tmp_path / "faces").items() <= contents(folder).items()


def test_names_do_not_tell_the_emotion(folder: Path) -> None:
    stems = [{path.stem for path in (folder / emotion).iterdir()} for emotion in EMOTIONS]
    assert all(names == stems[0] for names in stems)


def test_both_formats_occur_in_every_class(folder: Path) -> None:
    assert all({path.suffix for path in (folder / emotion).iterdir()} == {".jpg", ".png"} for emotion in EMOTIONS)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_pictures_are_small_and_nearly_square(folder: Path) -> None:
    sizes = [size_of(path) for path in pictures(folder)]
    assert min(map(min, sizes)) >= 115
    assert max(map(max, sizes)) <= 216
    assert np.mean([width == height for width, height in sizes]) > 0.6


# ---- Nothing but the face gives the emotion away -------------------------------------------------------------


def test_a_colour_histogram_does_not_give_the_emotion_away(folder: Path) -> None:
    paths = pictures(folder)
    features = np.array([histogram(Image.open(path)) for path in paths])
    assert accuracy(features, labels(paths)) < 0.35


def test_the_histogram_would_find_a_shortcut(folder: Path) -> None:
    paths = pictures(folder)[::4]
    tints = labels(paths) * 40
    tinted = [
        Image.fromarray(np.minimum(np.asarray(Image.open(path).convert("RGB")), 255 - tint).astype(np.uint8))
        for path, tint in zip(paths, tints, strict=True)
    ]
    assert accuracy(np.array([histogram(image) for image in tinted]), labels(paths)) > 0.5


def test_the_file_does_not_give_the_emotion_away(folder: Path) -> None:
    paths = pictures(folder)
    features = []
    for path in paths:
        with Image.open(path) as image:
            coarseness = sum(image.quantization[0]) if image.format == "JPEG" else 0
            features.append([path.stat().st_size, path.suffix == ".png", coarseness, *image.size])
    assert accuracy(np.array(features, dtype=float), labels(paths)) < 0.25


# ---- A set is there whole or not at all ----------------------------------------------------------------------


def small_set(path: Path) -> dict[str, bytes]:
    write_faces(path, 1, seed=1)
    return contents(path)


def test_a_whole_set_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_set(tmp_path / "faces")
    monkeypatch.setattr(faces, "_write_set", lambda *_: pytest.fail("drawn again"))
    assert write_faces(tmp_path / "faces", 1, seed=1) == 6


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    assert len(small_set(tmp_path / "faces")) == 6


@pytest.mark.parametrize(("per_class", "seed"), [(2, 1), (1, 2)])
def test_another_set_is_refused(tmp_path: Path, per_class: int, seed: int) -> None:
    small_set(tmp_path / "faces")
    with pytest.raises(InputError, match="faces is not empty"):
        write_faces(tmp_path / "faces", per_class, seed=seed)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_faces(tmp_path, 1, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_added_file_makes_it_another_set(tmp_path: Path) -> None:
    small_set(tmp_path / "faces")
    (tmp_path / "faces" / "Happy" / "mine.png").write_bytes(b"")
    with pytest.raises(InputError, match="not empty"):
        write_faces(tmp_path / "faces", 1, seed=1)


def test_an_edited_file_makes_it_another_set(tmp_path: Path) -> None:
    small_set(tmp_path / "faces")
    pictures(tmp_path / "faces")[0].write_bytes(b"edited")
    with pytest.raises(InputError, match="not empty"):
        write_faces(tmp_path / "faces", 1, seed=1)


def test_a_set_without_its_manifest_is_not_whole(tmp_path: Path) -> None:
    small_set(tmp_path / "faces")
    (tmp_path / "faces" / faces.MANIFEST).unlink()
    with pytest.raises(InputError, match="not empty"):
        write_faces(tmp_path / "faces", 1, seed=1)


def test_a_cut_manifest_is_not_whole(tmp_path: Path) -> None:
    small_set(tmp_path / "faces")
    (tmp_path / "faces" / faces.MANIFEST).write_text('{"seed": 1')
    with pytest.raises(InputError, match="not empty"):
        write_faces(tmp_path / "faces", 1, seed=1)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faces").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        write_faces(tmp_path / "faces", 1, seed=1)


def test_less_than_one_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--per-class is 0"):
        write_faces(tmp_path / "faces", 0, seed=1)


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--seed is -1"):
        write_faces(tmp_path / "faces", 1, seed=-1)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()
    encode = faces.encode

    def interrupted(face: faces.Face, rng: np.random.Generator) -> tuple[str, bytes]:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return encode(face, rng)

    monkeypatch.setattr(faces, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_faces(tmp_path / "faces", 1, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_draw_the_same_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set = faces._write_set

    def beaten(folder: Path, wanted: dict[str, int]) -> None:
        write_set(tmp_path / "faces", wanted)
        write_set(folder, wanted)

    monkeypatch.setattr(faces, "_write_set", beaten)
    assert write_faces(tmp_path / "faces", 1, seed=1) == 6


# ---- The emotion can be learnt -------------------------------------------------------------------------------


def decoded(paths: list[Path], side: int) -> torch.Tensor:
    images = [np.asarray(Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BOX)) for path in paths]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.mark.slow
def test_a_resnet18_from_random_weights_learns_the_emotions(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", 110, seed=2)
    paths = pictures(tmp_path / "faces")
    images, classes = decoded(paths, side=48), torch.from_numpy(labels(paths))
    trained_on = torch.tensor([int(path.stem) < 80 for path in paths])
    train_images, train_classes = images[trained_on], classes[trained_on]
    torch.manual_seed(0)
    model = resnet18(num_classes=len(EMOTIONS))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(6):
        for batch in torch.randperm(len(train_images)).split(30):
            views = train_images[batch]
            flip = torch.rand(len(batch)) < 0.5
            views[flip] = views[flip].flip(-1)
            loss = torch.nn.functional.cross_entropy(model(views), train_classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        share = (model(images[~trained_on]).argmax(1) == classes[~trained_on]).float().mean().item()
    assert 0.35 < share < 0.98
