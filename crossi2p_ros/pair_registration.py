"""From pairs of messages to an outcome: their samples, where to start, and a registration from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from crossi2p_core.errors import InputError
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Camera, PointCloud, Prior, Registration, Sample

from .far_search import search_from_scratch
from .inputs import Pair
from .messages.sample import sample_from_messages
from .outcome import Outcome
from .parameters import Settings
from .prior import Reference
from .watch_file import Frames

Lost = Callable[[Frames, np.ndarray], Sequence[Sample]]
"""Samples that fit nowhere near a reference of these sensors, in which to look for the camera; none as a rule."""
Prepare = Callable[[Outcome], None]
"""Told of two sensors before their first registration, by an outcome without an answer; may change the reference."""


class NoStart(InputError):
    """Nothing is wrong with the pairs, but there is no extrinsic to start from."""


class FoundNowhere(InputError):
    """Nothing is wrong with the pairs, but from scratch the camera is found nowhere in them."""


class PairRegistration:
    """Registers pairs from what counts as known, or from scratch where that has been lost."""

    def __init__(self, registrar: Registrar, settings: Callable[[], Settings], reference: Reference,
                 lost: Lost, prepare: Prepare = lambda start: None) -> None:
        self._registrar, self._settings, self._reference, self._lost = registrar, settings, reference, lost
        self._prepare = prepare
        self._prepared_for: Frames | None = None

    def sample_of(self, pair: Pair) -> Sample:
        """Raises InputError, with the reason, where the messages cannot be used."""
        image_topic, info_topic, cloud_topic = pair.topics
        return sample_from_messages(pair.image, pair.info, pair.cloud, image_topic=image_topic, info_topic=info_topic,
                                    cloud_topic=cloud_topic, rectified=pair.rectified)

    def register(self, pairs: Sequence[Pair], samples: Sequence[Sample], converted: float,
                 searching: Callable[[], bool]) -> Outcome:
        """The outcome of pairs and their samples, oldest first; converted: seconds that those took. searching: whether
        a search from scratch may take their place, and go on.

        Raises InputError for what cannot be used, NoStart and FoundNowhere.
        """
        newest, settings = pairs[-1], self._settings()
        # 1. from where
        lidar_frame, camera_frame = self._frames(newest)
        reference = self._start((lidar_frame, camera_frame), newest, samples[-1])
        # 2. from there, or from scratch where that is far off
        lost: Sequence[Sample] = ()
        if reference is not None and searching():
            lost = self._lost((lidar_frame, camera_frame), reference)
        if lost:
            assert reference is not None
            found = search_from_scratch(lost, reference, self._registrar, searching)
        else:
            found = self._from_scratch(samples) if reference is None else self._registrar.register_joint(
                samples, Prior(reference, settings.prior_max_deg, settings.prior_max_m))
        # 3. with all that belongs to it
        now = time.monotonic()
        return Outcome(found, reference, samples[-1], lidar_frame, camera_frame, newest.stamp, newest.apart,
                       now - newest.arrived, now, {"convert": converted} | found.timings, pairs[0].stamp, len(lost))

    def _from_scratch(self, samples: Sequence[Sample]) -> Registration:
        """Raises FoundNowhere."""
        try:
            return self._registrar.register_anywhere(samples)
        except InputError as error:
            raise FoundNowhere(str(error)) from error

    def warm_up(self) -> None:
        """The first registration of a process is slow: spend it on noise."""
        rng = np.random.default_rng(0)
        camera = Camera(np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]]), 320, 240)
        image = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
        cloud = PointCloud.from_arrays(rng.uniform((-4, -3, 3), (4, 3, 20), (4000, 3)))
        sample = Sample("warm-up", image, camera, cloud)
        settings = self._settings()
        expected = None if settings.prior_source == "none" else Prior(np.eye(4), settings.prior_max_deg,
                                                                      settings.prior_max_m)
        if self._registrar.asks_network(expected) and self._registrar.matcher is not None:
            self._registrar.matcher.estimate(sample)
        self._registrar.register(sample, Prior(np.eye(4), 0.5, 0.05))

    def _start(self, frames: Frames, newest: Pair, sample: Sample) -> np.ndarray | None:
        """As `_known`. Before the first registration between two sensors what the last run has put right is taken up:
        else that one would start from what was wrong then, and be told."""
        reference = self._known(*frames, newest.stamp)
        if self._prepared_for == frames:
            return reference
        self._prepared_for = frames
        nothing_yet = Registration(np.eye(4) if reference is None else reference, np.full((6, 6), np.inf), "failed",
                                   "nothing has been registered yet")
        self._prepare(Outcome(nothing_yet, reference, sample, *frames, newest.stamp, newest.apart, 0.0,
                              time.monotonic(), {}))
        return self._known(*frames, newest.stamp)

    def _known(self, lidar_frame: str, camera_frame: str, stamp: int) -> np.ndarray | None:
        """T_cam_lidar (4, 4) that counts as known, None where it is looked for from scratch. Raises NoStart."""
        try:
            return self._reference.find(lidar_frame, camera_frame, stamp)
        except InputError as error:
            raise NoStart(str(error)) from error

    def _frames(self, pair: Pair) -> tuple[str, str]:
        """Names of the LiDAR's and the camera's frame: as set, else as the messages say."""
        settings = self._settings()
        lidar, camera = settings.lidar_frame or pair.frames[0], settings.camera_frame or pair.frames[1]
        image_topic, _, cloud_topic = pair.topics
        for name, topic, option in ((lidar, cloud_topic, "lidar_frame"), (camera, image_topic, "camera_frame")):
            if not name:
                raise InputError(f"{topic}: the header names no frame; let the driver fill frame_id, or set {option}")
        return lidar, camera
