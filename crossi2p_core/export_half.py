"""A checkpoint at half its size, to be shipped: weights in float16, without what only training needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import safetensors.torch
import torch

from . import atomic
from .errors import InputError
from .export_check import differences, worse
from .flow_aligner import load_flow_network
from .matcher import load_network
from .model.batch import Batch
from .model.network import Network
from .model.plain import PlainNetwork
from .solve.from_flow import draw
from .train import checkpoint


def write_half(weights: str | Path, path: str | Path, batches: Sequence[Batch], tolerance: float) -> dict[str, float]:
    """Write NAME.safetensors and NAME.json, a checkpoint like any other; returns the largest difference per output.

    The network with the rounded weights runs beside the one with the checkpoint's own, as in `export_check`; of
    similarity it is the probabilities that are compared, since logits of what is improbable may be far apart. Raises
    InputError, and leaves whatever was there, where an output differs by more than the tolerance, and for a path of
    another ending.
    """
    # 1. rounded
    path, kept, data = _rounded(weights, path)
    # 2. as good as before
    network = load_network(weights).eval().requires_grad_(False)
    rounded = load_network(weights).eval().requires_grad_(False)
    checkpoint.load_weights(rounded, safetensors.torch.load(data), str(path))
    found = differences(network, lambda inputs: PlainNetwork(rounded)(*inputs.values()), batches)
    found["similarity"] = _probabilities_apart(network, rounded, batches)
    _write(path, kept, data, found, tolerance)
    return found


@torch.no_grad()
def write_half_flow(weights: str | Path, path: str | Path, batches: Sequence[Batch],
                    tolerance: float) -> dict[str, float]:
    """The same of a flow network: what it says of scans drawn by the batches' own T_cam_lidar is compared, in px and in
    the logarithm of the scale."""
    path, kept, data = _rounded(weights, path)
    network, rounded = load_flow_network(weights).eval(), load_flow_network(weights).eval()
    checkpoint.load_weights(rounded, safetensors.torch.load(data), str(path))
    found = {"pixels": 0.0, "log_scale": 0.0}
    for batch in batches:
        assert batch.T_cam_lidar is not None
        picture = draw(batch, batch.T_cam_lidar).raster.picture
        one, other = network(batch.image, picture), rounded(batch.image, picture)
        for name in found:
            found[name] = worse(found[name], float((getattr(one, name) - getattr(other, name)).abs().max()))
    _write(path, kept, data, found, tolerance)
    return found


def _rounded(weights: str | Path, path: str | Path) -> tuple[Path, checkpoint.Checkpoint, bytes]:
    """Where to, the checkpoint, and its weights in float16. Raises InputError for weights that it cannot hold."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: weights are written as .safetensors; give it that ending")
    kept = checkpoint.load(weights, training=False)
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in kept.weights.items()}
    odd = [name for name, tensor in half.items() if not tensor.isfinite().all()]
    if odd:
        raise InputError(f"{weights}: float16 holds numbers up to {torch.finfo(torch.float16).max:g}, and "
                         f"{', '.join(odd[:3])}{' and others' if len(odd) > 3 else ''} has larger ones, or what is no "
                         "number; nothing was written")
    return path, kept, safetensors.torch.save(half)


def _write(path: Path, kept: checkpoint.Checkpoint, data: bytes, found: dict[str, float], tolerance: float) -> None:
    """The files, the .json last; InputError where they say something else."""
    odd = [f"{name} by {value:.3g}" for name, value in found.items() if not value <= tolerance]
    if odd:
        raise InputError(f"in float16 the weights say something else: {', '.join(odd)}, allowed is {tolerance:g}; "
                         "nothing was written; use a larger --tolerance if that is precise enough")
    told = {"format": checkpoint.FORMAT, "step": kept.step, "score": kept.score, "metrics": kept.metrics,
            "fingerprint": kept.fingerprint, "config": kept.config, "state": {},
            "sha256": {"safetensors": hashlib.sha256(data).hexdigest()}}
    atomic.write_bytes(path, data)
    atomic.write_text(path.with_suffix(".json"), json.dumps(told, indent=1, allow_nan=False))


@torch.no_grad()
def _probabilities_apart(network: Network, other: Network, batches: Sequence[Batch]) -> float:
    """The largest difference between what both think of a superpoint being in a superpixel."""
    apart = [(network(batch).scores.similarity.softmax(2) - other(batch).scores.similarity.softmax(2)).abs().max()
             for batch in batches]
    return reduce(worse, map(float, apart))
