"""`crossi2p view`: one frame with its cloud, in a window where there is a display, else as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..calibration_file import read_calibration
from ..datasets import open_source
from ..datasets.selection import select_frames
from ..errors import InputError
from .options import CameraOption, SourceArgument
from .results import file_stem


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
    """Show one frame and its coloured cloud in a window; without a display, write the picture NAME_view.png."""
    opened = open_source(source, camera=camera)
    sample = opened[select_frames(opened, frame)[0]]
    T_cam_lidar = sample.T_cam_lidar if init is None else read_calibration(init)
    if T_cam_lidar is None:
        raise InputError(f"{sample.name} has no recorded extrinsic; give one with --init calib.yaml")
    if out is not None:
        from ..viz.image_file import write_image
        from ..viz.picture import view_picture

        write_image(out, view_picture(sample, T_cam_lidar))
        print(out)
        return
    from ..viz.window import show

    if written := show(sample, T_cam_lidar, Path(f"{file_stem(sample.name)}_view.png")):
        print(written)
