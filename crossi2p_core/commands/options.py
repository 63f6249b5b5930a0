"""Arguments and options that several commands have, each declared once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", show_default=False,
        help="A recording (KITTI raw, odometry or object, nuScenes, a ROS bag, pairs, compact), a folder of such, "
             "or synthetic:street?seed=0&frames=10 (street, yard, hall). Options of its reader may follow it: "
             "'BAG?cloud_topic=/top/points&info_topic=/front/camera_info&slop=0.1'.",
    ),
]
CameraOption = Annotated[
    str | None,
    typer.Option("--camera", metavar="NAME", show_default=False,
                 help="Which camera, in the recording's own terms: image_03, CAM_FRONT, an image topic."),
]
FramesOption = Annotated[
    str | None,
    typer.Option("--frames", metavar="FRAMES", show_default=False,
                 help="Which frames: a slice as in Python (0:10, ::5, -3:), a range with both ends (0-5), numbers "
                      "(0,4,7), names, or a mixture. Default: all."),
]
JobsOption = Annotated[int, typer.Option("--jobs", metavar="N", min=1, max=1024, help="So many processes at once.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
OutFolderOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", show_default=False, help="Folder for pictures and extrinsics."),
]


def degrees_and_metres(text: str | None, option: str) -> tuple[float, float] | None:
    """(degrees, metres) of an option written DEG,CM; None stays None.

    Raises InputError unless they are two finite numbers, 0..180 degrees and 0 cm or more.
    """
    if text is None:
        return None
    try:
        degrees, centimetres = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: write degrees and centimetres with a comma between, such as 2,20") from None
    if not (0 <= degrees <= 180 and 0 <= centimetres < math.inf):
        raise InputError(f"{option} {text}: degrees must lie in 0..180 and centimetres must not be negative")
    return degrees, centimetres / 100
