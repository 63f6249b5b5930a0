"""The tree of frames and the way from one to another, without ROS. Times are in ns; 0 is the newest common one."""

from __future__ import annotations

import math

import numpy as np

from crossi2p_core.geometry import se3

from .tf2_errors import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
)
from .tf2_history import Link, MovingHistory, StaticHistory


class Tree:
    """Every frame that was heard of, each with the history of its link to its parent."""

    def __init__(self, keep: int) -> None:
        """`keep` is how many ns of a moving link are remembered."""
        self.keep = keep
        self.histories: dict[str, StaticHistory | MovingHistory] = {}
        self.frames: set[str] = set()
        self.authorities: dict[str, str] = {}

    def add(self, child: str, link: Link, static: bool, authority: str) -> str:
        """Take a link in; returns why not, or an empty string. The last call decides whether a link is static."""
        if reason := _why_not(child, link):
            return reason
        history = self.histories.get(child)
        if static:
            self.histories[child] = StaticHistory(link)
        else:
            if not isinstance(history, MovingHistory):
                history = self.histories[child] = MovingHistory(self.keep)
            if not history.add(link):
                return f"it is {(history.latest - link.stamp) / 1e9:.1f} s older than the newest"
        self.frames |= {child, link.parent}
        self.authorities[child] = authority
        return ""

    def clear(self) -> None:
        """Forget all that moves; static links and names stay."""
        for history in self.histories.values():
            if isinstance(history, MovingHistory):
                history.links.clear()

    def transform(self, target: str, source: str, time: int) -> tuple[np.ndarray, int]:
        """(4, 4) T_target_source, and the time that it holds for; a TransformException where there is none."""
        if target == source:
            history = self.histories.get(target)
            return np.eye(4), time or (history.latest if history else 0)
        time = time or self.latest_common_time(target, source)
        to_source, to_target = self._branches(target, source, time)
        return se3.inverse(self._product(to_target, time)) @ self._product(to_source, time), time

    def check(self, target: str, source: str, time: int) -> None:
        """Raise what `transform` would raise."""
        if target != source:
            self._branches(target, source, time or self.latest_common_time(target, source))

    def latest_common_time(self, target: str, source: str) -> int:
        """Newest time at which every moving link between the frames is known; 0 where nothing on the way moves."""
        self._require(target, "target_frame")
        self._require(source, "source_frame")
        if target == source:
            return self.histories[target].latest if target in self.histories else 0
        to_source, to_target = self._branches(target, source, 0)
        stamps = [self.histories[frame].latest for frame in (*to_source, *to_target)]
        return min((stamp for stamp in stamps if stamp), default=0)

    def _branches(self, target: str, source: str, time: int) -> tuple[list[str], list[str]]:
        """Frames whose links lead from the source, and from the target, up to the first frame above both."""
        self._require(target, "target_frame")
        self._require(source, "source_frame")
        above_source, end_source = self._climb(source, time)
        above_target, end_target = self._climb(target, time)
        for steps, frame in enumerate(above_target):
            if frame in above_source:
                return above_source[:above_source.index(frame)], above_target[:steps]
        if end := end_target or end_source:
            raise ExtrapolationException(f"{end}, when looking up the transform from [{source}] to [{target}]")
        raise ConnectivityException(f"'{target}' and '{source}' are not connected: tf has two or more separate trees")

    def _climb(self, frame: str, time: int) -> tuple[list[str], ExtrapolationException | None]:
        """The frame and all above it at a time; and, where a link is not known then, what was said of that."""
        frames = [frame]
        # After `clear` a moving frame has no newest parent; for a given time it is said to be out of reach.
        while (history := self.histories.get(frames[-1])) is not None and (time or len(history)):
            try:
                parent = history.parent_at(time)
            except ExtrapolationException as end:
                return frames, end
            if parent in frames:
                raise LookupException(f"the tree has a loop: {' -> '.join([*frames, parent])}")
            frames.append(parent)
        return frames, None

    def _product(self, frames: list[str], time: int) -> np.ndarray:
        """(4, 4) from the first of consecutive frames to the parent of the last."""
        T = np.eye(4)
        for frame in frames:
            T = self.histories[frame].matrix_at(time) @ T
        return T

    def _require(self, frame: str, argument: str) -> None:
        """Raise unless the frame has a proper name and was heard of."""
        if not frame or frame.startswith("/"):
            raise InvalidArgumentException(f'{argument} "{frame}" is no frame: names are not empty, without slash')
        if frame not in self.frames:
            raise LookupException(f'{argument} "{frame}" does not exist')


def _why_not(child: str, link: Link) -> str:
    """Why a link cannot be used, empty if it can."""
    if not child or not link.parent:
        return "a frame has no name"
    if child == link.parent:
        return "the frame is its own parent"
    if not all(map(math.isfinite, (*link.translation, *link.quaternion))):
        return "it has numbers that are not finite"
    if not any(link.quaternion):
        return "its quaternion is zero"
    return ""
