"""`crossi2p synth`: the synthetic world as files, for trying things out without a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..datasets import open_source
from ..errors import InputError
from .options import JobsOption
from .progress import progress


def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="Folder to write.")],
    world: Annotated[str, typer.Option("--world", metavar="street|yard|hall", help="Which kind of world.")] = "street",
    frames: Annotated[int, typer.Option("--frames", metavar="N", help="Frames along the path.")] = 10,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Another seed is another world and rig.")] = 0,
    camera: Annotated[str | None, typer.Option(
        "--camera", metavar="NAME", show_default=False, help="small, kitti, distorted, rational or fisheye.")] = None,
    lidar: Annotated[str | None, typer.Option(
        "--lidar", metavar="NAME", show_default=False, help="hdl64, hdl32, vlp32, vlp16, os128, raster or livox.")
    ] = None,
    elsewhere: Annotated[int | None, typer.Option(
        "--elsewhere", metavar="M", show_default=False,
        help="Draw the camera anew for every frame, up to M metres away and looking anywhere.")] = None,
    every: Annotated[int, typer.Option("--every", metavar="K", help="With --elsewhere: one frame of the drive in K.")
                     ] = 5,
    bag: Annotated[bool, typer.Option("--bag", help="Write a ROS 2 bag (MCAP) instead of the compact layout.")] = False,
    worlds: Annotated[int | None, typer.Option(
        "--worlds", metavar="N", show_default=False,
        help="Pairs to learn from: so many worlds, of seeds S, S + 1, ..., each with a kind, a camera and a LiDAR of "
             "its own, into folders of OUT; with --elsewhere 10 unless told otherwise.")] = None,
    jobs: JobsOption = 1,
) -> None:
    """Drive through a synthetic world and write what camera and LiDAR saw, with the exact extrinsic."""
    if frames < 1 or seed < 0:
        raise InputError(f"--frames {frames} --seed {seed}: write at least one frame, and a seed of 0 or more")
    if worlds is not None:
        if camera or lidar or bag:
            raise InputError("--worlds draws a camera and a LiDAR for each world and writes the compact layout; leave "
                             "out --camera, --lidar and --bag")
        from ..datasets.synthetic.worlds import write_worlds

        with progress("Writing worlds") as advance:
            written = write_worlds(out, worlds, seed, frames, elsewhere or 10, every, jobs, advance)
        print(f"{worlds} worlds in {out}, {written} frames of them written now")
        return
    where = "" if elsewhere is None else f"&elsewhere={elsewhere}&every={every}"
    source = open_source(f"synthetic:{world}?seed={seed}&frames={frames}{where}", camera=camera, lidar=lidar)
    with progress("Writing") as advance:
        if bag:
            from ..datasets.bag_writer import write_bag

            write_bag(source, out, progress=advance)
        else:
            from ..datasets.compact_writer import prepare

            prepare(source, out, advance, jobs)
    print(f"{len(source)} frames in {out}")
