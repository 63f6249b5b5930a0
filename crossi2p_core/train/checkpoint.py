"""What a run keeps: tensors as safetensors, everything else as JSON, nothing pickled, nothing half-written.

One checkpoint is three files: `step-N.safetensors` (the averaged weights, what is used later),
`step-N.training.safetensors` (the weights as they are, and the optimizer's moments) and `step-N.json` (settings, step,
metrics, fingerprint of the data, digests of the other two). The last is written last: without it there is no
checkpoint. Random generators leave nothing to keep, see `distributed.seed_step`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .. import atomic
from ..errors import InputError
from ..safe_yaml import read_json
from ..weights import find_weights

FORMAT = "crossi2p checkpoint 1"
LARGEST_SIDECAR = 16 * 1024 * 1024  # bytes; a run may have thousands of sources
PARTS = ("safetensors", "training.safetensors")
_NAME = re.compile(r"step-(\d{9,})\.json")


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment. score: of the validation, higher is better, None where there was none yet.

    state: of GradNorm, monitor and examples, JSON. weights: for use. training: to go on with; may be left unread.
    """

    step: int
    config: dict[str, Any]
    metrics: dict[str, float]
    fingerprint: str
    weights: dict[str, Tensor]
    training: dict[str, Tensor] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    score: float | None = None


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint, then remove all but the last `keep` and the best; returns the path of its JSON."""
    stem = folder / f"step-{checkpoint.step:09d}"
    digests = {}
    for part, tensors in zip(PARTS, (checkpoint.weights, checkpoint.training), strict=True):
        data = safetensors.torch.save({name: tensor.detach().cpu().contiguous().clone()
                                       for name, tensor in tensors.items()})
        atomic.write_bytes(f"{stem}.{part}", data)
        digests[part] = hashlib.sha256(data).hexdigest()
    told = {"format": FORMAT, "step": checkpoint.step, "score": checkpoint.score, "metrics": checkpoint.metrics,
            "fingerprint": checkpoint.fingerprint, "config": checkpoint.config, "state": checkpoint.state,
            "sha256": digests}
    path = Path(f"{stem}.json")
    atomic.write_text(path, json.dumps(_without_nan(told), indent=1, allow_nan=False))
    _prune(folder, keep)
    return path


def load(path: str | Path, training: bool = True) -> Checkpoint:
    """Read a checkpoint by its JSON, by its weights beside it, or by name (see `find_weights`). training: also what is
    needed to go on.

    Raises InputError, saying what is wrong, for files that are missing, damaged or not ours.
    """
    path = find_weights(path) or Path(path)
    if path.suffix == ".safetensors":
        path = path.with_suffix(".json")
    told = _read_sidecar(path)
    tensors = [_read_tensors(path.with_suffix(f".{part}"), told["sha256"].get(part))
               for part in (PARTS if training else PARTS[:1])]
    return Checkpoint(told["step"], told["config"], told["metrics"], told["fingerprint"], tensors[0],
                      tensors[1] if training else {}, told["state"], told["score"])


def latest(folder: Path) -> Path | None:
    """The JSON of the checkpoint with the highest step; None where there is none."""
    found = _all(folder)
    return found[-1] if found else None


def best(folder: Path) -> Path | None:
    """The JSON of the checkpoint with the highest score, the earliest of equals; the latest where none has one."""
    scored = [(path, _score(path)) for path in _all(folder)]
    with_score = [(path, score) for path, score in scored if score is not None]
    return max(with_score, key=lambda item: item[1])[0] if with_score else latest(folder)


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Put the tensors of a checkpoint into a module; InputError unless names and shapes are exactly its own."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        odd = f"lacks {missing[0]}" if missing else f"has {extra[0]} beyond it"
        raise InputError(f"{where} is of another network: it {odd}; use the configuration that it was trained with")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise InputError(f"{where} is of another network: {name} is {tuple(tensor.shape)}, here it is "
                             f"{tuple(own[name].shape)}; use the configuration that it was trained with")
    module.load_state_dict(dict(tensors))


def _read_sidecar(path: Path) -> dict[str, Any]:
    told = read_json(path, LARGEST_SIDECAR)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise InputError(f"{path} is no checkpoint of crossi2p; give the step-N.json of a training run")
    kinds: dict[str, Any] = {"step": int, "score": (float, type(None)), "metrics": dict, "fingerprint": str,
                             "config": dict, "state": dict, "sha256": dict}
    for name, kind in kinds.items():
        if not isinstance(told.get(name), kind) and not (name == "score" and told.get(name) is None):
            raise InputError(f"{path}: {name} is missing or damaged; use another checkpoint")
    if told["step"] < 0 or (told["score"] is not None and not math.isfinite(told["score"])):
        raise InputError(f"{path}: step {told['step']} or score {told['score']} cannot be; use another checkpoint")
    return told


def _read_tensors(path: Path, digest: Any) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; it belongs beside its .json") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise InputError(f"{path} is damaged, or not the file that its .json was written with; use another checkpoint")
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path} is no safetensors file ({error}); use another checkpoint") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name} holds NaN or infinite numbers; use an earlier checkpoint")
    return tensors


def _all(folder: Path) -> list[Path]:
    """The JSONs of a folder by step."""
    found = [(int(match[1]), path) for path in folder.glob("step-*.json") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _score(path: Path) -> float | None:
    """The score of a checkpoint; one that cannot be read has none."""
    try:
        return _read_sidecar(path)["score"]
    except InputError:
        return None


def _prune(folder: Path, keep: int) -> None:
    """Remove all but the last `keep` and the best; the JSON first, so that no checkpoint is ever incomplete."""
    kept = {*_all(folder)[-keep:], best(folder)}
    for path in _all(folder):
        if path not in kept:
            for victim in (path, *(path.with_suffix(f".{part}") for part in PARTS)):
                victim.unlink(missing_ok=True)


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: null instead."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
