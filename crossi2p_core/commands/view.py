"""`crossi2p view`: one frame with its cloud, in a window where there is a display, else as a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..calibration_file import read_calibration
from ..datasets import open_source
from ..errors import InputError
from .options import CameraOption, SourceArgument
from .results import file_stem
from .selection import select_frames


def view(
    source: SourceArgument,
    frame: Annotated[str, typer.Option("--frame", metavar="FRAME", help="Which frame: a number or a name.")] = "0",
    camera: CameraOption = None,
    init: Annotated[Path | None, typer.Option(
        "--init", metavar="FILE", show_default=False, help="Show the T_cam_lidar of this file, not the recorded one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(
        "--out", metavar="PNG", show_default=False, help="Write a picture instead of opening a window.")] = None,
) -> None:
    """Show one frame: the cloud coloured by the image in a window, or the cloud drawn on the image as a picture."""
    opened = open_source(source, camera=camera)
    sample = opened[select_frames(opened, frame)[0]]
    T_cam_lidar = sample.T_cam_lidar if init is None else read_calibration(init)
    if T_cam_lidar is None:
        raise InputError(f"{sample.name} has no recorded extrinsic; give one with --init calib.yaml")
    if out is None and _has_display():
        from ..viz.window import show

        show(sample, T_cam_lidar)
        return
    from ..viz.image_file import write_image
    from ..viz.overlay import draw_overlay

    target = out or Path(f"{file_stem(sample.name)}_overlay.png")
    write_image(target, draw_overlay(sample.image, sample.camera, sample.cloud, T_cam_lidar))
    print(target)


def _has_display() -> bool:
    """Whether a window could open here: X11 or Wayland announce themselves in the environment."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
