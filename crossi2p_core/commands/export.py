"""`crossi2p export`: the network of a checkpoint as a program that runs without this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..datasets import Source, open_source
from ..errors import InputError

if TYPE_CHECKING:
    from ..export import Kind
    from ..model.batch import Batch
    from ..model.config import NetworkConfig

TOLERANCE = {"pt2": 1e-3, "onnx": 1e-3, "half": 0.5}
UNITS = "in parts of 1 or of the value if that is larger"
FLOW_UNITS = "pixels in px, log_scale as it is"
EXAMPLE = "synthetic:street?seed=0&frames=3&camera=kitti&lidar=hdl64"


def export(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", show_default=False,
                                            help="A checkpoint of crossi2p train: step-N.json or .safetensors.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False,
                                        help="File to write, such as light.pt2; OUT.json beside it tells what goes in "
                                             "and comes out.")],
    form: Annotated[str, typer.Option("--format", metavar="pt2|onnx|half",
                                      help="A torch.export program, ONNX, or a checkpoint in float16, to be shipped.")
                    ] = "pt2",
    batch: Annotated[str, typer.Option("--batch", metavar="any|N", help="Pairs at once: any number, or always N.")
                     ] = "any",
    source: Annotated[str, typer.Option("--source", metavar="SOURCE",
                                        help="Recording on whose first frames the program is checked.")] = EXAMPLE,
    tolerance: Annotated[float | None, typer.Option(
        "--tolerance", show_default=False,
        help="Largest difference from the network, in parts of 1 or of the value if that is larger; of a flow "
             "network in px. Default: 1e-3; 0.5 for half.")] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda",
                                        help="Where a pt2 is to run; ONNX runs anywhere.")] = "cpu",
) -> None:
    """Write the network of WEIGHTS as a program, check it against the network, and tell the largest differences.

    With --format half it is the weights themselves that are written, OUT.safetensors and OUT.json: for --weights.

    Exit code: 0 written; 2 the input cannot be used, or the program differs from the network (then nothing is written).
    """
    kind, pairs = _kind(form), _pairs(batch)
    read = {weights.with_suffix(ending).resolve() for ending in (".json", ".safetensors", ".training.safetensors")}
    written = {out.resolve(), (out.with_suffix(".json") if kind == "half" else Path(f"{out}.json")).resolve()}
    if read & written:
        raise InputError(f"{out} would overwrite the checkpoint itself; give the program another name")
    allowed = tolerance if tolerance is not None else TOLERANCE[kind]
    if not allowed > 0:
        raise InputError(f"--tolerance {allowed}: give a number above 0, such as 1e-3")
    opened = open_source(source)
    from ..export import sidecar, write_export
    from ..export_half import write_half, write_half_flow
    from ..flow_aligner import is_flow
    from ..matcher import load_network
    from ..registrar import choose_device
    from ..train import checkpoint

    if is_flow(checkpoint.load(weights, training=False)):
        if kind != "half":
            raise InputError(f"{weights} is of a flow network, which is written by --format half alone")
        _tell(write_half_flow(weights, out, _flow_batches(opened, weights), allowed), FLOW_UNITS)
        print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, with {out.with_suffix('.json').name}")
        return
    network, place = load_network(weights), choose_device(device if kind == "pt2" else "cpu")
    counts = [2, 1, 3] if pairs is None else [pairs]
    batches = [each.to(place) for each in _batches(opened, network.config, counts)]
    if kind == "half":
        found = write_half(weights, out, batches, allowed)
    else:
        about = {"weights": weights.name, "source": source, "tolerance": allowed}
        found = write_export(network.to(place), out, kind, batches, allowed, pairs is None, about)
    _tell(found, UNITS)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, with {out.with_suffix('.json').name}" if kind == "half" else
          f"{out}: {'any number of' if pairs is None else pairs} pairs at once, {place.type}; {sidecar(out)} tells "
          "what goes in and comes out")


def _tell(found: dict[str, float], units: str) -> None:
    print(f"largest difference from the network, {units}:")
    for name, value in found.items():
        print(f"  {name:18} {value:.2g}")


def _flow_batches(source: Source, weights: Path) -> list[Batch]:
    """Frames of the recording, each by itself, as the flow network takes them."""
    from ..flow_aligner import load_flow_network
    from ..model.flow_inputs import make_flow_batch

    if len(source) == 0:
        raise InputError("the recording to check with has no frames; give another --source")
    config = load_flow_network(weights).config
    return [make_flow_batch(source[index], config, tight=True) for index in range(min(3, len(source)))]


def _kind(form: str) -> Kind | Literal["half"]:
    if form == "pt2":
        return "pt2"
    if form == "onnx":
        return "onnx"
    if form == "half":
        return "half"
    raise InputError(f"--format {form} is not known; use pt2, onnx or half")


def _pairs(batch: str) -> int | None:
    """How many pairs; None: any number."""
    if batch == "any":
        return None
    if not batch.isdecimal() or not 1 <= int(batch) <= 1024:
        raise InputError(f"--batch {batch}: write any, or a number of pairs from 1 to 1024")
    return int(batch)


def _batches(source: Source, config: NetworkConfig, counts: list[int]) -> list[Batch]:
    """Batches of so many pairs; where there are fewer frames they come again, thinned otherwise."""
    import numpy as np

    from ..model.batch import collate
    from ..model.inputs import make_batch

    if len(source) == 0:
        raise InputError("the recording to check with has no frames; give another --source")
    pairs = [make_batch(source[number % len(source)], config, rng=np.random.default_rng(number))
             for number in range(max(counts))]
    return [collate(pairs[:count]) for count in counts]
