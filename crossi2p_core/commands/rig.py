"""One rig, from a recording to files: what `crossi2p calibrate` does once, and for each vehicle of a fleet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import atomic
from ..calibration_file import Extrinsic, write_calibration
from ..config import load_config
from ..datasets import open_source
from ..datasets.selection import select_frames
from ..datasets.source import RobotNames, Source
from ..errors import InputError
from ..weights import find_flow_weights, find_weights
from .options import degrees_and_metres
from .progress import progress
from .records import plain
from .results import file_stem, staged_folder, write_report
from .starts import Starts, init_files

if TYPE_CHECKING:
    from ..calibrate.config import CalibrateConfig
    from ..calibrate.run import Calibration
    from ..registrar import Registrar

PICTURES = 3


@dataclass(frozen=True)
class Rig:
    """What is asked of one rig, in plain values: as the options of `crossi2p calibrate`."""

    source: str
    frames: str | None = None
    cameras: str | None = None
    init: str | None = None
    search: str | None = None
    perturb: str | None = None
    seed: int = 0
    from_scratch: bool = False
    weights: str | None = None
    config: str | None = None
    out: str | None = None
    camera_frame: str | None = None
    lidar_frame: str | None = None
    device: str = "auto"
    accumulate: int = 0


@dataclass(frozen=True)
class Asked:
    """The options as what they mean. names: of the cameras, None: the source's own choice. starts, frame_ids: of each,
    an empty one: as the recording calls it."""

    starts: list[Starts]
    names: list[str | None]
    frame_ids: list[str]
    settings: CalibrateConfig


def read_options(rig: Rig) -> Asked:
    """Raises InputError for options that mean nothing, before any recording is opened."""
    from ..calibrate.config import CalibrateConfig

    names = camera_names(rig)
    inits = [None] * len(names) if rig.init is None else init_files(rig.init, names)
    starts = [Starts.from_options(degrees_and_metres(rig.perturb, "--perturb"), rig.seed, init,
                                  degrees_and_metres(rig.search, "--search"), rig.from_scratch) for init in inits]
    return Asked(starts, names, _frame_ids(names, rig.camera_frame), load_config(CalibrateConfig, rig.config))


def camera_names(rig: Rig) -> list[str | None]:
    """As --camera lists them; one that has no name where it does not."""
    return [None] if rig.cameras is None else [*_listed(rig.cameras, "--camera", "image_02,image_03")]


def networks(weights: str | None) -> tuple[Path | None, Path | None]:
    """The files of both networks that a calibration uses, by --weights; None: it does without."""
    found = find_weights(weights)
    return found, None if found is None else find_flow_weights(None)


def calibrate_rig(rig: Rig) -> dict[str, Any]:
    """Calibrate every camera and write all files; returns the report. Raises InputError for what cannot be used."""
    # 1. what is asked
    asked = read_options(rig)
    opened = [_joined(open_source(rig.source, camera=name), rig.accumulate) for name in asked.names]
    from ..calibrate.report import between
    from ..registrar import Registrar

    registrar = Registrar(None, rig.device, rig.weights)
    records, recorded = [], {}
    with staged_folder(None if rig.out is None else Path(rig.out)) as folder:
        # 2. each camera
        for name, starts, frame_id, one in zip(asked.names, asked.starts, asked.frame_ids, opened, strict=True):
            title = name or "camera"
            inside = folder if folder is None or name is None or len(opened) == 1 else folder / file_stem(name)
            found, told, truth = _calibrate(one, select_frames(one, rig.frames), title, starts, registrar,
                                            asked.settings)
            if inside is not None:
                inside.mkdir(exist_ok=True)
                _write(inside, one, found, told, _robot(one.robot, name, frame_id, rig.lidar_frame or ""))
            records.append(told)
            recorded[title] = truth
        # 3. what they say of each other
        report = {"cameras": records, "between": between(records, recorded)}
        if folder is not None:
            write_report(folder, plain(report))
    return report


def _calibrate(source: Source, chosen: Sequence[int], title: str, starts: Starts, registrar: Registrar,
               settings: CalibrateConfig) -> tuple[Calibration, dict[str, Any], np.ndarray | None]:
    """One camera: what was found, its record, and the recorded extrinsic."""
    from ..calibrate.frames import read_frames
    from ..calibrate.report import record
    from ..calibrate.run import calibrate

    begin = time.perf_counter()
    with progress(f"Calibrating {title}") as advance:
        def told(_: str, done: int, of: int) -> None:
            advance(done, of)

        read = read_frames(source, chosen, settings.candidates, told, moving=settings.time_offset == "auto")
        found = calibrate(read, starts.for_group(read.samples[0]), registrar, settings, told)
    truth = read.samples[0].T_cam_lidar
    return found, record(found, title, truth, time.perf_counter() - begin), truth


def _write(folder: Path, source: Source, found: Calibration, told: dict[str, Any], robot: RobotNames) -> None:
    """All files of one camera."""
    from ..calibrate import formats
    from ..calibrate.report import write_page
    from ..viz.image_file import write_image
    from ..viz.overlay import before_after, draw_overlay

    T, verdict = found.T_cam_lidar, found.verdict
    write_calibration(folder / "extrinsic.yaml", Extrinsic(
        T, robot.camera_frame, robot.lidar_frame, found.covariance, verdict.status, verdict.reason,
        f"{len(found.used)} frames of {source.path}",
        time_offset_s=found.offset.seconds if found.offset is not None and found.offset.taken else None))
    samples = found.samples[:PICTURES]
    frames = robot.lidar_frame, robot.camera_frame
    texts = {"extrinsic.urdf.xml": formats.urdf_joint(T, *frames),
             "static_transform.txt": formats.static_transform(T, *frames),
             "sensor_kit_calibration.yaml": formats.autoware(T, *frames),
             "camchain.yaml": formats.kalibr(T, samples[0].camera, robot.image_topic, robot.cloud_topic)}
    for name, text in texts.items():
        atomic.write_text(folder / name, text)
    pictures = []
    for sample in samples:
        scene, after = (sample.image, sample.camera, sample.cloud), f"after ({verdict.status})"
        picture = draw_overlay(*scene, T, title=after) if found.start is None else before_after(
            *scene, np.asarray(found.start.T_cam_lidar), T, title_before="before", title_after=after)
        write_image(folder / f"{file_stem(sample.name)}.jpg", picture)
        pictures.append((sample.name, picture))
    atomic.write_text(folder / "report.html", write_page(told, pictures))


def _joined(source: Source, sweeps: int) -> Source:
    """Each scan with those of so many frames before and after it."""
    if not sweeps:
        return source
    from ..motion.accumulated import Accumulated

    return Accumulated(source, sweeps)


def _listed(text: str, option: str, example: str) -> list[str]:
    """Words with commas between; InputError where one is empty or comes twice."""
    words = [word.strip() for word in text.split(",")]
    if len(set(words)) < len(words) or "" in words:
        raise InputError(f"{option} {text}: write each once, such as {example}")
    return words


def _frame_ids(names: Sequence[str | None], told: str | None) -> list[str]:
    """The optical frame of each camera as --camera-frame tells them; InputError where there are not as many."""
    if told is None:
        return [""] * len(names)
    ids = _listed(told, "--camera-frame", "left_optical,right_optical")
    if len(ids) != len(names):
        raise InputError(f"--camera-frame {told} names {len(ids)} frames for {len(names)} cameras; name one for each")
    return ids


def _robot(recorded: RobotNames, name: str | None, camera_frame: str, lidar_frame: str) -> RobotNames:
    """What the robot calls things: as the options say, else as it was recorded, else by the camera's name."""
    stem = "camera" if name is None else file_stem(name)  # tf2 refuses a frame that begins with a slash
    lidar = lidar_frame or recorded.lidar_frame or "lidar"
    return RobotNames(camera_frame or recorded.camera_frame or f"{stem}_optical", lidar,
                      recorded.image_topic or f"/{stem}/image_raw", recorded.cloud_topic or f"/{lidar}/points")
