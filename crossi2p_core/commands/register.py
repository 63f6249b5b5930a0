"""`crossi2p register`: real frames and a rough extrinsic in, a better and judged one out."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..datasets import open_source
from ..datasets.selection import select_frames
from ..datasets.source import Source
from ..errors import InputError
from ..types import Prior, Sample
from .options import CameraOption, FramesOption, JsonOption, OutFolderOption, SourceArgument, degrees_and_metres
from .progress import progress
from .records import exit_code, lost_record, make_record, plain, summarize
from .results import staged_folder, write_registration, write_report
from .starts import Starts
from .words import report_in_words

if TYPE_CHECKING:
    from ..registrar import Registrar

def register(
    source: SourceArgument,
    frames: FramesOption = None,
    camera: CameraOption = None,
    perturb: Annotated[str | None, typer.Option(
        "--perturb", metavar="DEG,CM", show_default=False,
        help="Make the recorded extrinsic wrong first: an angle uniform in 0..DEG about a random axis, a shift uniform "
             "in 0..CM in a random direction; anew for every frame, once for all with --joint.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of --perturb.")] = 0,
    init: Annotated[Path | None, typer.Option(
        "--init", metavar="FILE", show_default=False,
        help="Start from the T_cam_lidar of this YAML or JSON file instead of the recorded extrinsic.")] = None,
    search: Annotated[str | None, typer.Option(
        "--search", metavar="DEG,CM", show_default=False,
        help="How wrong the start may be. Default: the bounds of --perturb, else 2,20.")] = None,
    joint: Annotated[bool, typer.Option(
        "--joint", help="One extrinsic for all chosen frames of one rig (the largest group where there are several).")
    ] = False,
    out: OutFolderOption = None,
    as_json: JsonOption = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", show_default=False, help="Settings of the registrar (YAML).")] = None,
    weights: Annotated[Path | None, typer.Option(
        "--weights", metavar="FILE", show_default=False,
        help="A checkpoint of crossi2p train, for the network that helps to look for a start where there is none, or "
             "one that may be more than 5 deg or 25 cm wrong (--search); none: no network. Default: the package's own."
        )] = None,
    from_scratch: Annotated[bool, typer.Option(
        "--from-scratch", help="Start from no extrinsic at all: by the network, and by edges all around.")] = False,
) -> None:
    """Find where the camera sits relative to the LiDAR, and say how sure that is.

    Starts from the extrinsic recorded with SOURCE, from --init, or with --from-scratch from nothing.

    Exit code: 0 registered, every frame has an answer (ok or uncertain); 1 at least one frame is not registered
    (failed); 2 the input cannot be used.
    """
    starts = Starts.from_options(degrees_and_metres(perturb, "--perturb"), seed, init,
                                 degrees_and_metres(search, "--search"), from_scratch)
    opened = open_source(source, camera=camera)
    chosen = select_frames(opened, frames)
    from ..registrar import Registrar  # loads torch: not before the rest of the input is known to be usable

    registrar = Registrar(config, device, weights)
    with staged_folder(out) as folder:
        run = _register_jointly if joint else _register_each
        records = run(opened, chosen, starts, registrar, folder)
        report = plain({"frames": records, "summary": summarize(records)})
        if folder is not None:
            write_report(folder, report)
    print(json.dumps(report, allow_nan=False) if as_json else report_in_words(report, out))
    raise typer.Exit(exit_code(report["summary"]))


def _register_each(source: Source, chosen: list[int], starts: Starts, registrar: Registrar,
                   folder: Path | None) -> list[dict[str, Any]]:
    """A record for every frame, each registered for itself."""
    records = []
    with progress("Registering") as advance:
        for done, index in enumerate(chosen, 1):
            sample = source[index]
            prior = starts.for_frame(sample, index)
            records.append(_register_one(sample, prior, registrar, folder))
            advance(done, len(chosen))
    return records


def _register_one(sample: Sample, prior: Prior | None, registrar: Registrar, folder: Path | None) -> dict[str, Any]:
    """A record of one frame; with no start at all, a frame whose camera is found nowhere is a failed one."""
    begin = time.perf_counter()
    try:
        result = registrar.register_anywhere([sample]) if prior is None else registrar.register(sample, prior)
    except InputError as error:
        if prior is not None:
            raise
        return lost_record(sample.name, str(error), time.perf_counter() - begin, sample.T_cam_lidar)
    seconds = time.perf_counter() - begin
    start = None if prior is None else prior.T_cam_lidar
    record = make_record(sample.name, start, result, sample.T_cam_lidar, seconds)
    if folder is not None:
        write_registration(folder, [sample], start, result, record)
    return record


def _register_jointly(source: Source, chosen: list[int], starts: Starts, registrar: Registrar,
                      folder: Path | None) -> list[dict[str, Any]]:
    """One record, of the largest group of frames with one rig; it names the frames `used` and those `left_out`."""
    groups = _read_groups(source, chosen)
    samples = max(groups.values(), key=len)
    left_out = [sample.name for group in groups.values() if group is not samples for sample in group]
    if left_out:
        print(f"crossi2p: {len(left_out)} of {len(chosen)} frames are not of the rig {samples[0].rig!r}, which has the "
              "most frames, and are left out", file=sys.stderr)
    prior = starts.for_group(samples[0])
    begin = time.perf_counter()
    together = {"rig": samples[0].rig, "used": [sample.name for sample in samples], "left_out": left_out}
    try:
        with progress(f"Registering {len(samples)} frames jointly"):
            result = registrar.register_anywhere(samples) if prior is None else registrar.register_joint(samples, prior)
    except InputError as error:
        if prior is not None:
            raise
        lost = lost_record("joint", str(error), time.perf_counter() - begin, samples[0].T_cam_lidar)
        return [lost | together]
    seconds = time.perf_counter() - begin
    start = None if prior is None else prior.T_cam_lidar
    record = make_record("joint", start, result, samples[0].T_cam_lidar, seconds)
    if folder is not None:
        write_registration(folder, samples, start, result, record)
    return [record | together]


def _read_groups(source: Source, chosen: list[int]) -> dict[str, list[Sample]]:
    """The chosen samples by rig."""
    groups: dict[str, list[Sample]] = {}
    with progress("Reading") as advance:
        for done, index in enumerate(chosen, 1):
            sample = source[index]
            groups.setdefault(sample.rig, []).append(sample)
            advance(done, len(chosen))
    return groups
