"""Pieces of work in processes of their own: the death of one is nobody else's, and none outlives the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
POLL = 0.5  # s, for which a signal goes unheard at most: one that comes just before a wait does not end it


def each_by_itself(
    work: Callable[[str, Asked], Answer], pieces: Mapping[str, Asked], jobs: int
) -> Iterator[tuple[str, Answer | None, int | None]]:
    """The name of each piece, what `work` made of it and None, as they end; None and the exit code of one that died.

    work, its arguments and answers are sent to and from the processes, `jobs` at a time. When this ends early, by
    Ctrl-C above all, the processes are ended with it.
    """
    waiting = list(pieces.items())
    running: dict[Connection, tuple[str, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name, piece = waiting.pop(0)
                end, process = _begun(work, name, piece)
                running[end] = name, process
            for end in cast(list[Connection], wait(list(running), POLL)):
                name, process = running[end]
                yield name, *_answered(end, process)
                del running[end]
    finally:
        for _, process in running.values():
            process.terminate()


def _begun(work: Callable[[str, Any], Any], name: str, piece: object) -> tuple[Connection, BaseProcess]:
    """A process at work and the end of the pipe at which its answer will arrive."""
    fresh = multiprocessing.get_context("spawn")  # a forked process inherits cv2's locks but not its threads
    end, into = fresh.Pipe(duplex=False)
    with into:  # the process has its own of it: when that is closed, there is nothing to wait for
        process = fresh.Process(target=_live_with_the_run, args=(into, work, name, piece), daemon=True)
        process.start()
    return end, process


def _answered(end: Connection, process: BaseProcess) -> tuple[Any, int | None]:
    try:
        with end:
            answer = end.recv()
    except (EOFError, OSError):  # OSError: of an answer that ended within
        process.join()
        return None, process.exitcode
    process.join()
    return answer, None


def _live_with_the_run(into: Connection, work: Callable[[str, Any], Any], name: str, piece: object) -> None:
    """The work of a process: it leaves Ctrl-C to the run, and ends when the run is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = multiprocessing.parent_process()
    assert run is not None

    def end() -> None:
        run.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
    into.send(work(name, piece))
