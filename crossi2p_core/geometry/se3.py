"""Rigid motions: exponential and logarithm, errors between poses, checked and perturbed transforms.

Everything takes numpy arrays or torch tensors with any leading batch dimensions and answers in kind, dtype included.
`T_target_source`: `p_target = T_target_source @ p_source`. A twist is `xi = (w, rho)`: rotation vector in radians
first, then metres; `exp_se3(xi) = [[exp(w), V(w) rho], [0, 1]]`.
Formulas: Barfoot, State Estimation for Robotics, chapter 7.
Gradients are finite everywhere, at zero rotation too: each quotient that vanishes there has its series beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import InputError
from .backend import as_float, as_float64, eye, like, namespace

_ROTATION_SLACK = 1e-3  # largest entry of R^T R - I that counts as rounding of a written-down matrix


def make(R: Any, t: Any) -> Any:
    """T (..., 4, 4) from R (..., 3, 3) and t (..., 3), in R's library and dtype."""
    R = as_float(R)
    t = like(t, R)
    xp = namespace(R)
    batch = np.broadcast_shapes(R.shape[:-2], t.shape[:-1])
    top = xp.concatenate([xp.broadcast_to(R, (*batch, 3, 3)), xp.broadcast_to(t, (*batch, 3))[..., None]], -1)
    last = xp.broadcast_to(eye(4, R)[3:], (*batch, 1, 4))
    return xp.concatenate([top, last], -2)


def inverse(T: Any) -> Any:
    """The inverse motion (..., 4, 4), without a matrix inversion."""
    T = as_float(T)
    R_back = T[..., :3, :3].swapaxes(-1, -2)
    return make(R_back, -(R_back @ T[..., :3, 3:])[..., 0])


def transform(T: Any, points: Any) -> Any:
    """Points (..., 3) moved by T, in the points' library, dtype and device.

    One T (4, 4) moves points of any shape; a batch T (B..., 4, 4) moves points (B..., N, 3).
    """
    points = as_float(points)
    T = like(T, points)
    shift = T[:3, 3] if T.ndim == 2 else T[..., None, :3, 3]
    return points @ T[..., :3, :3].swapaxes(-1, -2) + shift


def exp_so3(w: Any) -> Any:
    """Rotation matrices (..., 3, 3) of rotation vectors w (..., 3) in radians (Rodrigues)."""
    w = as_float(w)
    W = _hat(w)
    a, b, _ = _exp_coefficients((w * w).sum(-1)[..., None, None])
    return eye(3, w) + a * W + b * (W @ W)


def log_so3(R: Any) -> Any:
    """Rotation vectors (..., 3) in radians, length 0..pi, of rotations R (..., 3, 3).

    Through the unit quaternion, its largest component first (Shepperd 1978), so that it stays exact near pi, where the
    skew part of R vanishes, and near zero, where its trace says nothing. At pi itself either sign may come back.
    """
    R = as_float(R)
    xp = namespace(R)
    q = _quaternion(R)
    q = xp.where(q[..., :1] < 0, -q, q)  # the short way round
    cosine, v = q[..., :1], q[..., 1:]
    sine2 = (v * v).sum(-1)[..., None]
    small = sine2 < 1e-6
    sine = xp.sqrt(xp.where(small, xp.ones_like(sine2), sine2))
    u = xp.where(small, sine2 / xp.where(small, cosine * cosine, xp.ones_like(cosine)), xp.zeros_like(sine2))
    near = (1 - u / 3 + u * u / 5) / xp.where(small, cosine, xp.ones_like(cosine))
    return 2 * v * xp.where(small, near, xp.arctan2(sine, cosine) / sine)


def exp_se3(xi: Any) -> Any:
    """Motions (..., 4, 4) of twists xi (..., 6) = (rotation rad, rho m)."""
    xi = as_float(xi)
    w, rho = xi[..., :3], xi[..., 3:]
    W = _hat(w)
    WW = W @ W
    a, b, c = _exp_coefficients((w * w).sum(-1)[..., None, None])
    V = eye(3, w) + b * W + c * WW
    return make(eye(3, w) + a * W + b * WW, (V @ rho[..., None])[..., 0])


def log_se3(T: Any) -> Any:
    """Twists (..., 6) = (rotation rad, rho m) of motions T (..., 4, 4): exp_se3(log_se3(T)) = T."""
    T = as_float(T)
    w = log_so3(T[..., :3, :3])
    W = _hat(w)
    V_inverse = eye(3, w) - 0.5 * W + _log_coefficient((w * w).sum(-1)[..., None, None]) * (W @ W)
    return namespace(T).concatenate([w, (V_inverse @ T[..., :3, 3:])[..., 0]], -1)


def adjoint(T: Any) -> Any:
    """(..., 6, 6) with T exp_se3(xi) T^-1 = exp_se3(adjoint(T) xi), twists ordered (rotation, translation)."""
    T = as_float(T)
    xp = namespace(T)
    R = T[..., :3, :3]
    upper = xp.concatenate([R, xp.zeros_like(R)], -1)
    lower = xp.concatenate([_hat(T[..., :3, 3]) @ R, R], -1)
    return xp.concatenate([upper, lower], -2)


def rotation_angle(R: Any) -> Any:
    """Geodesic angle (...) in radians, 0..pi, of R (..., 3, 3) or (..., 4, 4).

    atan2 of sine and cosine: arccos of the trace loses every angle below 0.03 deg in float32. The gradient at the
    identity, where the angle has a kink, is zero.
    """
    R = as_float(R)
    xp = namespace(R)
    skew = xp.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1)
    sine2 = (skew * skew).sum(-1)
    turned = sine2 > 0
    sine = xp.where(turned, xp.sqrt(xp.where(turned, sine2, xp.ones_like(sine2))), xp.zeros_like(sine2))
    return xp.arctan2(sine, R[..., 0, 0] + R[..., 1, 1] + R[..., 2, 2] - 1)


def rotation_error_deg(T_est: Any, T_true: Any) -> Any:
    """RRE (...): geodesic angle in degrees between the rotations of two poses; float64 whatever comes in."""
    return rotation_angle(_relative_rotation(T_est, T_true)) * (180.0 / math.pi)


def translation_error_m(T_est: Any, T_true: Any) -> Any:
    """RTE (...): |t_est - t_true| in metres, float64."""
    T_est = as_float64(T_est)
    d = T_est[..., :3, 3] - like(T_true, T_est)[..., :3, 3]
    return namespace(d).sqrt((d * d).sum(-1))


def euler_sum_deg(T_est: Any, T_true: Any) -> Any:
    """RRE (...) as DeepI2P and its successors report it: sum of absolute Euler angles of R_est^T R_true, degrees.

    The angles are those of turns about the fixed axes x, then z, then y. Up to 1.7 times the geodesic angle: for
    comparison with published tables only.
    """
    R = _relative_rotation(T_est, T_true)
    xp = namespace(R)
    z = xp.arctan2(R[..., 1, 0], xp.sqrt(R[..., 0, 0] ** 2 + R[..., 2, 0] ** 2))
    x = xp.arctan2(-R[..., 1, 2], R[..., 1, 1])
    y = xp.arctan2(-R[..., 2, 0], R[..., 0, 0])
    return (abs(x) + abs(y) + abs(z)) * (180.0 / math.pi)


def check_transform(T: Any, where: str) -> np.ndarray:
    """A clean float64 (4, 4) rigid transform, or InputError naming `where` it came from.

    Entries rounded when written down (up to 1e-3) are repaired: R becomes the nearest rotation.
    """
    try:
        T = np.array(T, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: a transform must be 4 rows of 4 numbers") from error
    if T.shape != (4, 4):
        raise InputError(f"{where}: a transform must be 4x4 numbers; this one has shape {T.shape}")
    if not np.isfinite(T).all():
        raise InputError(f"{where}: the transform has NaN or infinite entries")
    if not np.allclose(T[3], [0, 0, 0, 1], atol=1e-6):
        raise InputError(f"{where}: the last row of a rigid transform is 0 0 0 1; this one is {T[3].tolist()}")
    R = T[:3, :3]
    slack = float(np.abs(R.T @ R - np.eye(3)).max())
    if slack > 2 * _ROTATION_SLACK or np.linalg.det(R) <= 0:
        raise InputError(f"{where}: the 3x3 part is not a rotation (R^T R is off by {slack:.2g}, determinant "
                         f"{np.linalg.det(R):.3g}); check row order, scale and handedness")
    U, _, Vt = np.linalg.svd(R)
    T[:3, :3], T[3] = U @ Vt, (0, 0, 0, 1)
    return T


def perturb(T: Any, rng: np.random.Generator, max_deg: float, max_m: float) -> np.ndarray:
    """A wrong copy of T (4, 4) whose errors are exactly what was drawn.

    R is turned about a random axis by an angle uniform in 0..max_deg, t moved in a random direction by a length
    uniform in 0..max_m: rotation_error_deg and translation_error_m of the result are that angle and that length.
    """
    T = np.array(T, dtype=np.float64)
    axis, direction = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    angle, length = math.radians(rng.uniform(0, max_deg)), rng.uniform(0, max_m)
    T[:3, :3] = exp_so3(angle * axis) @ T[:3, :3]
    T[:3, 3] += length * direction
    return T


def _relative_rotation(T_est: Any, T_true: Any) -> Any:
    """R_est^T R_true (..., 3, 3) in float64: float32 products would add more error than the inputs carry."""
    T_est = as_float64(T_est)
    return T_est[..., :3, :3].swapaxes(-1, -2) @ like(T_true, T_est)[..., :3, :3]


def _hat(w: Any) -> Any:
    """Cross-product matrices (..., 3, 3) of w (..., 3)."""
    xp = namespace(w)
    x, y, z = w[..., 0], w[..., 1], w[..., 2]
    o = xp.zeros_like(x)
    return xp.stack([xp.stack([o, -z, y], -1), xp.stack([z, o, -x], -1), xp.stack([-y, x, o], -1)], -2)


def _exp_coefficients(x: Any) -> tuple[Any, Any, Any]:
    """sin(a)/a, (1 - cos a)/a^2, (a - sin a)/a^3 for x = a^2; a series below 1 rad, where the quotients cancel."""
    xp = namespace(x)
    small = x < 1
    inner, outer = xp.where(small, x, xp.zeros_like(x)), xp.where(small, xp.ones_like(x), x)
    a = xp.sqrt(outer)
    sine, half = xp.sin(a), xp.sin(0.5 * a)
    return (xp.where(small, _alternating(inner, 1), sine / a),
            xp.where(small, _alternating(inner, 2), 2 * half * half / outer),
            xp.where(small, _alternating(inner, 3), (a - sine) / (outer * a)))


def _alternating(x: Any, first: int) -> Any:
    """Sum of (-x)^k / (2k + first)! over k = 0..8: exact to float64 for x <= 1."""
    total = 0 * x
    for k in range(8, -1, -1):
        total = 1 / math.factorial(2 * k + first) - x * total
    return total


def _log_coefficient(x: Any) -> Any:
    """(1 - (a/2) cot(a/2)) / a^2 for x = a^2: the factor of W^2 in the inverse of V(w), a in 0..pi."""
    xp = namespace(x)
    small = x < 0.25
    inner, outer = xp.where(small, x, xp.zeros_like(x)), xp.where(small, xp.ones_like(x), x)
    half = 0.5 * xp.sqrt(outer)
    series = 0 * x
    for coefficient in (691 / 1307674368000, 1 / 47900160, 1 / 1209600, 1 / 30240, 1 / 720, 1 / 12):
        series = coefficient + inner * series
    return xp.where(small, series, (1 - half * xp.cos(half) / xp.sin(half)) / outer)


def _quaternion(R: Any) -> Any:
    """Unit quaternions (..., 4) = (cosine, x, y, z) of R (..., 3, 3), from the row of 4 q q^T that is longest."""
    xp = namespace(R)
    r = [[R[..., i, j] for j in range(3)] for i in range(3)]
    x, y, z = r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]
    xy, xz, yz = r[0][1] + r[1][0], r[0][2] + r[2][0], r[1][2] + r[2][1]
    rows = xp.stack([
        xp.stack([1 + r[0][0] + r[1][1] + r[2][2], x, y, z], -1),
        xp.stack([x, 1 + r[0][0] - r[1][1] - r[2][2], xy, xz], -1),
        xp.stack([y, xy, 1 - r[0][0] + r[1][1] - r[2][2], yz], -1),
        xp.stack([z, xz, yz, 1 - r[0][0] - r[1][1] + r[2][2]], -1)], -2)  # (..., 4, 4), symmetric
    diagonal = xp.stack([rows[..., i, i] for i in range(4)], -1)
    longest = eye(4, R)[xp.argmax(diagonal, -1)]  # one-hot (..., 4)
    row = (longest[..., None] * rows).sum(-2)
    return row / xp.sqrt((row * row).sum(-1))[..., None]
