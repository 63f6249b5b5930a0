"""What follows from an answer: who is told, what the watch says of it, and which extrinsic counts from then on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crossi2p_core.errors import InputError
from crossi2p_core.types import Sample

from .guard import Guard
from .outcome import Outcome
from .outputs import Outputs
from .prior import Reference
from .ros_compat.tf2 import TransformException
from .watch_file import Frames


class Sequel:
    """Called by the worker with its outcomes, and by the executor for operators and diagnostics."""

    def __init__(self, log: Callable[[str], None], reference: Reference, guard: Guard, outputs: Outputs) -> None:
        """log: takes lines for people."""
        self._log, self._reference, self._guard, self._outputs = log, reference, guard, outputs

    def prepare(self, start: Outcome) -> None:
        """Before the first registration between two sensors: take up what the last run has put right."""
        self._say(self._guard.prepare(start))

    def publish(self, outcome: Outcome) -> None:
        """Tell an outcome, and let it repair the reference where the policy wants that."""
        self._outputs.publish(outcome, self.reference_for(outcome))
        before = self._guard.in_use
        self._say(self._guard.consider(outcome))
        if before is not None and self._guard.in_use is None:  # given up: nothing fits it
            self._outputs.follow(self.reference_for(outcome))

    def lost(self, frames: Frames, reference: np.ndarray) -> list[Sample]:
        """Pairs in which the camera is to be looked for from scratch now."""
        samples = self._guard.lost(frames, reference)
        if samples:
            self._log(f"looking for the camera from scratch in {len(samples)} pairs that fit nowhere")
        return samples

    def pass_over(self, reason: str, stamp: int) -> None:
        """The watch learns that somebody looked, and saw nothing."""
        self._say(self._guard.pass_over(reason, stamp))

    def forget(self) -> None:
        """~/reset was called: former answers count no more, and the link says the reference that is left."""
        self._outputs.forget()
        self._guard.forget()
        told = self._outputs.told
        if told is not None:
            self._outputs.follow(self.reference_for(told))

    def reference_for(self, outcome: Outcome) -> np.ndarray | None:
        """T_cam_lidar (4, 4) that counts as known by now between the sensors of an outcome; None where nothing does."""
        try:
            return self._reference.find(outcome.lidar_frame, outcome.camera_frame, outcome.stamp)
        except (InputError, TransformException):
            return None

    def deviation(self, valid: Outcome | None) -> tuple[float, float] | None:
        """Degrees and centimetres of an answer from the reference of now, None where either is missing. Of links that
        move: from where they were then, which says nothing of where they have gone since."""
        if valid is None:
            return None
        try:
            reference = self._reference.find(valid.lidar_frame, valid.camera_frame, valid.stamp, then=valid.reference)
        except (InputError, TransformException):
            return None
        return None if reference is None else valid.deviation(reference)

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            self._log(line)
