"""The tree of frames that /tf and /tf_static describe, asked at one time."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np

from ..geometry import se3

MAX_GAP_NS = 200_000_000  # a moving frame's pose is held this long before its first and after its last message
MAX_DEPTH = 100  # longer chains are loops

Entry = tuple[int, str, np.ndarray]  # stamp ns, parent, T_parent_child (4, 4)


@dataclass
class _Edge:
    """A frame's pose in its parent over time, by stamp; a static one has one entry."""

    is_static: bool
    history: list[Entry] = field(default_factory=list)

    def at(self, stamp: int) -> tuple[str, np.ndarray] | None:
        """Parent and T_parent_child at `stamp`, interpolated; None where the messages are too far away in time."""
        if self.is_static:
            return self.history[0][1:]
        k = bisect_left(self.history, stamp, key=_stamp)
        before, after = self.history[max(0, k - 1)], self.history[min(k, len(self.history) - 1)]
        if before is after:
            return before[1:] if abs(before[0] - stamp) <= MAX_GAP_NS else None
        if before[1] != after[1]:  # the frame changed its parent in between
            return min(before, after, key=lambda entry: abs(entry[0] - stamp))[1:]
        return after[1], _between(before[2], after[2], (stamp - before[0]) / (after[0] - before[0]))


class FrameTree:
    """Frames and their poses in each other. A frame has one parent at a time, as in tf2."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}
        self._names: set[str] = set()

    def add(self, parent: str, child: str, T_parent_child: np.ndarray, stamp: int, is_static: bool) -> None:
        """One transform message; stamp: nanoseconds. A static pose holds for ever, and the last one said counts.

        A frame that is both static and moving stays what it was first.
        """
        parent, child = frame_name(parent), frame_name(child)
        self._names |= {parent, child}
        edge = self._edges.setdefault(child, _Edge(is_static))
        if edge.is_static:
            edge.history = [(stamp, parent, T_parent_child)]
        else:
            insort(edge.history, (stamp, parent, T_parent_child), key=_stamp)

    def lookup(self, target: str, source: str, stamp: int) -> np.ndarray | None:
        """T_target_source (4, 4) at `stamp` (ns), or None where the tree does not connect the two then.

        A frame that no transform mentions is connected to nothing, not even to itself: that two messages carry the same
        name, or none, is no calibration.
        """
        target, source = frame_name(target), frame_name(source)
        up_target, up_source = self._upwards(target, stamp), self._upwards(source, stamp)
        common = next((name for name in up_source if name in up_target), None)
        if common is None or not {target, source} <= self._names:
            return None
        return se3.inverse(up_target[common]) @ up_source[common]

    def is_static(self, target: str, source: str, stamp: int) -> bool:
        """True where the connection of two frames is made of static transforms only."""
        up = [self._upwards(frame_name(name), stamp) for name in (target, source)]
        common = next((name for name in up[1] if name in up[0]), None)
        moving = [name for chain in up for name in _below(chain, common) if not self._edges[name].is_static]
        return common is not None and not moving

    def nearest_edge(self, target: str, source: str, stamp: int) -> tuple[str, str] | None:
        """(parent, child) of the link on the way between two frames that is nearest to `target`; None without a way."""
        target, source = frame_name(target), frame_name(source)
        up_target, up_source = list(self._upwards(target, stamp)), list(self._upwards(source, stamp))
        common = next((name for name in up_source if name in up_target), None)
        if common is None or target == source:
            return None
        if target != common:
            return up_target[1], target
        return common, up_source[up_source.index(common) - 1]

    def _upwards(self, name: str, stamp: int) -> dict[str, np.ndarray]:
        """T_ancestor_name of the frame itself, its parent, and so on up to the root, in this order."""
        chain = {name: np.eye(4)}
        while len(chain) < MAX_DEPTH and name in self._edges:
            step = self._edges[name].at(stamp)
            if step is None or step[0] in chain:
                break
            chain[step[0]] = step[1] @ chain[name]
            name = step[0]
        return chain


def frame_name(name: str) -> str:
    """ROS 1 publishers may write a leading slash, which means nothing."""
    return name.lstrip("/")


def _below(chain: dict[str, np.ndarray], ancestor: str | None) -> list[str]:
    """The frames of a chain below `ancestor`."""
    names = list(chain)
    return names[:names.index(ancestor)] if ancestor in chain else []


def _stamp(entry: Entry) -> int:
    return entry[0]


def _between(T0: np.ndarray, T1: np.ndarray, share: float) -> np.ndarray:
    """Constant turn rate and constant speed between two poses, as tf2 interpolates."""
    R = T0[:3, :3] @ se3.exp_so3(share * se3.log_so3(T0[:3, :3].T @ T1[:3, :3]))
    return se3.make(R, (1 - share) * T0[:3, 3] + share * T1[:3, 3])
