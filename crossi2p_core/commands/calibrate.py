"""`crossi2p calibrate`: many frames in, the one extrinsic of the rig out, in the forms that robots read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..motion import MOST_SWEEPS
from .fleet import calibrate_fleet, fleet_in_words
from .options import FramesOption, JobsOption, JsonOption, OutFolderOption
from .records import plain
from .rig import Rig, calibrate_rig

EXIT_CODES = {"ok": 0, "uncertain": 0, "failed": 1}


def calibrate(
    sources: Annotated[list[str], typer.Argument(
        metavar="SOURCE...", show_default=False,
        help="A recording, as every command takes it; several: a fleet, one vehicle each.")],
    frames: FramesOption = None,
    cameras: Annotated[str | None, typer.Option(
        "--camera", metavar="NAMES", show_default=False,
        help="Which cameras, in the recording's own terms, with commas between: each is calibrated, and whether they "
             "stand to each other as the recording says is told.")] = None,
    init: Annotated[str | None, typer.Option(
        "--init", metavar="FILES", show_default=False,
        help="Start from the T_cam_lidar of this YAML or JSON file instead of the recorded extrinsic; several cameras: "
             "a file for each, in the order of --camera with commas between, or the --out folder of an earlier "
             "run.")] = None,
    search: Annotated[str | None, typer.Option(
        "--search", metavar="DEG,CM", show_default=False,
        help="How wrong the start may be. Default: the bounds of --perturb, else 2,20.")] = None,
    perturb: Annotated[str | None, typer.Option(
        "--perturb", metavar="DEG,CM", show_default=False,
        help="Make the recorded extrinsic wrong first, to see whether it is found again.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of --perturb.")] = 0,
    from_scratch: Annotated[bool, typer.Option(
        "--from-scratch", help="Start from no extrinsic at all.")] = False,
    weights: Annotated[Path | None, typer.Option(
        "--weights", metavar="FILE", show_default=False, help="A checkpoint of crossi2p train; none: no network. "
                                                          "Default: the package's own.")] = None,
    accumulate: Annotated[int, typer.Option(
        "--accumulate", metavar="N", min=0, max=MOST_SWEEPS,
        help="Join each scan with those of N frames before and after it, for LiDARs of few beams.")] = 0,
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", show_default=False, help="Settings of the calibration (YAML).")] = None,
    out: OutFolderOption = None,
    camera_frame: Annotated[str | None, typer.Option(
        "--camera-frame", metavar="FRAMES", show_default=False,
        help="What the robot calls the optical frames, in the order of --camera. Default: what the bag says; elsewhere "
             "camera_optical, or NAME_optical of the cameras named.")] = None,
    lidar_frame: Annotated[str | None, typer.Option(
        "--lidar-frame", metavar="FRAME", show_default=False,
        help="What the robot calls the LiDAR's frame. Default: what the bag says; elsewhere lidar.")] = None,
    as_json: JsonOption = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    jobs: JobsOption = 1,
    ray: Annotated[str | None, typer.Option(
        "--ray", metavar="ADDRESS", show_default=False,
        help="Several recordings: on this Ray cluster; local: on one of this machine's own.")] = None,
) -> None:
    """Find the one extrinsic that a rig's frames agree on, and say how sure it is and what they leave open.

    Into --out: extrinsic.yaml, a URDF joint, a static_transform_publisher command, Autoware's and Kalibr's forms,
    before/after pictures and report.html; one folder per camera where there are several.

    Several recordings, or one with --jobs or --ray: a folder per vehicle, and fleet.csv and fleet.json with a row for
    each. What is there already is not done again; a recording that cannot be used is a row that says why.

    Exit code: 0 ok or uncertain; 1 one failed; 2 the input cannot be used.
    """
    rigs = [Rig(source, frames, cameras, init, search, perturb, seed, from_scratch, _text(weights),
                _text(config), _text(out), camera_frame, lidar_frame, device, accumulate) for source in sources]
    if len(rigs) > 1 or (out is not None and (jobs > 1 or ray is not None)):  # bags/* may be one
        _fleet(rigs, out, jobs, ray, as_json)
    from ..calibrate.report import in_words

    report = calibrate_rig(rigs[0])
    print(json.dumps(plain(report), allow_nan=False) if as_json else "\n".join(
        [*(in_words(one) for one in report["cameras"]), *_relations(report["between"]),
         *([f"written to {out}"] if out else [])]))
    raise typer.Exit(max(EXIT_CODES[one["status"]] for one in report["cameras"]))


def _fleet(rigs: Sequence[Rig], out: Path | None, jobs: int, ray: str | None, as_json: bool) -> None:
    """Many vehicles; ends the command."""
    if out is None:
        raise InputError("several recordings need --out, a folder where each vehicle gets one of its own")
    rows = calibrate_fleet(rigs, out, jobs, ray)
    print(json.dumps(rows, allow_nan=False) if as_json else fleet_in_words(rows, out))
    raise typer.Exit(max(EXIT_CODES[row["status"]] for row in rows))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _relations(entries: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{entry['cameras'][0]} to {entry['cameras'][1]}: {entry['apart_deg']:.2f} deg, {entry['apart_cm']:.1f} cm "
            "from what the recording says" for entry in entries if "apart_deg" in entry]
