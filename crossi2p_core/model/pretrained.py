"""Weights of other people's ResNets, from .pth or .safetensors files, into the backbone of our image encoder.

Nothing of a file is run, and nothing is loaded by halves: weights that do not fit leave the encoder as it was. Keys may
carry a common prefix (`module.`, `backbone.`, those of our own checkpoints) and lie within an entry such as
`state_dict`. The classifier, `fc.*`, and what else stands beside a ResNet is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .image_encoder import ImageEncoder
from .resnet import ResNet

SUFFIXES = (".pth", ".pt", ".safetensors")
LANDMARK = "layer1.0.conv1.weight"  # every ResNet has it; what stands before it is the prefix of all keys
STEM = "conv1.weight"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalisation
CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "weights")
OWN = ("conv1.", "bn1.", "layer")  # how keys of a ResNet begin; others belong to some head
MAX_DEPTH = 3  # of containers within each other; a hostile file may hold one within itself
SHOWN = 3  # keys that a message names; of the others it tells how many they are


def load_image_weights(encoder: ImageEncoder, path: str | Path) -> str:
    """Load the ResNet of the file `path` into `encoder.backbone`; returns in one sentence what was loaded.

    Images of other than three channels: each gets the mean of the stem's filters over R, G and B times 3 / channels,
    so that grey in all of them looks as grey did. With norm "group" scales and shifts are loaded and the statistics of
    batch normalisation, which it does not have, are not: such weights are a start for training and no more.
    Raises InputError for a file that cannot be read, or holds another network: what is missing, unexpected or of
    another shape is said in words.
    """
    path = Path(path)
    whole = _without_prefix(_state_dict(_read(path)), path)
    wanted = encoder.backbone.state_dict()
    found, notes = _adapt({key: value for key, value in whole.items() if key.startswith(OWN)}, wanted,
                          encoder.backbone)
    beside = [key for key in whole if not key.startswith(OWN)]
    if beside:
        notes.append(f"left out: {_some(beside)}")
    _check_fit(found, wanted, path)
    encoder.backbone.load_state_dict({**wanted, **{key: found[key] for key in wanted if key in found}})
    return "; ".join([f"loaded {sum(key in found for key in wanted)} tensors of {path.name}", *notes])


def _read(path: Path) -> Any:
    """What the file holds, on the CPU."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} is no file of weights by its name; give one that ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"there is no file of weights at {path}; download it first, or correct the path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            return load_file(path, device="cpu")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever damaged or hostile bytes bring about in the readers
        raise InputError(f"{path} cannot be read as weights ({type(error).__name__}): it is damaged, or holds more "
                         "than tensors, which is refused since it could run code; download it again") from error


def _state_dict(content: Any) -> dict[str, Tensor]:
    """The tensors of the innermost container."""
    for _ in range(MAX_DEPTH):
        inner = [content[name] for name in CONTAINERS
                 if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)]
        content = inner[0] if inner else content
    items = content.items() if isinstance(content, Mapping) else ()
    return {str(key): value for key, value in items if isinstance(value, Tensor)}


def _without_prefix(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors of the one ResNet and what stands beside it, by the keys of torchvision."""
    prefixes = sorted(key.removesuffix(LANDMARK) for key in tensors if key.endswith(LANDMARK))
    if not prefixes:
        raise InputError(f"{path} holds no ResNet by the key names of torchvision (no {LANDMARK} among its "
                         f"{len(tensors)} tensors); give weights of one")
    if len(prefixes) > 1:
        raise InputError(f"{path} holds several ResNets ({_some(prefixes)}); save the one you mean to its own file")
    prefix = prefixes[0]
    return {key.removeprefix(prefix): value for key, value in tensors.items()
            if key.startswith(prefix)}


def _adapt(found: dict[str, Tensor], wanted: Mapping[str, Tensor],
           backbone: ResNet) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors as this backbone needs them, and in words what was changed."""
    found, notes = dict(found), []
    channels = backbone.conv1.in_channels
    stem = found.get(STEM)
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3 != channels:
        found[STEM] = stem.float().mean(dim=1, keepdim=True).repeat(1, channels, 1, 1) * (3 / channels)
        notes.append(f"{STEM} spread from 3 to {channels} channels")
    extra = [key for key in found if key not in wanted and key.endswith(STATISTICS)]
    if backbone.norm == "group" and extra:
        found = {key: value for key, value in found.items() if key not in extra}
        notes.append("statistics of batch normalisation left out (image.norm: group), so train before you use it")
    return found, notes


def _check_fit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError unless `found` are all of the tensors of `wanted` and no others, finite and of their shapes."""
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]  # old files
    unexpected = [key for key in found if key not in wanted]
    other = [f"{key} {_shape(found[key])} instead of {_shape(wanted[key])}" for key in wanted
             if key in found and found[key].shape != wanted[key].shape]
    problems = [f"{what}: {_some(keys)}" for what, keys in
                (("missing", missing), ("unexpected", unexpected), ("of another shape", other)) if keys]
    if problems:
        raise InputError(f"{path} does not fit this ResNet; {'; '.join(problems)}; "
                         "set image.block, layers, width, channels and norm as the weights have them")
    odd = [key for key in wanted if key in found and not _usable(found[key])]
    if odd:
        raise InputError(f"{path} holds values that are no finite numbers in {_some(odd)}; download it again")


def _usable(tensor: Tensor) -> bool:
    """Plain numbers that are really there."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    return plain and not tensor.is_complex() and bool(torch.isfinite(tensor.float()).all())


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _some(names: list[str]) -> str:
    """The first few of the names, and how many more there are."""
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name or "without prefix" for name in names[:SHOWN]) + rest
