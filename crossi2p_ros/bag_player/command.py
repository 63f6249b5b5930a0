"""The command line `bag_player`. Exit codes: 0 played or stopped by a signal, 2 bad input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from crossi2p_core.errors import InputError

from ..process import Stop, leave, ros_arguments_in_words
from ..ros_compat import check_ros
from ..shared_files import use_large_message_profile
from .options import PlayOptions

NAME = "bag_player"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(name=NAME)
def bag_player(
    context: typer.Context,
    bag: Annotated[Path, typer.Argument(metavar="BAG", show_default=False,
                                        help="rosbag2 folder, .mcap, .db3, or ROS 1 .bag.")],
    rate: Annotated[float, typer.Option("--rate", "-r", metavar="X", help="Times faster than recorded.")] = 1.0,
    loop: Annotated[bool, typer.Option(
        "--loop", "-l", help="Over and over; stamps and clock jump back at the start of each lap.")] = False,
    onward: Annotated[bool, typer.Option(
        "--onward", help="With --loop: time goes on instead; stamps in leading headers and transforms are moved.")
    ] = False,
    clock: Annotated[bool, typer.Option("--clock", help="Publish /clock, for nodes with use_sim_time.")] = False,
    clock_hz: Annotated[float, typer.Option("--clock-hz", metavar="N", help="How often.")] = 100.0,
    start: Annotated[float, typer.Option(
        "--start", metavar="S", help="Leave out so many seconds, but not what was latched in them.")] = 0.0,
    topics: Annotated[str, typer.Option(
        "--topics", metavar="A,B", show_default=False, help="Only these (default: all).")] = "",
    decalibrate: Annotated[str, typer.Option(
        "--decalibrate", metavar="DEG,CM", show_default=False,
        help="Make the static transform between camera and LiDAR wrong by exactly that, in random directions.")] = "",
    camera: Annotated[str | None, typer.Option(
        "--camera", metavar="TOPIC", show_default=False,
        help="Image topic or namespace that --decalibrate means (default: the first).")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of --decalibrate.")] = 0,
    wait: Annotated[float, typer.Option(
        "--wait", metavar="S", help="Start once every topic has a listener, at the latest after S seconds.")] = 1.0,
) -> None:
    """Play a bag through DDS: every message as it was recorded, with the quality of service it was recorded with."""
    play(PlayOptions(bag, rate, start, _names(topics), loop, onward, clock, clock_hz, _amounts(decalibrate), camera,
                     seed, wait), context.obj)


def play(options: PlayOptions, stop: Stop) -> None:
    """Run the player on a node of its own in the default context; all that it says goes to the node's log."""
    check_ros()
    use_large_message_profile()
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from .decalibration import decalibrate
    from .edits import Edits
    from .player import Player
    from .recording import Recording

    recording = Recording(options.bag, options.topics, options.start, own_clock=options.clock)
    wrong = None
    if options.decalibrate is not None:
        wrong = decalibrate(recording.bag, *options.decalibrate, options.seed, options.camera, recording.classes)
    stop.begin()
    with ros_arguments_in_words():
        rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(NAME, start_parameter_services=False)
    try:
        for topic, reason in recording.skipped.items():
            node.get_logger().warning(f"{topic} is left out: {reason}")
        if wrong is not None:
            node.get_logger().warning(wrong.words())
        player = Player(node, recording, options, Edits(recording.classes, wrong), lambda: stop.asked)
        node.get_logger().info(f"playing {options.bag}: {len(recording.classes)} topics, "
                               f"{(recording.last - recording.first) / 1e9:.1f} s at rate {options.rate:g}")
        played = player.play()
        node.get_logger().info(f"{'stopped' if stop.asked else 'finished'}: {played.sent} messages sent, the latest "
                               f"{1e3 * played.late:.1f} ms behind its time")
    finally:
        node.destroy_node()
        rclpy.shutdown()


def main() -> None:
    """Entry point; never a traceback for what a user did."""
    stop = Stop()
    try:
        app(_own_arguments(), prog_name=NAME, obj=stop)
    except InputError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        leave(2)
    except SystemExit as end:  # the usual end of a command line
        leave(end.code if isinstance(end.code, int) else 1)


def _own_arguments() -> list[str]:
    """The command line without what is ROS' own (--ros-args ...)."""
    try:
        from rclpy.utilities import remove_ros_args
    except ImportError:
        return sys.argv[1:]  # check_ros will tell
    with ros_arguments_in_words():
        return remove_ros_args(sys.argv)[1:]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _amounts(text: str) -> tuple[float, float] | None:
    """Degrees and centimetres of `DEG,CM`."""
    if not text:
        return None
    try:
        degrees, centimetres = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--decalibrate {text!r}: write degrees and centimetres, such as 2,10") from error
    return degrees, centimetres
