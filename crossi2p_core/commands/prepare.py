"""`crossi2p prepare`: any source as the compact layout, which is small and quick to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..datasets import open_source
from ..datasets.selection import select_view
from .options import CameraOption, FramesOption, JobsOption, SourceArgument
from .progress import progress


def prepare(
    source: SourceArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="Folder to write.")],
    frames: FramesOption = None,
    camera: CameraOption = None,
    jobs: JobsOption = 1,
) -> None:
    """Write SOURCE into OUT in the compact layout, small and quick to read. Run again, it goes on where it was."""
    from ..datasets.compact_writer import prepare as write_compact

    chosen = select_view(open_source(source, camera=camera), frames)
    with progress("Preparing") as advance:
        write_compact(chosen, out, advance, jobs)
    print(f"{len(chosen)} frames in {out}")
