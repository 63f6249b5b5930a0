"""The network as a file that runs without this package: a torch.export program (.pt2), or ONNX.

Beside it NAME.json tells what goes in and comes out. Nothing is written before the program, read back from its own
bytes, has been found to compute what the network computes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor

from . import atomic
from .config import dump_config, load_config
from .errors import InputError
from .export_check import Run, differences
from .model.batch import Batch
from .model.config import NetworkConfig
from .model.network import Network
from .model.plain import INPUTS, OUTPUTS, Meaning, PlainNetwork, plain_inputs
from .safe_yaml import read_plain

FORMAT = "crossi2p export 1"
Kind = Literal["pt2", "onnx"]
ONNX_PACKAGES = "pip install onnx onnxscript onnxruntime"


@dataclass(frozen=True)
class ExportedNetwork:
    """A program read back. told: what its .json says. config: of its network, for `make_batch`."""

    config: NetworkConfig
    told: dict[str, Any]
    run: Run

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """OUTPUTS (see model/plain.py) of a batch on the device that the program was made for."""
        return self.run(plain_inputs(batch))


def write_export(network: Network, path: str | Path, kind: Kind, batches: Sequence[Batch], tolerance: float,
                 any_batch: bool, about: Mapping[str, Any]) -> dict[str, float]:
    """Write the program of a network and the .json beside it; returns the largest difference per output.

    batches: to trace with (the first; two pairs or more where any_batch) and to check with (all). any_batch: the
    program takes any number of pairs; otherwise as many as the first batch. about: put into the .json as it is.
    Raises InputError, and leaves whatever was there, where an output differs by more than the tolerance.
    """
    network = network.eval().requires_grad_(False)
    data = _PROGRAMS[kind].write(network, plain_inputs(batches[0]), any_batch)
    found = differences(network, _PROGRAMS[kind].read(data), batches)
    odd = [f"{name} by {value:.3g}" for name, value in found.items() if not value <= tolerance]
    if odd:
        raise InputError(f"the exported program differs from the network in {', '.join(odd)}, allowed is "
                         f"{tolerance:g}; nothing was written; use another --format, or a larger --tolerance if that "
                         "is precise enough")
    told = {"format": FORMAT, "kind": kind, "torch": torch.__version__, "precision": "float32",
            "device": batches[0].image.device.type, "batch": "any" if any_batch else len(batches[0]),
            "network": yaml.safe_load(dump_config(network.config)), "grid": list(network.config.grid), **about,
            "inputs": _described(INPUTS, plain_inputs(batches[0])),
            "outputs": _described(OUTPUTS, PlainNetwork(network)(*plain_inputs(batches[0]).values())),
            "largest_differences": found, "sha256": hashlib.sha256(data).hexdigest()}
    atomic.write_bytes(path, data)
    atomic.write_text(sidecar(path), json.dumps(told, indent=1))
    return found


def load_exported(path: str | Path) -> ExportedNetwork:
    """Read back what `write_export` wrote. Raises InputError for files that are missing, damaged or not ours.

    Only for files that you trust: torch reads parts of a .pt2 by pickle, which can run code.
    """
    told = read_plain(sidecar(path))
    if not isinstance(told, dict) or told.get("format") != FORMAT or told.get("kind") not in _PROGRAMS:
        raise InputError(f"{sidecar(path)} does not describe an exported network; write both files by crossi2p export")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; it belongs beside its .json") from error
    if hashlib.sha256(data).hexdigest() != told.get("sha256"):
        raise InputError(f"{path} is damaged, or not the file that its .json was written with; export it again")
    return ExportedNetwork(load_config(NetworkConfig, told.get("network")), told, _PROGRAMS[told["kind"]].read(data))


def sidecar(path: str | Path) -> Path:
    """Where the .json of a program is: NAME.pt2.json, since NAME.json may be that of a checkpoint."""
    return Path(f"{path}.json")


def _traced(network: Network, inputs: dict[str, Tensor], any_batch: bool) -> torch.export.ExportedProgram:
    """The graph of a network; of any number of pairs where any_batch."""
    pairs = torch.export.Dim("pairs", min=1)
    shapes = tuple({0: pairs} for _ in inputs) if any_batch else None
    return torch.export.export(PlainNetwork(network), tuple(inputs.values()), dynamic_shapes=shapes, strict=False)


@torch.no_grad()
def _write_pt2(network: Network, inputs: dict[str, Tensor], any_batch: bool) -> bytes:
    """The bytes of a .pt2. Traced without gradients, so that a CPU goes through edges as the network itself does."""
    file = io.BytesIO()
    torch.export.save(_traced(network, inputs, any_batch), file)
    return file.getvalue()


def _read_pt2(data: bytes) -> Run:
    module = torch.export.load(io.BytesIO(data)).module()

    @torch.no_grad()
    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return module(*(inputs[name] for name in INPUTS))

    return run


def _write_onnx(network: Network, inputs: dict[str, Tensor], any_batch: bool) -> bytes:
    """The bytes of an ONNX model, weights within. Raises InputError where packages are missing or ONNX lacks a part."""
    _import_onnx()
    # With gradients thought of (no weight has any) all edges are made at once: a fifth fewer nodes.
    program = _traced(network, inputs, any_batch).run_decompositions({torch.ops.aten.hypot.default: _hypot})
    try:
        made = torch.onnx.export(program, dynamo=True, input_names=list(inputs), output_names=list(OUTPUTS),
                                 verbose=False)
    except (RuntimeError, TypeError) as error:  # of the exporter: an operation that ONNX lacks; of torch before 2.6
        first = str(error).strip().splitlines()[:1]
        raise InputError(f"this network cannot be written as ONNX by torch {torch.__version__} ({''.join(first)}); "
                         "torch 2.6 or newer is needed; or leave --format out") from error
    assert made is not None
    return made.model_proto.SerializeToString()


def _read_onnx(data: bytes) -> Run:
    runtime = _import_onnx()
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = session.run(list(OUTPUTS), {name: inputs[name].cpu().numpy() for name in names})
        return {name: torch.from_numpy(each) for name, each in zip(OUTPUTS, found, strict=True)}

    return run


def _import_onnx() -> Any:
    """onnxruntime; InputError with the line to type where any of the three packages is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX needs packages that are not installed ({error}); {ONNX_PACKAGES}") from error
    return onnxruntime


def _hypot(x: Tensor, y: Tensor) -> Tensor:
    """ONNX has no hypot; lengths in metres neither overflow nor vanish when squared."""
    return (x * x + y * y).sqrt()


def _described(meanings: Mapping[str, Meaning], tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """What the .json tells of each tensor: its shape as letters and as numbers, the number of pairs left open."""
    return [{"name": name, "sizes": meanings[name].sizes, "shape": ["B", *tensors[name].shape[1:]],
             "type": str(tensors[name].dtype).removeprefix("torch."), "meaning": meanings[name].words}
            for name in meanings]


@dataclass(frozen=True)
class _Program:
    """How one kind of file is written and read."""

    write: Callable[[Network, dict[str, Tensor], bool], bytes]
    read: Callable[[bytes], Run]


_PROGRAMS = {"pt2": _Program(_write_pt2, _read_pt2), "onnx": _Program(_write_onnx, _read_onnx)}
