"""Thin a cloud so that it covers evenly what the sensor sees.

Space is cut into cells that grow with range: equal steps of azimuth, of the sine of elevation (so all have one solid
angle) and of log range. A car at 10 m and one at 60 m then get points by how large they look, which is what the image
shows of them, and the road does not drown in the rings near the vehicle. Cells of one size in metres would give nearly
all points to what is near; drawing at random would repeat the sensor's own bunching of beams.

All of it is one sort along a z-order curve (Morton, "A Computer Oriented Geodetic Data Base", IBM, 1966): cells of any
size are runs of that order, so the size that yields as many cells as points are wanted is found by counting, and
neighbours in space mostly stay neighbours in the order, which makes later gathers fast and lets every n-th of the
points stand for all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BITS = 12  # per axis; the finest cell spans 2 pi / 4096 rad, 0.09 deg
_STEP = 2 * math.pi / 2**_BITS
_NOWHERE = 2 ** (3 * _BITS)  # sorts behind every cell
_NEWTON_STEPS = 12


def thin_evenly(xyz: Tensor, valid: Tensor, size: int, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (B, size) of points of xyz (B, n, 3), in z-order, and how many (B,) of them are distinct.

    valid: (B, n) bool, which points there are; at least one per cloud. noise: (B, 2) in 0..1, where cells and choice
    begin. A cloud of no more than `size` points keeps all, and rows repeat from the first. No host-device sync.
    """
    code = torch.where(valid, _z_order(xyz, noise[:, :1]), _NOWHERE)
    code, order = code.sort(dim=1)
    present = code < _NOWHERE
    total = present.sum(dim=1, keepdim=True)  # (B, 1)
    count = total.clamp(max=size)
    cell, members = _cells(code, present, size)
    share = _fair_share(members, count).gather(1, cell) * present
    share = torch.where(total > size, share, present.double())
    reached = (share / share.sum(dim=1, keepdim=True) * count).cumsum(dim=1)  # (B, n) float64
    start = 0.05 + 0.9 * noise[:, 1:].double()
    wanted = torch.arange(size, device=xyz.device).expand(len(xyz), -1) % count + start
    place = torch.searchsorted(reached, wanted).clamp(max=xyz.shape[1] - 1)
    return order.gather(1, torch.minimum(place, total - 1)), count[:, 0]


def _z_order(xyz: Tensor, turn: Tensor) -> Tensor:
    """(B, n) int64 place of points (B, n, 3) along the curve; azimuth starts at `turn` (B, 1) of a full turn."""
    x, y, z = xyz.unbind(-1)
    range_m = torch.hypot(torch.hypot(x, y), z).clamp(min=1e-3)
    azimuth = torch.atan2(y, x) / (2 * math.pi) + turn.to(x.dtype)
    steps = ((azimuth - azimuth.floor()) * 2**_BITS, (z / range_m + 1) / _STEP, torch.log(range_m) / _STEP)
    table = _spread(_BITS, xyz.device)
    code = torch.zeros_like(x, dtype=torch.int64)
    for axis, step in enumerate(steps):
        code += (table << axis)[step.clamp(0, 2**_BITS - 1).long()]
    return code


def _spread(bits: int, device: torch.device) -> Tensor:
    """(2^bits,) int64: each number with two zeros between its binary digits."""
    number = torch.arange(2**bits, device=device)
    spread = torch.zeros_like(number)
    for bit in range(bits):
        spread += (number >> bit & 1) << 3 * bit
    return spread


def _cells(code: Tensor, present: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The cell (B, n) int64 of each point, and how many (B, size) float64 each cell holds: the finest cells of which
    there are at most `size`. code: (B, n), sorted.

    Two neighbours in the order part ways at the highest bit in which they differ, so one pass counts the cells of all
    sizes: those that ignore t bits are one more than the pairs that differ at bit t or above.
    """
    batch, bits = len(code), 3 * _BITS
    differ = (code[:, 1:] ^ code[:, :-1]).double()
    highest = torch.where(present[:, 1:], torch.frexp(differ)[1], 0).long()  # 0: in one finest cell
    apart = torch.zeros(batch, bits + 1, dtype=torch.int64, device=code.device)
    apart.scatter_add_(1, highest, torch.ones_like(highest))
    cells = 1 + apart.flip(1).cumsum(dim=1).flip(1)[:, 1:]  # (B, bits), for t = 0, 1, ...
    ignored = (cells > size).sum(dim=1, keepdim=True)
    cell = torch.cat([torch.zeros_like(code[:, :1]), (highest > ignored).cumsum(dim=1)], dim=1)
    members = torch.zeros(batch, size, dtype=torch.float64, device=code.device)
    return cell, members.scatter_add_(1, cell, present.double())


def _fair_share(members: Tensor, count: Tensor) -> Tensor:
    """(B, size) how much of each of its points a cell gives: all cells give the same number, or all they have.

    That number solves sum over cells min(members, number) = count (B, 1); the left side is concave and made of straight
    pieces, so Newton's steps from below never pass the solution.
    """
    number = count / (members > 0).sum(dim=1, keepdim=True)
    for _ in range(_NEWTON_STEPS):
        missing = count - torch.minimum(members, number).sum(dim=1, keepdim=True)
        number = number + missing.clamp(min=0.0) / (members > number).sum(dim=1, keepdim=True).clamp(min=1)
    return torch.minimum(members, number) / members.clamp(min=1.0)
