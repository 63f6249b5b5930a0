"""The lifecycle node: wires inputs, worker, outputs, services and diagnostics together, and takes them apart again."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from crossi2p_core.errors import InputError
from crossi2p_core.registrar import Registrar

from . import declaration
from .diagnostics import Diagnostics, memory_mb, steady_now
from .gates import MotionGate
from .guard import Guard
from .inputs import Inputs, Pair
from .ledger import Ledger
from .outputs import Outputs
from .parameters import PARAMETERS, Settings, settings_from
from .prior import Reference
from .report import Snapshot
from .ros_compat import describe
from .ros_compat.tf2 import Buffer, TransformListener
from .sequel import Sequel
from .services import Services
from .worker import Worker

NAME = "register_node"


def _path(text: str) -> Path | None:
    """A file named by a parameter; empty: none."""
    return Path(text).expanduser() if text else None


class RegisterNode(LifecycleNode):
    """Registers a camera to a LiDAR, over and over, and tells what it finds."""

    def __init__(self, context: Context | None = None) -> None:
        """Raises InputError where the parameters cannot be had."""
        super().__init__(NAME, context=context)
        declaration.declare(self)
        self.settings: Settings = declaration.read(self)
        self.add_on_set_parameters_callback(self._on_set)
        self.ledger = Ledger()
        self.registrar: Registrar | None = None
        self.inputs: Inputs | None = None
        self.outputs: Outputs | None = None
        self.worker: Worker | None = None
        self.services_offered: Services | None = None
        self.buffer = Buffer(node=self)  # one for good: upstream's offers a service that it never withdraws
        self._ending: Worker | None = None  # of before, and perhaps still at it: a registration cannot be broken off
        self.cannot_configure = ""
        self.diagnostics = Diagnostics(self, self._snapshot, lambda: self.settings)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the Registrar, begin to warm it up, and offer topics and services."""
        self.cannot_configure = ""
        try:
            # 1. what computes
            self.registrar = Registrar(_path(self.settings.config_file), self.settings.device,
                                       _path(self.settings.weights))
            # 2. what is known of frames, and where the start comes from
            self.buffer.clear()
            self.listener = TransformListener(self.buffer, self)
            self.reference = Reference(self._settings, self.buffer, self._warn)
            self.gate = MotionGate(self._settings, self.buffer)
            # 3. what is told, and what follows from an answer
            self.outputs = Outputs(self, self._settings, self.buffer, self.registrar.config.refine)
            self.guard = Guard(self._settings, self.reference, self.outputs.use)
            self.sequel = sequel = Sequel(self._log, self.reference, self.guard, self.outputs)
            # 4. the thread that owns the device
            self.worker = Worker(self.registrar, self._settings, self.reference, self.ledger,
                                 gate=self._why_passed_over, publish=sequel.publish, pass_over=sequel.pass_over,
                                 idle=self.outputs.catch_up, complain=self._complain, lost=sequel.lost,
                                 prepare=sequel.prepare)
            self.worker.start(after=self._ending)
            # 5. what operators ask for
            self.services_offered = Services(self, self._settings, self.worker, self.ledger, self.guard,
                                             why_no_pairs=self._why_no_pairs, forget=self._forget)
        except InputError as error:
            return self._failed(str(error))
        except Exception as error:  # rclpy would fall silent about it
            self.get_logger().error(traceback.format_exc())
            return self._failed(f"{type(error).__name__}: {error}")
        self.get_logger().info(f"computing on {self.registrar.device}; {describe()}")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and take pairs."""
        assert self.worker is not None
        self.cannot_configure = ""
        try:
            self.inputs = Inputs(self, self._settings, self.worker.offer, self.ledger.count, self._begin_anew)
        except Exception as error:  # rclpy would fall silent about it
            self.get_logger().error(traceback.format_exc())
            self.cannot_configure = f"{type(error).__name__}: {error}"
            return TransitionCallbackReturn.FAILURE
        self.worker.activate()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; what is still being computed is thrown away."""
        self._stop_listening()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything that configure took."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, from whichever state."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an error in a transition: release everything, so that configure can be tried again."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def dismiss(self) -> None:
        """Listen no more, and tell whoever waits for an answer; they hear it while the node is still spun."""
        self._stop_listening()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody has not heard the answer yet."""
        return self.services_offered is not None and self.services_offered.pending > 0

    def close(self) -> None:
        """Release everything and leave the graph."""
        self._release()
        self.destroy_node()

    def _failed(self, reason: str) -> TransitionCallbackReturn:
        """Say why it cannot be configured, and release what already stands."""
        self.cannot_configure = reason
        self.get_logger().error(f"cannot configure: {reason}")
        self._release()
        return TransitionCallbackReturn.FAILURE

    def _settings(self) -> Settings:
        """The settings of this moment; set by services, read by all threads."""
        return self.settings

    def _on_set(self, changes: Sequence[Parameter]) -> SetParametersResult:
        """Check a change of parameters against all others, and let it count from now on."""
        mine = {row.name for row in PARAMETERS}
        changed = {each.name: each.value for each in changes if each.name in mine}
        values = {row.name: getattr(self.settings, row.field) for row in PARAMETERS} | changed
        try:
            self.settings = settings_from(values)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _why_passed_over(self, pair: Pair) -> str:
        return self.gate.why_passed_over(self.settings.lidar_frame or pair.frames[0], pair.stamp)

    def _begin_anew(self) -> None:
        """Time has jumped back: what waits is of another time, and so is what the tree holds."""
        if self.worker is not None:
            self.worker.forget()
        self.buffer.clear()

    def _log(self, text: str) -> None:
        self.get_logger().info(text)

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text)

    def _complain(self, text: str) -> None:
        """Log what must not happen. A worker at work when the process ends trips over that: it may happen."""
        if self.context.ok():
            self.get_logger().error(text)

    def _why_no_pairs(self) -> str:
        return self.inputs.why_no_pairs() if self.inputs is not None else "the node is not active"

    def _forget(self) -> None:
        """Results and waiting pairs count no more."""
        if self.worker is not None and self.outputs is not None:
            self.worker.forget()
            self.sequel.forget()

    def _stop_listening(self) -> None:
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None
        if self.worker is not None:
            self.worker.deactivate()

    def _release(self) -> None:
        """Take apart what stands, whatever that is, in under two seconds; what the worker still does is thrown away."""
        self._stop_listening()
        if self.services_offered is not None:
            self.services_offered.close()
        if self.worker is not None:
            self._ending = None if self.worker.stop() else self.worker
        if self.outputs is not None:
            self.outputs.close()
            self.listener.unregister()
        self.services_offered = self.worker = self.outputs = self.registrar = None
        self.ledger.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _snapshot(self) -> Snapshot:
        """The node at this moment, for the diagnostics."""
        state = self._state_machine.current_state[1]
        now = steady_now()
        if self.registrar is None or self.outputs is None:
            return Snapshot(state, now, cannot_configure=self.cannot_configure)
        ledger, inputs = self.ledger, self.inputs
        streams = [] if inputs is None else [inputs.image, inputs.cloud, inputs.info]
        counts = {"registrations ok": ledger.registrations["ok"], "uncertain": ledger.registrations["uncertain"],
                  "failed": ledger.registrations["failed"],
                  "agreeing answers": self.guard.agreeing, "searches from scratch": self.guard.searches,
                  "repairs": self.guard.repairs,
                  "pairs": inputs.pairs if inputs else 0,
                  "pairs dropped": ledger.dropped, "pairs passed over for motion": ledger.passed_over,
                  "pairs whose motion is unknown": self.gate.unknown,
                  "empty stamps": sum(stream.empty_stamps for stream in streams),
                  "jumps back in time": inputs.clock_jumps if inputs else 0}
        return Snapshot(
            state, now, str(self.registrar.device), memory_mb(self.registrar.device), ledger.warm,
            inputs.why_no_pairs() if inputs else "", ledger.missing, self.outputs.tf.problem, ledger.last,
            ledger.last_valid, self.sequel.deviation(ledger.last_valid), self.reference.accepted,
            {stream.name: stream.rate(now) for stream in streams}, counts, tuple(ledger.refused()),
            ledger.last_refusal, self.cannot_configure, self.guard.state, self.guard.words,
            self.gate.problem)
