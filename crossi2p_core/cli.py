"""The command line `crossi2p`: one module of `commands` per command; here is what all of them share.

Exit codes: 0 done, 1 not registered, 2 bad input (one sentence on stderr), 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from types import FrameType
from typing import Annotated

import typer

from . import __version__
from .commands.adapt import adapt
from .commands.bag import bag
from .commands.calibrate import calibrate
from .commands.evaluate import evaluate
from .commands.export import export
from .commands.info import info
from .commands.monitor import monitor
from .commands.prepare import prepare
from .commands.register import register
from .commands.synth import synth
from .commands.train import train
from .commands.view import view
from .errors import InputError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
for command in (register, calibrate, monitor, info, view, prepare, synth, bag, train, adapt, evaluate, export):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"crossi2p {__version__}")
        raise typer.Exit()


@app.callback()
def crossi2p(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True,
                                          help="Print the version and stop.")] = False,
) -> None:
    """Camera-LiDAR extrinsics from images and scans: registered, judged, shown."""


def main() -> None:
    """Run the command line; never a traceback for what a user did."""
    signal.signal(signal.SIGINT, _interrupted)
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be text in anybody's encoding
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except InputError as error:
        print(f"crossi2p: {error}", file=sys.stderr)
        sys.exit(2)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Ctrl-C: unwind, so that half-finished results are removed, and end as shells expect."""
    os.write(2, b"crossi2p: interrupted\n")  # print() could be what was interrupted
    sys.exit(128 + signal.SIGINT)
