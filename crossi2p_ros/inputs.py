"""Subscriptions: image, calibration and cloud in, pairs out. Callbacks only count, keep references and catch all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from crossi2p_core.datasets.messages.camera_info import beside_its_frame, is_rectified_topic
from crossi2p_core.datasets.messages.stamps import stamp_ns

from .calibrations import Calibrations
from .parameters import Settings
from .ros_compat.events import SubscriptionEventCallbacks
from .ros_compat.message_filters import ApproximateTimeSynchronizer, Subscriber, forget
from .streams import Stream, why_no_pairs

LATEST_NS = (2**31 - 1) * 10**9  # later no stamp can be written; nanoseconds that overflow the second get there
ONE_JUMP_S = 0.5  # the clock, the images and the clouds notice one jump one after another


@dataclass(frozen=True)
class Pair:
    """Messages that belong together. apart: seconds from cloud to image, offset included. arrived: steady seconds.
    topics: of image, info and cloud, as they are subscribed to. rectified: the image is undistorted."""

    image: Any
    info: Any
    cloud: Any
    apart: float
    arrived: float
    topics: tuple[str, str, str]
    rectified: bool

    @property
    def stamp(self) -> int:
        """ns, of the cloud: what the extrinsic's stamp will be."""
        return stamp_ns(self.cloud.header)

    @property
    def frames(self) -> tuple[str, str]:
        """Frames of the LiDAR and of the camera, as the messages say."""
        return self.cloud.header.frame_id.lstrip("/"), self.image.header.frame_id.lstrip("/")

    def changed_from(self, other: Pair, together: bool) -> str:
        """In words, what is not as in the pair before; empty where nothing is. together: they are to be registered
        together, so that the camera has to be the same one; else it may zoom."""
        if other.frames != self.frames:
            return f"the frames changed from {' and '.join(other.frames)} to {' and '.join(self.frames)}"
        if together and _optics(other) != _optics(self):
            return f"size, binning, region or intrinsics of the images changed on {self.topics[0]}"
        return ""


def _optics(pair: Pair) -> tuple[Any, ...]:
    """What the camera that an image is read with is made of. Compressed images do not tell their size."""
    image, info, roi = pair.image, pair.info, pair.info.roi
    return (getattr(image, "width", 0), getattr(image, "height", 0), info.width, info.height, info.binning_x,
            info.binning_y, roi.x_offset, roi.y_offset, roi.width, roi.height, info.distortion_model,
            *info.k, *info.p, *info.d)


@dataclass(frozen=True)
class _Stamped:
    """A message with the stamp that it is synchronised by."""

    header: Header
    message: Any


class _Source(Subscriber):
    """A subscription that counts, corrects stamps and never raises."""

    def __init__(self, node: Node, kind: type, stream: Stream, offset: float, qos: QoSProfile,
                 inputs: Inputs) -> None:
        self.stream, self.offset, self.inputs = stream, round(offset * 1e9), inputs
        super().__init__(node, kind, stream.unresolved, qos_profile=qos, event_callbacks=_events(stream))

    def callback(self, msg: Any) -> None:
        """Count a message and hand it to the synchroniser, unless it has no stamp to go by."""
        try:
            stamp = stamp_ns(msg.header)
            at = max(stamp + self.offset, 1) if stamp > 0 else 0
            if self.stream.arrived(at, time.monotonic()):
                self.inputs.forget()
            if at > LATEST_NS:
                self.inputs.refuse(f"{self.stream.topic}: the stamps are beyond the year 2038; set the sensor's clock")
            elif at:
                header = Header(stamp=Time(nanoseconds=at).to_msg(), frame_id=msg.header.frame_id)
                self.signalMessage(_Stamped(header, msg))
        except Exception as error:  # whatever it is, the next message may be well
            self.inputs.refuse(f"{self.stream.topic}: {type(error).__name__}: {error}")


class Inputs:
    """Image, CameraInfo and PointCloud2 of `settings`, brought together and handed to `deliver`."""

    def __init__(self, node: Node, settings: Callable[[], Settings], deliver: Callable[[Pair], None],
                 count: Callable[[str], None], restart: Callable[[], None]) -> None:
        """count: told in words of everything that could not be used. restart: called when time has jumped back."""
        self._node, self._settings, self._deliver = node, settings, deliver
        self._count, self._restart = count, restart
        chosen = settings()
        packed = node.resolve_topic_name(chosen.image_topic).endswith("/compressed")
        self._kind = CompressedImage if packed else Image
        self.image, self.cloud, self.info = (
            Stream(name, node.resolve_topic_name(asked), kind=f"sensor_msgs/msg/{kind.__name__}", asked=asked)
            for name, asked, kind in (("image", chosen.image_topic, self._kind),
                                      ("cloud", chosen.cloud_topic, PointCloud2),
                                      ("camera info", chosen.info_topic, CameraInfo)))
        self._rectified = {"auto": is_rectified_topic(self.image.topic), "yes": True, "no": False}[chosen.rectified]
        self.pairs = 0
        self.clock_jumps = 0
        self._paired_at = -math.inf
        self._jumped_at = -ONE_JUMP_S
        self._trouble = ""  # why the last pair was refused, empty once one is taken
        self._open(chosen)

    def close(self) -> None:
        """Stop listening."""
        self._jumps.unregister()
        self._calibrations.close()
        for source in self._sources:
            self._node.destroy_subscription(source.sub)

    def why_no_pairs(self) -> str:
        """In words, what keeps pairs from coming; empty where they come."""
        return why_no_pairs(self.image, self.cloud, self.info, self._settings().sync_slop, time.monotonic(),
                            self._published_as, self._paired_at, self._settings().sync_queue_size) or self._trouble

    def _published_as(self, topic: str) -> list[str]:
        return [each.topic_type for each in self._node.get_publishers_info_by_topic(topic)]

    def refuse(self, reason: str) -> None:
        """Count what could not be used, and keep why in mind."""
        self._trouble = reason
        self._count(reason)

    def forget(self) -> None:
        """Time has jumped back: what still waits for a partner never meets one, nor do former pairs count."""
        now = time.monotonic()
        self.clock_jumps += now - self._jumped_at > ONE_JUMP_S
        self._jumped_at = now
        forget(self._synchroniser)
        self._restart()

    def _open(self, chosen: Settings) -> None:
        """Subscribe, and watch the clock."""
        qos = QoSProfile(depth=chosen.qos_depth, reliability=ReliabilityPolicy[chosen.qos_reliability.upper()])
        self._sources = [_Source(self._node, self._kind, self.image, chosen.sync_time_offset, qos, self),
                         _Source(self._node, PointCloud2, self.cloud, 0.0, qos, self)]
        self._synchroniser = ApproximateTimeSynchronizer(self._sources, chosen.sync_queue_size, chosen.sync_slop,
                                                         allow_headerless=False)
        self._synchroniser.registerCallback(self._on_pair)
        self._calibrations = Calibrations(self._node, self.info, qos, _events(self.info))
        backward = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=False)
        self._jumps = self._node.get_clock().create_jump_callback(backward, post_callback=self._on_jump)

    def _on_jump(self, jump: TimeJump) -> None:
        self.forget()

    def _on_pair(self, image: _Stamped, cloud: _Stamped) -> None:
        """Called within the synchroniser's lock, so it must neither raise nor wait."""
        try:
            now = self._node.get_clock().now().nanoseconds
            if reason := self._why_not(stamp_ns(cloud.header), now):
                if time.monotonic() - self._jumped_at > ONE_JUMP_S:  # else it was on its way when the time jumped
                    self.refuse(reason)
                return
            info = self._calibrations.newest
            if not self.pairs and (beside := beside_its_frame(info, self._rectified, self.info.topic)):
                self._node.get_logger().warning(beside)
            self.pairs += 1
            self._trouble, self._paired_at = "", time.monotonic()
            apart = (stamp_ns(image.header) - stamp_ns(cloud.header)) / 1e9
            self._deliver(Pair(image.message, info, cloud.message, apart, self._paired_at,
                               (self.image.topic, self.info.topic, self.cloud.topic), self._rectified))
        except Exception as error:
            self.refuse(f"{type(error).__name__}: {error}")

    def _why_not(self, stamp: int, now: int) -> str:
        """Why a pair is not taken, empty where it is; times in ns."""
        if self._calibrations.newest is None:
            return f"pairs came before the first camera info on {self.info.topic}"
        limit = self._settings().sync_max_age
        if not limit or abs(now - stamp) <= limit * 1e9:
            return ""
        if now == 0:
            return "use_sim_time is set, but nothing arrives on /clock"
        side = "older" if stamp < now else "newer"
        return (f"the stamps are more than {limit:g} s {side} than this node's clock; synchronise the clocks, set "
                "use_sim_time for a bag, or set sync.max_age")


def _events(stream: Stream) -> SubscriptionEventCallbacks:
    """Tell the stream about publishers whose quality of service does not fit."""
    def incompatible(event: Any) -> None:
        stream.qos_problem = (f"{event.total_count} publisher(s) offer an incompatible quality of service; set "
                              "qos.reliability to best_effort, or the publisher to reliable")

    return SubscriptionEventCallbacks(incompatible_qos=incompatible)
