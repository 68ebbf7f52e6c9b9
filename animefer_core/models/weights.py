"""Pretrained weights: found in a folder or downloaded once, read without running code, fitted to a network."""

import hashlib
import pickle
import re
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from animefer_core.config import STUDY_MODELS
from animefer_core.errors import InputError
from animefer_core.models.zoo import Network, timm_name, timm_settings

SUFFIXES = (".pth", ".pt", ".safetensors")
WRAPPERS = ("state_dict", "model")
HUB_FILE = "model.safetensors"
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.")
ANY_HASH = "[0-9a-f]" * 8

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A state dict, and which file it came from."""

    state: State
    """Parameters and buffers by their names in the file, on the CPU."""
    sha256: str
    """Digest of the file in hexadecimal."""
    source: str
    """Name of the file."""


def find_weights(model: str, weights_dir: Path | None) -> Path:
    """Return the file with a model's pretrained weights: from the folder or, without one, downloaded into the cache.

    Raises InputError where the folder has none of the names that are looked for, or the download fails.
    """
    if weights_dir is None:
        return _download(model)
    if not weights_dir.is_dir():
        raise InputError(f"--weights-dir: there is no folder {weights_dir}; give the folder that holds the weights.")
    wanted = file_names(model)
    for pattern in wanted:
        if found := sorted(weights_dir.glob(pattern)):
            return found[0]
    listed = ", ".join(wanted).replace(ANY_HASH, "<8 hexadecimal digits>")
    raise InputError(
        f"--weights-dir: {weights_dir} holds no weights of {model} (looked for {listed}); "
        "put one of these there, or give --no-pretrained."
    )


def file_names(model: str) -> tuple[str, ...]:
    """Return the glob patterns, best first, of the names under which a model's weights are looked for in a folder.

    They are the model's own name, then the names that torchvision and timm give their files.
    """
    timm_model, stems = timm_name(model), [model]
    if timm_model is not None:
        settings = timm_settings(timm_model)
        stems.append(f"{settings.architecture}.{settings.tag}")
        if model in STUDY_MODELS:
            stems.append(settings.architecture)
    names = [stem + suffix for stem in stems for suffix in SUFFIXES]
    url = Path(urlsplit(_url(model)).path).name
    if url.endswith(SUFFIXES):
        names += [url, HASH_IN_NAME.sub(f"-{ANY_HASH}.", url)]
    if timm_model is not None:
        names.append(f"{stems[1]}/{HUB_FILE}")
    return tuple(dict.fromkeys(names))


def _url(model: str) -> str:
    """Return the address of a model's default weights, or "" where they are on the Hugging Face hub only or nowhere."""
    timm_model = timm_name(model)
    if timm_model is not None:
        return str(timm_settings(timm_model).url or "")
    from torchvision.models import get_model_weights

    return str(get_model_weights(model)["IMAGENET1K_V1"].url)


def _download(model: str) -> Path:
    """Return the file of a model's default weights, downloaded unless the library's cache has it."""
    timm_model, url = timm_name(model), _url(model)
    repository = timm_settings(timm_model).hf_hub_id if timm_model is not None else None
    if not repository and not url:
        raise InputError(f"--models: there are no pretrained weights of {model}; give --no-pretrained.")
    try:
        return _from_hub(repository) if repository else _from_url(url)
    except Exception as error:  # torch.hub and the hub's client raise a dozen unrelated types
        raise InputError(
            f"The weights of {model} could not be downloaded from {repository or url} ({_first_line(error)}); "
            "give --weights-dir with a folder that holds them, or --no-pretrained."
        ) from error


def _from_url(url: str) -> Path:
    """Download into torch.hub's own cache, where torchvision and timm look too, and check the hash in the name."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = HASH_IN_NAME.search(path.name)
        torch.hub.download_url_to_file(url, str(path), digest[1] if digest else None, sys.stderr.isatty())
    return path


def _from_hub(repository: str) -> Path:
    """Download from the Hugging Face hub into its own cache, where timm looks too."""
    from huggingface_hub import hf_hub_download

    name, _, revision = repository.partition("@")
    return Path(hf_hub_download(name, HUB_FILE, revision=revision or None))


def read_weights(path: Path) -> Weights:
    """Read a state dict, as it is or wrapped under "state_dict" or "model", without running code from the file.

    Raises InputError for a file that is truncated, has code inside, or holds no tensors.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); give another file of weights.") from error
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    for wrapper in WRAPPERS:
        content = content.get(wrapper, content) if isinstance(content, Mapping) else content
    items = content.items() if isinstance(content, Mapping) else ()
    state = {str(name): value for name, value in items if isinstance(value, torch.Tensor)}
    if not state:
        raise InputError(f"{path} holds no tensors by name; give a file with a state dict.")
    return Weights(state=state, sha256=sha256, source=path.name)


def _read_safetensors(path: Path) -> Any:
    """Return what a safetensors file holds."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise _unreadable(path) from error


def _read_pickled(path: Path) -> Any:
    """Return what torch.save wrote, refusing everything but tensors and plain containers."""
    if tarfile.is_tarfile(path):
        raise _refused_archive(path)
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise _unreadable(path) from error
        raise InputError(
            f"{path} has code inside and was not loaded; give a file that holds tensors only, or safetensors."
        ) from error
    except (RuntimeError, OSError, EOFError, LookupError, ValueError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> InputError:
    """Return the error for a file that ends early or is of another kind; the readers cannot tell which."""
    return InputError(f"{path} is truncated or no file of weights; copy or download it again.")


def _refused_archive(path: Path) -> InputError:
    """Return the error for a file in torch's format of before 0.1.10, a tar archive that only code can unpack."""
    try:
        with tarfile.open(path) as archive:
            archive.getmembers()
    except tarfile.ReadError:
        return _unreadable(path)
    return InputError(
        f"{path} is in torch's old tar format, which cannot be loaded without running code in it; "
        "give the weights in today's format or as safetensors."
    )


def load_weights(network: Network, name: str, state: State, image_size: int) -> None:
    """Load everything but the classifier head into a network; see `fit_state` for what is refused."""
    network.model.load_state_dict(fit_state(network, name, state, image_size), strict=False)


def fit_state(network: Network, name: str, state: State, image_size: int) -> dict[str, torch.Tensor]:
    """Return the state under the network's own names and shapes, without a head; the network is not changed.

    The position embedding of a ViT is interpolated where its size differs. Raises InputError that names the
    first few keys which are missing, unexpected or of another shape. Works with a network on the meta device.
    """
    # Half-precision files are interpolated in the precision that they are trained in.
    full = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    fitted = _interpolated(network, name, full, image_size)
    root = network.head[0].rpartition(".")[0] + "."
    fitted = {key: value for key, value in fitted.items() if not key.startswith(root)}
    wanted = {key: value for key, value in network.model.state_dict().items() if not key.startswith(root)}
    faults = {
        # Files of before torch 0.4.1 have no such counters, and nothing reads them.
        "missing": [key for key in wanted if key not in fitted and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in fitted if key not in wanted],
        "of another shape": [key for key in fitted if key in wanted and fitted[key].shape != wanted[key].shape],
    }
    if any(faults.values()):
        listed = "; ".join(f"{fault}: {_few(keys)}" for fault, keys in faults.items() if keys)
        raise InputError(f"The weights are not those of {name} ({listed}); give its own, or --no-pretrained.")
    return fitted


def _interpolated(network: Network, name: str, state: State, image_size: int) -> dict[str, torch.Tensor]:
    """Return the state with the position embedding at the network's size (timm: under timm's present names too)."""
    if network.family != "vit":
        return dict(state)
    model: Any = network.model
    try:
        if timm_name(name) is None:
            return _interpolated_torchvision(model, state, image_size)
        kernel = state.get("patch_embed.proj.weight")
        if kernel is not None and kernel.ndim == 4 and kernel.shape != model.patch_embed.proj.weight.shape:
            return dict(state)  # timm would resample a foreign patch size without a word
        from timm.models.vision_transformer import checkpoint_filter_fn

        return dict(checkpoint_filter_fn(dict(state), model))
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"The position embedding of {name} cannot be interpolated to {image_size} pixels "
            f"({_first_line(error)}); give its own weights, or --no-pretrained."
        ) from error


def _interpolated_torchvision(model: Any, state: State, image_size: int) -> dict[str, torch.Tensor]:
    """Return the state of torchvision's ViT with the position embedding at the network's size."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    key = "encoder.pos_embedding"
    if key not in state or state[key].shape == model.encoder.pos_embedding.shape:
        return dict(state)
    return dict(interpolate_embeddings(image_size, model.patch_size, dict(state)))


def _few(keys: list[str]) -> str:
    """Return the first three keys as text, and how many more there are."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more


def _first_line(error: Exception) -> str:
    """Return what an error says, in one line without its full stop, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
