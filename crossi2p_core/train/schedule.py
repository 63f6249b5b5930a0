"""The learning rate as a function of the step."""

from __future__ import annotations

import math


def learning_rate(step: int, base: float, warm_up: int, steps: int, floor: float = 0.0) -> float:
    """Linear up to `base` over `warm_up` steps, then half a cosine down to `floor` x `base` at the last of `steps`.

    step: counted from 0; what lies beyond the end stays at the floor.
    """
    if step < warm_up:
        return base * (step + 1) / warm_up
    done = min(1.0, (step - warm_up) / max(1, steps - 1 - warm_up))
    return base * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def ema_decay(step: int, decay: float) -> float:
    """Decay of the averaged weights at a step counted from 0: less at first, so that they soon forget the start."""
    return min(decay, (1 + step) / (10 + step))
