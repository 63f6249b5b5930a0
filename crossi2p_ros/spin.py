"""The life of the node's process: ROS begins, the node runs until it is told to end, and is taken apart again."""

from __future__ import annotations

import time

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from crossi2p_core.errors import InputError

from .lifecycle import RegisterNode
from .process import Stop, ros_arguments_in_words

LOOK_UP_S = 0.1  # how often it is seen whether the process shall end
HEARD_S = 0.4  # that answers have on their way: what a process has sent that ends at once may never arrive
ANSWERED_S = 1.0  # at most, until whoever waits for an answer is told


def run(arguments: list[str] | None, stop: Stop) -> None:
    """Run the node until `stop` is asked. Raises InputError for arguments and parameters that cannot be had.

    The worker may still be at work afterwards: a registration cannot be broken off.
    """
    stop.begin()
    with ros_arguments_in_words():
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = RegisterNode()
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise InputError(f"the parameters cannot be had: {error}") from error
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.settings.autostart and node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            node.trigger_activate()
        while not stop.asked:
            executor.spin_once(timeout_sec=LOOK_UP_S)
        _answer_all(node, executor)
    finally:
        node.close()
        executor.shutdown(timeout_sec=0.2)
        rclpy.try_shutdown()


def _answer_all(node: RegisterNode, executor: SingleThreadedExecutor) -> None:
    """Tell whoever waits for an answer, or has just called, that there will be none, and let them hear it."""
    node.dismiss()
    begin = time.monotonic()
    while time.monotonic() < begin + (ANSWERED_S if node.is_waited_for else HEARD_S):
        executor.spin_once(timeout_sec=LOOK_UP_S)
