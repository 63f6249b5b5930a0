"""`crossi2p monitor`: is the calibration still good? Frame by frame, as the node does it while the robot drives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from .. import atomic
from ..calibrate.time_offset import at_exposure
from ..calibration_file import LONGEST_OFFSET_S, Extrinsic, read_extrinsic, write_calibration
from ..config import load_config
from ..datasets import Source, open_source
from ..datasets.selection import select_frames
from ..errors import InputError
from ..types import Prior, Sample
from .knocks import Knock, KnockOption, KnockSeedOption, read_knock
from .options import CameraOption, FramesOption, JsonOption, SourceArgument, degrees_and_metres
from .progress import progress
from .records import plain
from .results import staged_folder
from .starts import Starts

if TYPE_CHECKING:
    from ..monitor.follow import Followed, Follower, Repair
    from ..motion.track import Track
    from ..registrar import Registrar

Advance = Callable[[int, int], None]
EXIT_CODES = {"calibrated": 0, "repaired": 0, "suspect": 1, "decalibrated": 1, "unknown": 3}


def monitor(
    source: SourceArgument,
    frames: FramesOption = None,
    camera: CameraOption = None,
    init: Annotated[Path | None, typer.Option(
        "--init", metavar="FILE", show_default=False,
        help="The calibration in use, T_cam_lidar of this YAML or JSON file. Default: the recorded extrinsic.")] = None,
    search: Annotated[str | None, typer.Option(
        "--search", metavar="DEG,CM", show_default=False,
        help="How far from it a frame looks. Default: 2,20.")] = None,
    policy: Annotated[Literal["report", "propose", "apply"], typer.Option(
        "--policy", help="Once it is off: say so; find another one too; use that from then on.")] = "report",
    knock: KnockOption = None,
    seed: KnockSeedOption = 0,
    state: Annotated[Path | None, typer.Option(
        "--state", metavar="FILE", show_default=False,
        help="What the watch knows: read first where it is there, written at each change and at the end.")] = None,
    time_offset: Annotated[float | None, typer.Option(
        "--time-offset", metavar="SECONDS", min=-LONGEST_OFFSET_S, max=LONGEST_OFFSET_S, show_default=False,
        help="Images were taken so much later than their stamps say; every cloud is moved there by how the vehicle "
             "moved. Default: what the file of --init says, where crossi2p calibrate wrote it; else none is.")] = None,
    max_turn: Annotated[float | None, typer.Option(
        "--max-turn", metavar="DEG_S", min=0.1, show_default=False,
        help="Frames during turns faster than so many degrees per second say nothing: a turn bends the scan. By "
             "recorded poses, else from scan to scan (needs open3d). Default: all count.")] = None,
    out: Annotated[Path | None, typer.Option(
        "--out", metavar="DIR", show_default=False,
        help="Folder for timeline.json and, if a new calibration was found, extrinsic.yaml.")] = None,
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", show_default=False,
        help="Settings (YAML): least_deg, least_m, false_alarms, window and so on.")] = None,
    weights: Annotated[Path | None, typer.Option(
        "--weights", metavar="FILE", show_default=False, help="A checkpoint of crossi2p train; none: no network. "
                                                              "Default: the package's own.")] = None,
    as_json: JsonOption = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
) -> None:
    """Watch a calibration over the frames of a drive: calibrated, suspect, decalibrated, repaired, or cannot tell.

    Exit code, by the last frame: 0 calibrated or repaired; 1 suspect or decalibrated; 3 cannot tell; 2 the input cannot
    be used.
    """
    starts = Starts.from_options(None, 0, init, degrees_and_metres(search, "--search"))
    opened = open_source(source, camera=camera)
    chosen = select_frames(opened, frames)
    knocks = read_knock(knock, seed, len(chosen))
    rig, start = _first(opened, chosen, starts)
    late = read_extrinsic(init).time_offset_s if time_offset is None and init is not None else time_offset
    from ..monitor.config import MonitorConfig
    from ..monitor.follow import Follower
    from ..monitor.state_file import read_watch, write_watch
    from ..monitor.watch import Watch
    from ..motion.accumulated import track_of
    from ..registrar import Registrar

    settings = load_config(MonitorConfig, config)
    known = None if state is None else read_watch(state, np.asarray(start.T_cam_lidar), settings)
    registrar = Registrar(None, device, weights)
    follower = Follower(known or Watch(np.asarray(start.T_cam_lidar), settings), registrar, policy)
    track = None if max_turn is None and late is None else track_of(opened)
    drive = _Drive(opened, chosen, rig, start, knocks, track, max_turn, late)

    def keep() -> None:
        if state is not None:
            write_watch(state, follower.watch)

    rows, found = [], None
    with progress("Watching") as advance, staged_folder(out) as folder:
        keep()  # where that fails, it fails before the drive and not after it
        try:
            for name, followed in drive.followed(follower, registrar, advance):
                rows.append(_row(name, followed))
                found = followed.repair or found
                if followed.said.changed or followed.repair:
                    keep()
                if not as_json and (followed.said.changed or followed.repair or followed.failed):
                    print(_in_words(followed), flush=True)
        finally:
            keep()
        report = plain({"frames": rows, "state": rows[-1]["state"], "words": rows[-1]["words"]})
        if folder is not None:
            _write(folder, report, found, source, late)
    print(json.dumps(report, allow_nan=False) if as_json else f"{report['state']}: {report['words']}")
    raise typer.Exit(EXIT_CODES[report["state"]])


def _first(source: Source, chosen: list[int], starts: Starts) -> tuple[str, Prior]:
    """The rig of the first frame that can be read, which is the one watched, and the calibration in use. Raises
    InputError where none can be read."""
    reasons = []
    for index in chosen:
        try:
            sample = source[index]
        except InputError as error:
            reasons.append(str(error))
            continue
        start = starts.for_group(sample)
        assert start is not None
        return sample.rig, start
    raise InputError(f"none of the {len(chosen)} frames can be read; the first: {reasons[0]}")


@dataclass(frozen=True)
class _Drive:
    """The frames that are looked at. start: the calibration in use, and how far from it is searched. track: where
    motion counts. max_turn: deg/s; frames of faster turns say nothing. late: s that images are late by, which
    scans are moved by; None: they stay."""

    source: Source
    chosen: list[int]
    rig: str
    start: Prior
    knock: Knock | None
    track: Track | None
    max_turn: float | None
    late: float | None

    def followed(self, follower: Follower, registrar: Registrar, advance: Advance) -> Iterator[tuple[str, Followed]]:
        """Every frame, and what follows from it."""
        for number, index in enumerate(self.chosen):
            name = self.source.names[index]
            try:
                sample = self._read(number, index)
                prior = Prior(follower.watch.T_in_use, self.start.max_deg, self.start.max_m)
                yield name, follower.after(sample, registrar.register(sample, prior))
            except InputError as error:
                yield name, follower.without(name, str(error))
            advance(number + 1, len(self.chosen))

    def _read(self, number: int, index: int) -> Sample:
        """Raises InputError for a frame that says nothing of the calibration in use."""
        sample = self.source[index]
        if sample.rig != self.rig:
            raise InputError(f"is of the rig {sample.rig!r}, the one watched is {self.rig!r}")
        twist = None if self.track is None else self.track.twist(index)
        if twist is not None and self.max_turn is not None:
            turn = float(np.degrees(np.linalg.norm(twist[:3])))
            if turn > self.max_turn:
                raise InputError(f"the vehicle turns by {turn:.0f} deg/s, and --max-turn allows {self.max_turn:g}")
        if self.late is not None:
            if twist is None:
                raise InputError(f"images are {1000 * self.late:.0f} ms late, and nobody knows how the vehicle moved")
            sample = at_exposure([sample], [twist], self.late)[0]
        return sample if self.knock is None else self.knock.seen(sample, number)


def _write(folder: Path, report: dict[str, Any], repair: Repair | None, source: str, late: float | None) -> None:
    """The timeline, and the last new calibration where there is one."""
    atomic.write_text(folder / "timeline.json", json.dumps(report, indent=1, allow_nan=False))
    if repair is None:
        return
    found = repair.found
    write_calibration(folder / "extrinsic.yaml", Extrinsic(
        found.T_cam_lidar, "camera", "lidar", found.covariance, found.verdict.status, repair.words,
        f"{len(found.used)} frames of {source}", time_offset_s=late))


def _row(name: str, followed: Followed) -> dict[str, Any]:
    said, repair = followed.said, followed.repair
    return {"name": name, "state": followed.state.value, "words": followed.words, "score": said.reading.score,
            "usable_frames": said.reading.usable, "places": said.reading.places, "since": said.since,
            "turned_deg": said.moved[0], "shifted_m": said.moved[1], "within_deg": said.reading.bounds[0],
            "within_m": said.reading.bounds[1],
            "repair": None if repair is None else {"applied": repair.applied, "words": repair.words,
                                                   "T_cam_lidar": repair.found.T_cam_lidar},
            "no_repair": followed.failed or None}


def _in_words(followed: Followed) -> str:
    said = followed.said
    line = f"{said.name}: {said.state.value}: {said.words}"
    if followed.repair is None:
        return f"{line}\n{said.name}: {followed.failed}" if followed.failed else line
    return f"{line}\n{said.name}: {followed.repair.words}"
