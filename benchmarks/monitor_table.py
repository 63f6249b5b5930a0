"""The tables that benchmarks/monitor.py makes of what it measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.evidence import Evidence
from crossi2p_core.monitor.knock import random_knock
from crossi2p_core.monitor.sequential import Reading, SequentialTest
from crossi2p_core.monitor.states import State, doubt_threshold, score_threshold
from crossi2p_core.monitor.watch import Watch

LEVELS = ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (2.0, 0.0), (0.0, 0.02), (0.0, 0.05), (0.0, 0.10))  # deg, m
TOGETHER = 20  # frames that are off in the same direction
WINDOWS = (1, 5, 10, 20)
LEAST_WINDOWS = 5  # of either kind; an area from fewer says nothing
STANDING = 0.55  # sigmas by which frames of a robot that stands still are taken to differ
RUNS, RUN_FRAMES, BEFORE, MOST = 4, 10_000, 30, 100  # drives, frames of each; frames before a move, and after it
Frames = dict[tuple[str, int], dict[int, Evidence]]  # by source and number of the level, then by frame
Group = tuple[str, list[str]]  # a name, and the sources in it


def tables(frames: Frames) -> Iterator[str]:
    """Lines of Markdown."""
    names = list(dict.fromkeys(name for name, _ in frames))
    synthetic = [name for name in names if name.startswith("synthetic:")]
    real: list[Group] = [(name, [name]) for name in names if name not in synthetic]
    groups = [*real, ("synthetic drives", synthetic)] if synthetic else real
    yield "### How well moves are told from none: area under the ROC curve\n"
    yield from roc(frames, groups)
    yield "\n### False alarms\n"
    yield from false_alarms(frames, groups)
    yield "\n### From the move to the alarm\n"
    yield from delays(frames, groups)
    yield "\n### A robot that stands still\n"
    yield from standing(frames, groups)


def roc(frames: Frames, groups: list[Group]) -> Iterator[str]:
    """A row per group and level, a column per window; before them how many windows these areas rest on."""
    yield (f"| recording | off by | {' | '.join(f'{window} frames' for window in WINDOWS)} |\n"
           f"|{'---|' * (len(WINDOWS) + 2)}")
    for name, sources in groups:
        good = {window: _statistics(frames, sources, 0, window) for window in WINDOWS}
        counts = (f"{len(_statistics(frames, sources, 1, window))} and {len(good[window])}" for window in WINDOWS)
        yield f"| {name} | windows, off and not | {' | '.join(counts)} |"
        for level in range(1, len(LEVELS)):
            areas = [_area(_statistics(frames, sources, level, window), good[window]) for window in WINDOWS]
            yield f"| {name} | {_named(level)} | {' | '.join(areas)} |"


def false_alarms(frames: Frames, groups: list[Group]) -> Iterator[str]:
    """Alarms over drives of frames at the true extrinsic, in random order."""
    yield "| recording | frames drawn from | frames drawn | false alarms in 10 000 frames |\n|---|---|---|---|"
    for name, sources in groups:
        usable = _usable(frames, sources, 0)
        if usable:
            alarms = sum(_alarms(usable, np.random.default_rng(seed)) for seed in range(RUNS))
            rate = alarms * 10_000 / (RUNS * RUN_FRAMES)
            yield (f"| {name} | {len(usable)} of {sum(len(frames[each, 0]) for each in sources)} | "
                   f"{RUNS * RUN_FRAMES} | {rate:.0f} |")


def delays(frames: Frames, groups: list[Group]) -> Iterator[str]:
    """Usable frames from a move to the alarm, over ten drawn moves per source."""
    yield ("| recording | moved by | moves | noticed | median delay, frames | longest |\n"
           "|---|---|---|---|---|---|")
    for name, sources in groups:
        for level in range(1, len(LEVELS)):
            found = [delay for each in sources for seed in range(10)
                     if (delay := _delay(frames, each, level, np.random.default_rng(seed))) is not None]
            noticed = [delay for delay in found if delay < MOST]
            words = f"{np.median(noticed):.0f} | {max(noticed)}" if noticed else "- | -"
            yield f"| {name} | {_named(level)} | {len(found)} | {len(noticed)} | {words} |"


def standing(frames: Frames, groups: list[Group]) -> Iterator[str]:
    """Alarms of a robot that is parked where one frame was taken, for each frame; and of one that is knocked there."""
    yield ("| recording | parked at | alarms | if nobody knew that it stands | knocked there by 1 deg, noticed | "
           "median delay, frames |\n|---|---|---|---|---|---|")
    for name, sources in groups:
        usable = _usable(frames, sources, 0)
        if usable:
            alarms, naive = (sum(_parked(each, place, None) is not None for each in usable) for place in (0, None))
            delays = [_parked(each, 0, i) for i, each in enumerate(usable)]
            noticed = [delay for delay in delays if delay is not None and delay > 0]
            words = f"{np.median(noticed):.0f}" if noticed else "-"
            yield f"| {name} | {len(usable)} | {alarms} | {naive} | {len(noticed)} | {words} |"


def _parked(at: Evidence, place: int | None, knock: int | None) -> int | None:
    """Frames until the first alarm, counted from the knock where there is one (0 or less: before it), None where there
    is none."""
    assert at.xi is not None and at.covariance is not None
    rng, watch = np.random.default_rng(0), Watch(np.eye(4))
    spread, before = STANDING * np.linalg.cholesky(at.covariance), 0 if knock is None else BEFORE
    move = np.zeros(6) if knock is None else random_knock(1.0, 0.0, np.random.default_rng(knock))
    for number in range(before + MOST):
        xi = at.xi + (number >= before) * move + spread @ rng.normal(size=6)
        if watch.observe(replace(at, xi=xi, place=place)).state is State.DECALIBRATED:
            return number + 1 - before
    return None


def _statistics(frames: Frames, sources: list[str], level: int, window: int) -> list[float]:
    """What the test says at the end of every run of so many frames that are off alike."""
    found = []
    for name in sources:
        said = frames[name, level]
        for begin in range(0, len(said) - window + 1, max(1, window // 2)):
            if level and begin // TOGETHER != (begin + window - 1) // TOGETHER:
                continue
            test = SequentialTest(MonitorConfig(least_frames=1))
            for frame in range(begin, begin + window):
                test.observe(said[frame])
            found.append(_statistic(test.read()))
    return found


def _statistic(reading: Reading) -> float:
    """The higher of both tests, each in units of its threshold."""
    rate = MonitorConfig().false_alarms
    return max(reading.score / score_threshold(rate), reading.doubts / doubt_threshold(rate))


def _area(bad: list[float], good: list[float]) -> str:
    """Probability that a bad one is higher than a good one; no number where there are few."""
    if min(len(bad), len(good)) < LEAST_WINDOWS:
        return "few"
    a, b = np.array(bad)[:, None], np.array(good)[None]
    return f"{float((a > b).mean() + 0.5 * (a == b).mean()):.3f}"


def _usable(frames: Frames, sources: list[str], level: int) -> list[Evidence]:
    return [each for name in sources for each in frames[name, level].values() if each.usable]


def _alarms(usable: list[Evidence], rng: np.random.Generator) -> int:
    """Alarms in one drive; the watch begins anew after each."""
    watch, alarms = Watch(np.eye(4)), 0
    for number in rng.integers(len(usable), size=RUN_FRAMES):
        if watch.observe(usable[number]).state is State.DECALIBRATED:
            watch.accept(np.eye(4), repaired=False)
            alarms += 1
    return alarms


def _delay(frames: Frames, name: str, level: int, rng: np.random.Generator) -> int | None:
    """Usable frames from the move to the alarm, MOST where there is none; None where no frame tells anything."""
    chunk = int(rng.integers(max(1, len(frames[name, level]) // TOGETHER)))
    good = _usable(frames, [name], 0)
    off = [each for frame, each in frames[name, level].items() if frame // TOGETHER == chunk and each.usable]
    if not good or not off:
        return None
    watch = Watch(np.eye(4))
    for number in rng.integers(len(good), size=BEFORE):
        watch.observe(good[number])
    for delay, number in enumerate(rng.integers(len(off), size=MOST)):
        if watch.observe(off[number]).state is State.DECALIBRATED:
            return delay + 1
    return MOST


def _named(level: int) -> str:
    degrees, metres = LEVELS[level]
    return f"{degrees:g} deg" if degrees else f"{100 * metres:g} cm"
