"""What a run tells: every step as a line of JSON, TensorBoard where it is installed, and a bar or lines on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from .. import atomic
from ..errors import InputError

LOG_NAME = "log.jsonl"
LINE_EVERY_S = 60.0  # where stderr is no terminal


class RunLog:
    """The log of a run in its folder; a run that is resumed goes on in it. Use it as a context manager.

    step: the first that will be logged; lines of it and after it, from a run that was cut off, are removed.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        self.path = folder / LOG_NAME
        self.steps = steps
        self._keep_before(step)
        try:
            self._file: TextIO = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}; choose another out") from error
        self._board = _tensorboard(folder / "tensorboard", step)
        self._bar = _Bar(step, steps) if sys.stderr.isatty() else _Lines(step, steps)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._bar.stop()
        self._file.close()
        if self._board is not None:
            self._board.close()

    def step(self, step: int, numbers: Mapping[str, float]) -> None:
        """One step's numbers; NaN and infinite ones become null."""
        self._write({"step": step, "time": round(time.time(), 3)} | {
            name: value if math.isfinite(value) else None for name, value in numbers.items()})
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name.replace(".", "/"), value, step)
        self._bar.show(step, numbers)

    def say(self, step: int, sentence: str) -> None:
        """Something a person should read: in the log and on stderr."""
        self._write({"step": step, "time": round(time.time(), 3), "note": sentence})
        self._bar.say(f"crossi2p: step {step}: {sentence}")

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def _keep_before(self, step: int) -> None:
        """Leave only the lines of earlier steps; a line cut in half by a crash goes too."""
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        atomic.write_text(self.path, "".join(f"{line}\n" for line in lines if _step_of(line) < step))


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf


def _tensorboard(folder: Path, step: int) -> Any:
    """A writer, or None, said once, where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("crossi2p: no TensorBoard here, curves are in log.jsonl only (pip install tensorboard)", file=sys.stderr)
        return None
    return SummaryWriter(str(folder), purge_step=step)


def in_words(numbers: Mapping[str, float]) -> str:
    """The losses and recalls of a step on one line."""
    shown = [name for name in numbers if name.startswith("loss.") or name in ("coarse_recall", "fine_inliers")]
    return " ".join(f"{name.removeprefix('loss.')} {numbers[name]:.3g}" for name in shown)


class _Bar:
    """A progress bar with losses and the time that is left."""

    def __init__(self, step: int, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        # Results may be printed on stdout, perhaps into a file, while the bar stands: rich must not divert them.
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), redirect_stdout=False, redirect_stderr=False)
        self._task = self._progress.add_task("", total=steps, completed=step)
        self._progress.start()

    def show(self, step: int, numbers: Mapping[str, float]) -> None:
        self._progress.update(self._task, completed=step + 1, description=in_words(numbers))

    def say(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False, highlight=False)

    def stop(self) -> None:
        self._progress.stop()


class _Lines:
    """The same as a line now and then, for files and pipes."""

    def __init__(self, step: int, steps: int) -> None:
        self._first, self._steps = step, steps
        self._begun = self._shown = time.monotonic()

    def show(self, step: int, numbers: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._shown < LINE_EVERY_S:
            return
        self._shown = now
        left = (now - self._begun) / (step + 1 - self._first) * (self._steps - step - 1)
        self.say(f"crossi2p: step {step + 1} of {self._steps}, {left / 60:.0f} min left: {in_words(numbers)}")

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def stop(self) -> None:
        pass
