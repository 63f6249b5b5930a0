"""The learning rate as a function of the step."""

from __future__ import annotations

import math


def learning_rate(step: int, base: float, warm_up: int, steps: int, floor: float = 0.0, fall: float = 1.0) -> float:
    """Linear up to `base` over `warm_up` steps, then `base`, then half a cosine down to `floor` x `base` at the last.

    step: counted from 0; what lies beyond the end stays at the floor. fall: share of `steps`, at the end, over which
    the rate falls; 1 is a cosine from the warm-up on. Below 1, the part before does not depend on `steps`: a run can be
    ended at several numbers of steps from one beginning (Hu et al., MiniCPM, 2024).
    """
    if step < warm_up:
        return base * (step + 1) / warm_up
    begin = max(warm_up, round(steps * (1 - fall)))
    done = min(1.0, max(0.0, (step - begin) / max(1, steps - 1 - begin)))
    return base * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def ema_decay(step: int, decay: float) -> float:
    """Decay of the averaged weights at a step counted from 0: less at first, so that they soon forget the start."""
    return min(decay, (1 + step) / (10 + step))
