"""Sends the messages of a recording when they are due, and the clock between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

from .edits import Edits
from .options import PlayOptions
from .pace import Pace
from .progress_line import ProgressLine
from .recording import CLOCK, Recording

LAP_GAP_NS = 100_000_000  # bag time between the last message of a lap and the first of the next
LONGEST_SLEEP_S = 0.05  # so that a signal to stop is soon seen
DELIVERY_S = 2.0  # for listeners to confirm what they were sent last


@dataclass
class Played:
    """What was done: messages sent, laps finished, seconds that the latest message was behind its time."""

    sent: int = 0
    laps: int = 0
    late: float = 0.0


class Player:
    """Publishers for all topics of a recording on a node of the caller's, which need not spin."""

    def __init__(self, node: Node, recording: Recording, options: PlayOptions, edits: Edits,
                 stopped: Callable[[], bool]) -> None:
        """stopped: asked many times per second; once it says True, `play` returns."""
        self._recording, self._options, self._edits, self._stopped = recording, options, edits, stopped
        self._publishers = {topic: node.create_publisher(kind, topic, recording.offers[topic].profile())
                            for topic, kind in recording.classes.items()}
        self._clock = node.create_publisher(Clock, CLOCK, 10) if options.clock else None
        self._next_tick = 0.0
        self._pace = Pace(recording.first, options.rate)
        self._line = ProgressLine((recording.last - recording.first) / 1e9)
        self._back = 0  # ns by which the clock that others see is behind our own, which never jumps
        self.played = Played()

    def play(self) -> Played:
        """Play to the end, or for ever in a loop, or until stopped. Raises InputError where the bag is damaged."""
        try:
            self._await_listeners()
            for topic, _, raw in self._recording.earlier():
                self._send(topic, raw, 0)
            self._pace.begin()
            while self._play_lap() and self._options.loop:
                pass
            self._await_delivery()
        finally:
            self._line.clear()
        return self.played

    def _play_lap(self) -> bool:
        """All messages once; False if stopped before the end."""
        span = self._recording.last - self._recording.first
        offset = self.played.laps * (span + LAP_GAP_NS)
        self._back = 0 if self._options.onward else offset
        for topic, logged, raw in self._recording.messages():
            if not self._wait(logged + offset):
                return False
            self.played.late = max(self.played.late, -self._pace.seconds_until(logged + offset))
            self._send(topic, raw, offset - self._back)
        self.played.laps += 1
        return True

    def _send(self, topic: str, raw: bytes, shift: int) -> None:
        self._publishers[topic].publish(self._edits(topic, raw, shift))
        self.played.sent += 1

    def _wait(self, due: int) -> bool:
        """Until a bag time, while the clock ticks; False if stopped."""
        while not self._stopped():
            left = self._pace.seconds_until(due)
            self._tick()
            shown = self._pace.now() - self.played.laps * (self._recording.last - self._recording.first + LAP_GAP_NS)
            self._line.show((shown - self._recording.first) / 1e9, self.played.sent, self.played.laps)
            if left <= 0:
                return True
            self._sleep(left)
        return False

    def _await_listeners(self) -> None:
        """Until every topic has a listener, or as long as the options say: DDS takes a moment to find them."""
        end = time.monotonic() + self._options.wait
        while time.monotonic() < end and not self._stopped():
            self._tick()
            if all(publisher.get_subscription_count() for publisher in self._publishers.values()):
                return
            self._sleep(LONGEST_SLEEP_S)

    def _await_delivery(self) -> None:
        """Until reliable listeners have confirmed the last messages, which would be lost with their publisher."""
        end = time.monotonic() + DELIVERY_S
        for publisher in self._publishers.values():
            if not self._stopped():
                publisher.wait_for_all_acked(Duration(seconds=max(end - time.monotonic(), 0.0)))

    def _sleep(self, seconds: float) -> None:
        """For at most that long; shorter where the clock has to tick or to see whether to stop."""
        if self._clock is not None:
            seconds = min(seconds, max(self._next_tick - time.monotonic(), 0.0))
        time.sleep(min(seconds, LONGEST_SLEEP_S))

    def _tick(self) -> None:
        """Publish the clock if it is time."""
        if self._clock is None or time.monotonic() < self._next_tick:
            return
        period = 1 / self._options.clock_hz
        self._next_tick = max(self._next_tick + period, time.monotonic())
        now = max(self._pace.now() - self._back, 0)  # between laps it is before the first message, but no time before 0
        self._clock.publish(Clock(clock=Time(nanoseconds=now).to_msg()))
