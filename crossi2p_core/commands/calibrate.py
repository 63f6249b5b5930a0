"""`crossi2p calibrate`: many frames in, the one extrinsic of the rig out, in the forms that robots read."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from .. import atomic
from ..calibration_file import Extrinsic, write_calibration
from ..config import load_config
from ..datasets import open_source
from ..datasets.selection import select_frames
from ..datasets.source import Source
from ..errors import InputError
from .options import FramesOption, JsonOption, OutFolderOption, SourceArgument, degrees_and_metres
from .progress import progress
from .records import plain
from .results import file_stem, staged_folder, write_report
from .starts import Starts

if TYPE_CHECKING:
    from ..calibrate.config import CalibrateConfig
    from ..calibrate.run import Calibration
    from ..registrar import Registrar

PICTURES = 3
EXIT_CODES = {"ok": 0, "uncertain": 0, "failed": 1}


@dataclass(frozen=True)
class Frames:
    """What the robot calls the two ends of an extrinsic."""

    camera: str
    lidar: str


def calibrate(
    source: SourceArgument,
    frames: FramesOption = None,
    cameras: Annotated[str | None, typer.Option(
        "--camera", metavar="NAMES", show_default=False,
        help="Which cameras, in the recording's own terms, with commas between: each is calibrated, and whether they "
             "stand to each other as the recording says is told.")] = None,
    init: Annotated[Path | None, typer.Option(
        "--init", metavar="FILE", show_default=False,
        help="Start from the T_cam_lidar of this YAML or JSON file instead of the recorded extrinsic.")] = None,
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
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", show_default=False, help="Settings of the calibration (YAML).")] = None,
    out: OutFolderOption = None,
    camera_frame: Annotated[str | None, typer.Option(
        "--camera-frame", metavar="FRAMES", show_default=False,
        help="What the robot calls the optical frames, in the order of --camera. Default: camera_optical, or "
             "NAME_optical where there are several.")] = None,
    lidar_frame: Annotated[str, typer.Option(
        "--lidar-frame", metavar="FRAME", help="What the robot calls the LiDAR's frame.")] = "lidar",
    as_json: JsonOption = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
) -> None:
    """Find the one extrinsic that a rig's frames agree on, and say how sure it is and what they leave open.

    Into --out: extrinsic.yaml, a URDF joint, a static_transform_publisher command, Autoware's and Kalibr's forms,
    before/after pictures and report.html; one folder per camera where there are several.

    Exit code: 0 ok or uncertain; 1 failed; 2 the input cannot be used.
    """
    starts = Starts.from_options(degrees_and_metres(perturb, "--perturb"), seed, init,
                                 degrees_and_metres(search, "--search"), from_scratch)
    names = [None] if cameras is None else _listed(cameras, "--camera", "image_02,image_03")
    frame_ids = _frame_ids(names, camera_frame)
    opened = [open_source(source, camera=name) for name in names]
    from ..calibrate.config import CalibrateConfig
    from ..calibrate.report import between, in_words
    from ..registrar import Registrar

    settings, registrar = load_config(CalibrateConfig, config), Registrar(None, device, weights)
    records, recorded = [], {}
    with staged_folder(out) as folder:
        for name, frame_id, one in zip(names, frame_ids, opened, strict=True):
            title = name or "camera"
            inside = folder if folder is None or name is None or len(names) == 1 else folder / file_stem(name)
            found, told, truth = _calibrate(one, select_frames(one, frames), title, starts, registrar, settings)
            if inside is not None:
                inside.mkdir(exist_ok=True)
                _write(inside, one, found, told, Frames(frame_id, lidar_frame))
            records.append(told)
            recorded[title] = truth
        report = {"cameras": records, "between": between(records, recorded)}
        if folder is not None:
            write_report(folder, plain(report))
    print(json.dumps(plain(report), allow_nan=False) if as_json else "\n".join(
        [*(in_words(one) for one in records), *_relations(report["between"]), *([f"written to {out}"] if out else [])]))
    raise typer.Exit(max(EXIT_CODES[one["status"]] for one in records))


def _calibrate(source: Source, chosen: Sequence[int], title: str, starts: Starts, registrar: Registrar,
               settings: CalibrateConfig) -> tuple[Calibration, dict[str, Any], np.ndarray | None]:
    """One camera: what was found, its record, and the recorded extrinsic."""
    from ..calibrate.frames import read_frames
    from ..calibrate.report import record
    from ..calibrate.run import calibrate as calibrate_rig

    begin = time.perf_counter()
    with progress(f"Calibrating {title}") as advance:
        def told(_: str, done: int, of: int) -> None:
            advance(done, of)

        read = read_frames(source, chosen, settings.candidates, told)
        found = calibrate_rig(read, starts.for_group(read.samples[0]), registrar, settings, told)
    truth = read.samples[0].T_cam_lidar
    return found, record(found, title, truth, time.perf_counter() - begin), truth


def _write(folder: Path, source: Source, found: Calibration, told: dict[str, Any], ids: Frames) -> None:
    """All files of one camera."""
    from ..calibrate import formats
    from ..calibrate.report import write_page
    from ..viz.image_file import write_image
    from ..viz.overlay import before_after, draw_overlay

    T, verdict = found.T_cam_lidar, found.verdict
    write_calibration(folder / "extrinsic.yaml", Extrinsic(
        T, ids.camera, ids.lidar, found.covariance, verdict.status, verdict.reason,
        f"{len(found.used)} frames of {source.path}"))
    samples = [source[source.index_of(name)] for name in found.used[:PICTURES]]
    topics = f"/{told['name']}/image_raw", f"/{ids.lidar}/points"
    texts = {"extrinsic.urdf.xml": formats.urdf_joint(T, ids.lidar, ids.camera),
             "static_transform.txt": formats.static_transform(T, ids.lidar, ids.camera),
             "sensor_kit_calibration.yaml": formats.autoware(T, ids.lidar, ids.camera),
             "camchain.yaml": formats.kalibr(T, samples[0].camera, *topics)}
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


def _listed(text: str, option: str, example: str) -> list[str]:
    """Words with commas between; InputError where one is empty or comes twice."""
    words = [word.strip() for word in text.split(",")]
    if len(set(words)) < len(words) or "" in words:
        raise InputError(f"{option} {text}: write each once, such as {example}")
    return words


def _frame_ids(names: Sequence[str | None], told: str | None) -> list[str]:
    """The optical frame of each camera; InputError where there are not as many as cameras."""
    if told is None:
        return ["camera_optical"] if len(names) == 1 else [f"{name}_optical" for name in names]
    ids = _listed(told, "--camera-frame", "left_optical,right_optical")
    if len(ids) != len(names):
        raise InputError(f"--camera-frame {told} names {len(ids)} frames for {len(names)} cameras; name one for each")
    return ids


def _relations(entries: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{entry['cameras'][0]} to {entry['cameras'][1]}: {entry['apart_deg']:.2f} deg, {entry['apart_cm']:.1f} cm "
            "from what the recording says" for entry in entries if "apart_deg" in entry]
