"""Lens distortion on the normalised image plane, its one-to-one range and its inverse; numpy and torch alike.

Both families distort a radius r by r_d = r N(r^2) / M(r^2): r is the tangent of the angle off the axis for OpenCV's
polynomial models (N = 1 + k1 s + k2 s^2 + k3 s^3, M = 1 + k4 s + k5 s^2 + k6 s^3) and the angle itself for the
equidistant one (N = 1 + k1 s + .. + k4 s^4, M = 1). Formulas: OpenCV's manual, modules calib3d and fisheye.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .backend import namespace

WIDEST = 100.0  # tangent of 89.4 degrees: how far off its axis a lens of the OpenCV family is followed
NEAREST = 1e-6  # m: a point nearer to the image plane has no pixel in such a lens
_STEPS = 40  # Newton: 5 to 8 are usual, the rest is bisection for the flat end of a range
_DONE = 1e-14  # a Newton step this short changes nothing in float64
_FLAT = 1e-12  # a slope below this has no usable inverse


@dataclass(frozen=True)
class Lens:
    """A model's coefficients sorted by what they do; polynomials in s = r^2, lowest order first.

    limit: the radius (tangent or angle) up to which the model is one-to-one; infinite where it always is.
    bend: numerator of d (N/M) / d s, whose denominator is M^2.
    """

    numerator: tuple[float, ...]
    denominator: tuple[float, ...]
    bend: tuple[float, ...]
    tangential: tuple[float, float]
    limit: float

    @property
    def end(self) -> float:
        """The largest radius that is computed with."""
        return min(self.limit, WIDEST)


def lens(model: str, D: Sequence[float] | np.ndarray) -> Lens:
    """The Lens of a model other than `none`; kept per set of coefficients, since its range costs a root search."""
    return _lens(model, tuple(np.asarray(D, dtype=np.float64).reshape(-1).tolist()))


@lru_cache(maxsize=256)
def _lens(model: str, D: tuple[float, ...]) -> Lens:
    numerator: tuple[float, ...]
    denominator: tuple[float, ...]
    if model == "equidistant":
        numerator, denominator, tangential, widest = (1.0, *D), (1.0,), (0.0, 0.0), math.pi
    else:
        k1, k2, p1, p2, k3, k4, k5, k6 = (D + (0.0,) * 8)[:8]
        numerator, denominator, tangential, widest = (1.0, k1, k2, k3), (1.0, k4, k5, k6), (p1, p2), math.inf
    N, M = np.polynomial.Polynomial(numerator), np.polynomial.Polynomial(denominator)
    s = np.polynomial.Polynomial([0, 1])
    bend = N.deriv() * M - N * M.deriv()
    slope = N * M + 2 * s * bend  # numerator of d r_d / d r: the model folds where it vanishes, or M does
    fold = min(_first_positive_root(slope.coef), _first_positive_root(np.asarray(denominator)))
    return Lens(_trim(numerator), _trim(denominator), _trim(bend.coef.tolist()), tangential,
                min(math.sqrt(fold), widest))


def _trim(coefficients: Sequence[float]) -> tuple[float, ...]:
    """Without trailing zeros, which would cost a pass over all points each."""
    return tuple(np.trim_zeros(np.asarray(coefficients), "b").tolist() if np.any(coefficients) else [0.0])


def _first_positive_root(coefficients: np.ndarray) -> float:
    """Smallest positive real root of a polynomial (lowest order first), infinity where there is none."""
    trimmed = np.trim_zeros(coefficients, "b")
    if len(trimmed) < 2:
        return math.inf
    roots = np.roots(trimmed[::-1])
    real = roots.real[(np.abs(roots.imag) <= 1e-9 * np.abs(roots)) & (roots.real > 0)]
    return float(real.min()) if len(real) else math.inf


def distort_plane(x: Any, y: Any, lens: Lens) -> tuple[Any, Any, Any]:
    """OpenCV's models: distorted x, y and whether (x, y) lies in the one-to-one range.

    x, y: (...) on the plane z = 1. Beyond the range the answer is (0, 0): polynomials would overflow there.
    """
    xp = namespace(x)
    r2 = x * x + y * y
    regular = r2 < lens.end**2
    x, y, s = (xp.where(regular, value, xp.zeros_like(r2)) for value in (x, y, r2))
    ratio = _polynomial(lens.numerator, s) / _polynomial(lens.denominator, s)
    return *_tangential(x, y, s, ratio, lens), regular


def _tangential(x: Any, y: Any, s: Any, ratio: Any, lens: Lens) -> tuple[Any, Any]:
    """Radially distorted (ratio x, ratio y) plus the decentring terms p1, p2."""
    p1, p2 = lens.tangential
    if p1 == 0 and p2 == 0:
        return x * ratio, y * ratio
    xy = 2 * x * y
    return x * ratio + p1 * xy + p2 * (s + 2 * x * x), y * ratio + p1 * (s + 2 * y * y) + p2 * xy


def distort_angle(x: Any, y: Any, z: Any, lens: Lens) -> tuple[Any, Any, Any]:
    """Equidistant model: distorted plane coordinates of points (x, y, z) and whether they are in its range."""
    xp = namespace(x)
    r2 = x * x + y * y
    one = xp.ones_like(r2)
    off, ahead = r2 > 0, z > NEAREST  # on the axis the quotients have no value, and only what lies ahead has a pixel
    r = xp.sqrt(xp.where(off, r2, one))
    angle = xp.arctan2(xp.where(off, r, 0 * one), xp.where(off, z, one))
    inside = angle < lens.limit
    angle = xp.where(inside, angle, lens.limit * one)
    scale = angle * _polynomial(lens.numerator, angle * angle) / r
    scale = xp.where(off, scale, 1 / xp.where(ahead, z, one))
    return x * scale, y * scale, inside & (off | ahead)


def undistort_radius(distorted: Any, lens: Lens) -> Any:
    """The radius (tangent or angle) whose distorted value is `distorted` (...) >= 0, float64; at most `lens.end`.

    Newton's method inside a shrinking bracket: the function rises over the whole range, so the root cannot be missed.
    """
    xp = namespace(distorted)
    low, high = xp.zeros_like(distorted), lens.end * xp.ones_like(distorted)
    below = _polynomial(lens.denominator, lens.end**2)  # 0, or by rounding less, where the range ends at a pole
    farthest = lens.end * _polynomial(lens.numerator, lens.end**2) / below if below > 0 else math.inf
    r = xp.where((distorted < high) & (distorted < farthest), distorted, high)
    for _ in range(_STEPS):
        ratio, bend = _ratio_and_bend(r * r, lens)
        miss, slope = r * ratio - distorted, ratio + 2 * r * r * bend
        low, high = xp.where(miss <= 0, r, low), xp.where(miss >= 0, r, high)
        step = r - miss / xp.where(slope > _FLAT, slope, xp.ones_like(slope))
        step = xp.where((step >= low) & (step <= high) & (slope > _FLAT), step, 0.5 * (low + high))
        r, moved = step, abs(step - r)
        if bool((moved < _DONE).all()):
            break
    return r


def undistort_plane(x: Any, y: Any, lens: Lens) -> tuple[Any, Any]:
    """OpenCV's models: the (x, y) on the plane z = 1 that are distorted to these; float64.

    The radial part first, then Newton steps in two dimensions for the decentring. What no point is distorted to gets
    a point at the edge of the range.
    """
    xp = namespace(x)
    r2 = x * x + y * y
    distorted = xp.sqrt(xp.where(r2 > 0, r2, xp.ones_like(r2)))
    scale = undistort_radius(distorted, lens) / distorted
    u, v = x * scale, y * scale
    if lens.tangential == (0.0, 0.0):
        return u, v
    for _ in range(_STEPS):
        du, dv = _newton_step(u, v, x, y, lens)
        u, v = u - du, v - dv
        if bool((abs(du) + abs(dv) < _DONE).all()):
            break
    return u, v


def _newton_step(u: Any, v: Any, x: Any, y: Any, lens: Lens) -> tuple[Any, Any]:
    """Step (du, dv) of Newton's method for distort(u, v) = (x, y); none where it would leave the one-to-one range."""
    xp = namespace(u)
    p1, p2 = lens.tangential
    s = u * u + v * v
    ratio, bend = _ratio_and_bend(s, lens)
    miss_x, miss_y = _tangential(u, v, s, ratio, lens)
    miss_x, miss_y = miss_x - x, miss_y - y
    a = ratio + 2 * bend * u * u + 2 * p1 * v + 6 * p2 * u  # the Jacobian [[a, b], [b, c]]
    b = 2 * bend * u * v + 2 * p1 * u + 2 * p2 * v
    c = ratio + 2 * bend * v * v + 6 * p1 * v + 2 * p2 * u
    determinant = a * c - b * b
    steady = determinant > _FLAT
    determinant = xp.where(steady, determinant, xp.ones_like(determinant))
    du, dv = (c * miss_x - b * miss_y) / determinant, (a * miss_y - b * miss_x) / determinant
    steady = steady & ((u - du) ** 2 + (v - dv) ** 2 < lens.end**2)
    return xp.where(steady, du, xp.zeros_like(du)), xp.where(steady, dv, xp.zeros_like(dv))


def _ratio_and_bend(s: Any, lens: Lens) -> tuple[Any, Any]:
    """N / M and its derivative by s."""
    below = _polynomial(lens.denominator, s)
    return _polynomial(lens.numerator, s) / below, _polynomial(lens.bend, s) / (below * below)


def _polynomial(coefficients: tuple[float, ...], s: Any) -> Any:
    """Horner's scheme, lowest order first."""
    total = 0 * s + coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * s + coefficient
    return total
