"""What is known of one frame: its parent and its pose therein, once for all (static) or over time."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import rotation_from_xyzw

from .tf2_errors import ExtrapolationException

_stamp = attrgetter("stamp")


@dataclass(frozen=True)
class Link:
    """A frame seen from its parent at one time. Numbers stay as they came: most links are never asked for."""

    stamp: int  # ns
    parent: str
    translation: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]  # x, y, z, w

    @property
    def matrix(self) -> np.ndarray:
        """(4, 4) T_parent_child; a quaternion of any length but zero means a rotation, as in tf2."""
        q = np.array(self.quaternion)
        return se3.make(rotation_from_xyzw(q / np.linalg.norm(q), "transform"), np.array(self.translation))


@dataclass
class StaticHistory:
    """One link that holds at any time; `latest` and `oldest` are 0, for it has no time of its own."""

    link: Link
    latest = oldest = 0

    def __len__(self) -> int:
        return 1

    def parent_at(self, time: int) -> str:
        """Parent of the frame."""
        return self.link.parent

    def matrix_at(self, time: int) -> np.ndarray:
        """(4, 4) T_parent_child."""
        return self.link.matrix


@dataclass
class MovingHistory:
    """Links by time, the last `keep` ns of them; between two of them the pose is interpolated."""

    keep: int
    links: list[Link] = field(default_factory=list)  # by rising stamp

    def __len__(self) -> int:
        return len(self.links)

    @property
    def latest(self) -> int:
        """Stamp of the newest link, 0 if there is none."""
        return self.links[-1].stamp if self.links else 0

    @property
    def oldest(self) -> int:
        """Stamp of the oldest link, 0 if there is none."""
        return self.links[0].stamp if self.links else 0

    def add(self, link: Link) -> bool:
        """Take a link in, in place of one with the same stamp; False if it is older than all that is kept."""
        if link.stamp < self.latest - self.keep:
            return False
        at = bisect_left(self.links, link.stamp, key=_stamp)
        if at < len(self.links) and self.links[at].stamp == link.stamp:
            self.links[at] = link
        else:
            insort(self.links, link, key=_stamp)
        del self.links[:bisect_left(self.links, self.latest - self.keep, key=_stamp)]
        return True

    def parent_at(self, time: int) -> str:
        """Parent at a time in ns (0: the newest); ExtrapolationException as `matrix_at`."""
        return self._around(time)[0].parent

    def matrix_at(self, time: int) -> np.ndarray:
        """(4, 4) T_parent_child at a time in ns (0: the newest); ExtrapolationException outside what is kept.

        Translation moves on a line and rotation turns about one axis, both evenly; where the parent changed in between,
        the older link holds.
        """
        before, after = self._around(time)
        if before.stamp == after.stamp or before.parent != after.parent:
            return before.matrix
        share = (time - before.stamp) / (after.stamp - before.stamp)
        T0, T1 = before.matrix, after.matrix
        turn = se3.log_so3(T0[:3, :3].T @ T1[:3, :3])
        return se3.make(T0[:3, :3] @ se3.exp_so3(share * turn), (1 - share) * T0[:3, 3] + share * T1[:3, 3])

    def _around(self, time: int) -> tuple[Link, Link]:
        """The links before and after a time; twice the same one where it is met exactly."""
        if not self.links:
            raise ExtrapolationException(f"no transform was heard since the buffer was cleared (asked for {_s(time)})")
        if time == 0:
            return self.links[-1], self.links[-1]
        at = bisect_left(self.links, time, key=_stamp)
        if at < len(self.links) and self.links[at].stamp == time:
            return self.links[at], self.links[at]
        if len(self.links) == 1:
            raise ExtrapolationException(f"asked for time {_s(time)}, but only {_s(self.latest)} is in the buffer")
        if at == len(self.links):
            raise ExtrapolationException(f"asked for time {_s(time)}, into the future: the latest is {_s(self.latest)}")
        if at == 0:
            raise ExtrapolationException(f"asked for time {_s(time)}, into the past: the earliest is {_s(self.oldest)}")
        return self.links[at - 1], self.links[at]


def _s(time: int) -> str:
    """Nanoseconds as seconds, for people."""
    return f"{time / 1e9:.6f}"
