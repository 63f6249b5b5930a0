"""`crossi2p bag`: any source as a ROS 2 bag, to be played to the node or to any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..datasets import open_source
from ..datasets.selection import select_view
from .knocks import Knocked, KnockOption, KnockSeedOption, read_knock
from .options import CameraOption, FramesOption, SourceArgument
from .progress import progress


def bag(
    source: SourceArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="Folder of the bag; must not exist.")],
    frames: FramesOption = None,
    camera: CameraOption = None,
    storage: Annotated[str, typer.Option("--storage", metavar="mcap|sqlite3", help="How the bag is stored.")] = "mcap",
    compressed: Annotated[bool, typer.Option(
        "--compressed", help="Images as CompressedImage (JPEG): a tenth of the size, not quite the same pixels.")
    ] = False,
    hz: Annotated[float, typer.Option(
        "--hz", metavar="N", help="Frames per second where SOURCE has no times, and where they do not grow.")] = 10.0,
    image_topic: Annotated[str, typer.Option(
        "--image-topic", metavar="TOPIC", help="CameraInfo goes beside it.")] = "/camera/image_raw",
    cloud_topic: Annotated[str, typer.Option("--cloud-topic", metavar="TOPIC")] = "/lidar/points",
    camera_frame: Annotated[str, typer.Option(
        "--camera-frame", metavar="FRAME", help="The optical frame.")] = "camera_optical",
    lidar_frame: Annotated[str, typer.Option("--lidar-frame", metavar="FRAME")] = "lidar",
    world_frame: Annotated[str, typer.Option(
        "--world-frame", metavar="FRAME", help="The frame of the recorded poses.")] = "odom",
    knock: KnockOption = None,
    seed: KnockSeedOption = 0,
) -> None:
    """Write SOURCE into OUT as a ROS 2 bag: Image, CameraInfo, PointCloud2, the extrinsic and the poses as transforms.

    The recorded extrinsic goes to /tf_static, or to /tf if it differs between frames; poses, where known, go to /tf.
    With --knock the transforms stay what they were: nobody has told the robot.
    """
    from ..datasets.bag_layout import BagLayout
    from ..datasets.bag_writer import write_bag

    layout = BagLayout(image_topic, cloud_topic, camera_frame, lidar_frame, world_frame)
    chosen = select_view(open_source(source, camera=camera), frames)
    knocks = read_knock(knock, seed, len(chosen))
    chosen = chosen if knocks is None else Knocked(chosen, knocks)
    with progress("Writing") as advance:
        joints = write_bag(chosen, out, storage, "jpeg" if compressed else "raw", progress=advance, layout=layout,
                           hz=hz)
    print(f"{len(chosen)} frames in {out}")
    if joints:
        print(f"the times of {joints} of them did not grow, so they follow those before after {1000 / hz:.0f} ms")
