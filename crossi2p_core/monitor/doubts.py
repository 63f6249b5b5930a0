"""Page's test on the frames' doubts: does anything nearby fit better than the calibration in use, frame after frame?

Quicker than measuring by how much, and it sees moves of which a single search finds only a part.
"""

from __future__ import annotations

import math

# Beta distributions of the doubt, whose ratio counts (Page, "Continuous inspection schemes", 1954): wider than what 149
# real frames show at the recorded extrinsic (0.8, 36), and as they show 0.5 deg and 5 cm off it (1.4, 3.4).
GOOD, OFF = (0.6, 12.0), (1.5, 3.2)
SHARE = 0.5  # neighbouring frames see the same things: each counts half
MOST = 2.0  # and none more than this


def doubt_threshold(false_alarms: float) -> float:
    """The sum of log likelihood ratios that is exceeded so often per frame: Page's test takes 1/p frames or more to
    exceed log(1/p) (Lorden, "Procedures for reacting to a change in distribution", 1971)."""
    return math.log(1 / false_alarms)


def log_ratio(doubt: float) -> float:
    """Log likelihood of a doubt where the calibration is off, over that where it is good; a share, and bounded."""
    inside = min(max(doubt, 1e-3), 1 - 1e-3)
    ratio = _log_beta(inside, *OFF) - _log_beta(inside, *GOOD)
    return min(MOST, max(-MOST, SHARE * ratio))


def pages_sum(before: float, doubt: float, most: float = math.inf) -> float:
    """The sum after a frame, never below 0 nor above `most`; a frame without a doubt (NaN) changes nothing."""
    return before if math.isnan(doubt) else min(most, max(0.0, before + log_ratio(doubt)))


def most_doubt(false_alarms: float) -> float:
    """Where the sum ends: an alarm that has lasted for an hour shall not need another hour of good frames."""
    return doubt_threshold(false_alarms) + MOST


def _log_beta(x: float, a: float, b: float) -> float:
    return ((a - 1) * math.log(x) + (b - 1) * math.log(1 - x)
            - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)))
