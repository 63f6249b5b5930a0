"""Stand-in for message_filters: a subscription as a source of messages, and the approximate synchroniser."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import rclpy.logging
from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.node import Node


class SimpleFilter:
    """Something that messages come out of."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., None], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., None], *args: Any) -> int:
        """Call `cb(*messages, *args)` for all that comes out; returns the number of this connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Hand messages to everyone who registered."""
        for callback, args in self.callbacks.values():
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """A subscription; arguments as of `Node.create_subscription`, with the node first and without the callback."""

    def __init__(self, node: Node, msg_type: type, topic: str, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node = node
        self.topic = topic
        if not args:
            kwargs.setdefault("qos_profile", 10)
        self.sub = node.create_subscription(msg_type, topic, self.callback, *args, **kwargs)

    def callback(self, msg: Any) -> None:
        """What the subscription calls."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """The topic as it was given."""
        return self.topic


class ApproximateTimeSynchronizer(SimpleFilter):
    """Lets one message of each source out together when their stamps lie less than `slop` seconds apart.

    Each source has a queue {stamp in ns: message} of at most `queue_size`; when it is full the oldest stamp goes. A new
    message takes the partners that are nearest to it in time. What went out is not used again. Callbacks run inside the
    lock, one set at a time.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int, slop: float, *,
                 allow_headerless: bool = False) -> None:
        """`allow_headerless` takes messages without a header in, stamped with the time of their arrival."""
        super().__init__()
        self.queue_size = queue_size
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.lock = Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Listen to these sources; their order is that of the callback's arguments."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]
        self.input_connections = [source.registerCallback(self.add, queue, index)
                                  for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take a message of the source whose queue is given, and let a set out if it completes one."""
        stamp = self._stamp_ns(msg)
        if stamp is None:
            return
        with self.lock:
            my_queue[stamp] = msg
            while len(my_queue) > self.queue_size:
                del my_queue[min(my_queue)]
            chosen = self._nearest_set(stamp, my_queue)
            if chosen is not None:
                self.signalMessage(*[queue.pop(at) for queue, at in zip(self.queues, chosen, strict=True)])

    def _nearest_set(self, stamp: int, my_queue: dict[int, Any]) -> tuple[int, ...] | None:
        """One stamp per queue, all less than `slop` apart, the new message's own among them; None if there is none."""
        if stamp not in my_queue:  # older than everything in a full queue, and gone again
            return None
        candidates = []
        for queue in self.queues:
            near = [stamp] if queue is my_queue else [at for at in queue if abs(at - stamp) < self.slop.nanoseconds]
            candidates.append(sorted(near, key=lambda at: abs(at - stamp)))
        sets = itertools.product(*candidates)
        return next((chosen for chosen in sets if max(chosen) - min(chosen) < self.slop.nanoseconds), None)

    def _stamp_ns(self, msg: Any) -> int | None:
        """Stamp of a message; where it has none the time now, or None (and a warning) if that is not wanted."""
        stamp = getattr(getattr(msg, "header", None), "stamp", None)
        if stamp is not None:
            return stamp.nanoseconds if hasattr(stamp, "nanoseconds") else stamp.sec * 10**9 + stamp.nanosec
        if self.allow_headerless:
            return ROSClock().now().nanoseconds
        rclpy.logging.get_logger("message_filters_approx").warning(
            f"{type(msg).__name__} has no stamp to be synchronised by, and allow_headerless is off")
        return None
