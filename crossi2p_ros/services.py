"""~/calibrate, ~/save, ~/reset and ~/accept, each of type std_srvs/Trigger."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.service import Service
from rclpy.task import Future
from std_srvs.srv import Trigger

from crossi2p_core.errors import InputError

from . import interface
from .guard import Guard
from .ledger import Ledger
from .outcome import Outcome
from .parameters import Settings
from .saved_files import save
from .worker import Worker

ANSWER_S = 0.1  # how often a withdrawn ~/calibrate looks whether all have their answer
WITHDRAWN = "the node was cleaned up meanwhile; configure and activate it, then call again"


class Services:
    """What an operator asks of the node. Every answer says in words what was done, or why not."""

    def __init__(self, node: Node, settings: Callable[[], Settings], worker: Worker, ledger: Ledger,
                 guard: Guard, *, why_no_pairs: Callable[[], str], forget: Callable[[], None]) -> None:
        """forget: called when results are to count no more."""
        self._node, self._settings, self._worker, self._ledger = node, settings, worker, ledger
        self._guard, self._why_no_pairs, self._forget = guard, why_no_pairs, forget
        self._asked_at = -math.inf  # steady seconds of the last valid answer of ~/calibrate
        self.pending = 0  # calls of ~/calibrate that wait for their answer
        # A group of its own: while ~/calibrate waits for the worker, every other callback goes on.
        self._services = [node.create_service(Trigger, interface.CALIBRATE.name, self._calibrate,
                                              callback_group=ReentrantCallbackGroup())]
        self._services += [node.create_service(Trigger, offered.name, call) for offered, call in (
            (interface.SAVE, self._save), (interface.RESET, self._reset), (interface.ACCEPT, self._accept))]

    def close(self) -> None:
        """Withdraw the services; ~/calibrate once those who wait for it have their answer: rclpy cannot bear less."""
        calibrate, *others = self._services
        for service in others:
            self._withdraw(service)
        if not self.pending:
            self._withdraw(calibrate)
            return

        def withdraw() -> None:
            if not self.pending:
                timer.cancel()
                self._withdraw(calibrate)
                self._node.destroy_timer(timer)

        timer = self._node.create_timer(ANSWER_S, withdraw, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _withdraw(self, service: Service) -> None:
        """Take a service out of the graph. Calls that have come and were not taken yet are told: nobody else would."""
        with service.handle:
            while (call := service.handle.service_take_request(Trigger.Request)) and call[1] is not None:
                service.send_response(_say(Trigger.Response(), False, WITHDRAWN), call[1])
        self._node.destroy_service(service)

    async def _calibrate(self, request: Any, response: Any) -> Any:
        """Register the newest pairs now; answers when that is done, and spins the node meanwhile."""
        self.pending += 1
        try:
            return await self._calibrated(response)
        finally:
            self.pending -= 1

    async def _calibrated(self, response: Any) -> Any:
        done: Future = Future(executor=self._node.executor)
        done.add_done_callback(lambda _: None)  # a future wakes its executor only to call somebody
        if not self._worker.calibrate(done.set_result):
            return _say(response, False, "there is no pair yet: " + (self._why_no_pairs() or "wait for the next one"))
        answer = await done
        if not isinstance(answer, Outcome):
            return _say(response, False, str(answer))
        if answer.valid:
            self._asked_at = answer.finished
        return _say(response, answer.valid, f"{answer.registration.status}: {answer.registration.reason}; "
                                            f"{answer.from_reference_in_words}")

    def _save(self, request: Any, response: Any) -> Any:
        """Write the repair that is proposed, or the estimate in use, or the last valid result."""
        meant = self._meant(self._guard.proposed, self._guard.in_use)
        if meant is None:
            return _say(response, False, "there is no valid result to save yet; see /diagnostics for the reason")
        try:
            paths = save(meant, self._settings().save_path)
        except InputError as error:
            return _say(response, False, str(error))
        return _say(response, True, f"wrote {self._what(meant)}: {', '.join(map(str, paths))}")

    def _reset(self, request: Any, response: Any) -> Any:
        """Forget results, waiting pairs and what was accepted."""
        self._forget()  # first, so that nothing that is under way still comes in
        self._ledger.forget_results()
        self._asked_at = -math.inf
        source = self._settings().prior_source
        return _say(response, True, f"results are forgotten; the reference is again what prior.source says ({source})")

    def _accept(self, request: Any, response: Any) -> Any:
        """The repair that is proposed becomes the reference, or the last valid result."""
        meant = self._meant(self._guard.proposed)
        if meant is None:
            return _say(response, False, "there is no valid result to accept yet; see /diagnostics for the reason")
        if self._guard.moves:
            return _say(response, False, "TF between the sensors moves from scan to scan, so that no one extrinsic can "
                                         "be the reference; correct the fixed link of the camera or of the LiDAR")
        what, apart = self._what(meant), meant.from_reference
        self._guard.accept(meant)
        former = ("there was none before" if apart is None else
                  f"the former one was {apart[0]:.2f} deg and {apart[1]:.1f} cm away")
        return _say(response, True, f"{what} is the reference now; {former}; ~/save keeps it for the next start")

    def _meant(self, *kept: Outcome | None) -> Outcome | None:
        """The newest of these, which many answers stand behind; the last valid result where there is none, or where
        ~/calibrate was called since and its answer is what the operator has seen."""
        newest = max((each for each in kept if each is not None), key=lambda each: each.finished, default=None)
        return newest if newest is not None and newest.finished >= self._asked_at else self._ledger.last_valid

    def _what(self, meant: Outcome) -> str:
        """In words."""
        if meant is self._guard.proposed:
            return "the proposed repair"
        return "the calibration in use" if meant is self._guard.in_use else "the last valid result"


def _say(response: Any, success: bool, message: str) -> Any:
    response.success, response.message = success, message
    return response
