"""What the network is to become good at: an aligned space, correspondence, and, in matching.py, the pose."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..model.attention import MASKED
from ..model.batch import Batch
from ..model.gather import rows
from ..model.network import Described, Matches
from .targets import Targets, project_one, seen

TEMPERATURE = 0.1  # of the contrastive losses
PER_PAIR = 256  # superpoints, or superpixels, of each pair that take part in them
ASTRAY_PX = 32.0  # a match that is farther off is wrong, by how much does not matter
HEAT_SIGMA = 0.7  # cells of the fine map, of the target around the true pixel


def alignment_loss(matches: Matches, targets: Targets) -> Tensor:
    """Dual-path contrast in the shared space: across the modalities, and within each between two views of it.

    The other view may be of the first few pairs alone.
    """
    inside, valid = matches.inside & targets.sure[:, None], matches.valid & targets.sure[:, None]
    across = cross_modal_loss(matches.described, targets, inside)
    if matches.view is None:
        return across
    within = [intra_modal_loss(first[:len(second)], second, valid[:len(second)]) for first, second, valid in (
        (matches.described.image, matches.view.image, inside),
        (matches.described.points, matches.view.points, valid))]
    return across + 0.5 * (within[0] + within[1])


def cross_modal_loss(described: Described, targets: Targets, inside: Tensor) -> Tensor:
    """InfoNCE between superpoints in view and superpixels, both directions, over all pairs of the batch.

    Several superpixels may be right for a superpoint: each counts by its overlap. inside: (B, C) bool.
    """
    batch = len(targets.overlap)
    picked = torch.multinomial(targets.visible.float() + 1e-9, min(PER_PAIR, targets.visible.shape[1]))  # (B, S)
    overlap, seen_too = rows(targets.overlap, picked), rows(targets.visible, picked).flatten()
    points = rows(described.points, picked).flatten(0, 1).float()  # (B S, 256)
    image = described.image.flatten(0, 1).float()  # (B C, 256)
    logits = _logits(points, image)  # (B S, B C)
    logits = logits.masked_fill(~(seen_too[:, None] & inside.flatten()[None]), MASKED)
    own = torch.eye(batch, device=logits.device)[:, None, :, None] * overlap[:, :, None, :]  # (B, S, B, C)
    right = own.flatten(2).flatten(0, 1)  # (B S, B C)
    return 0.5 * (soft_cross_entropy(logits, right) + soft_cross_entropy(logits.T, right.T))


def intra_modal_loss(first: Tensor, second: Tensor, valid: Tensor) -> Tensor:
    """InfoNCE between two views of the same places, over all pairs of the batch; (B, N, 256) each, valid (B, N)."""
    picked = torch.multinomial(valid.float() + 1e-9, min(PER_PAIR, valid.shape[1]))  # (B, S), none twice
    a, b = (rows(view, picked).flatten(0, 1).float() for view in (first, second))  # (B S, 256)
    logits = _logits(a, b)
    kept = rows(valid, picked).flatten()
    right = torch.diag_embed(kept.float())
    logits = logits.masked_fill(~(kept[:, None] & kept[None]), MASKED)
    return 0.5 * (soft_cross_entropy(logits, right) + soft_cross_entropy(logits.T, right.T))


def _logits(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) of features (N, F) and (M, F), in float32 whatever the precision around: half of it is too coarse here."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b.T / TEMPERATURE


def coarse_loss(matches: Matches, targets: Targets) -> Tensor:
    """Soft cross entropy of the scores both ways, and binary cross entropy of what is in view at all."""
    scores, right = matches.scores, targets.overlap
    both = [soft_cross_entropy(similarity.flatten(0, 1), share.flatten(0, 1)) for similarity, share in (
        (scores.similarity, right), (scores.similarity.transpose(1, 2), right.transpose(1, 2)))]
    sure = targets.sure[:, None]
    in_view = _binary(scores.in_view, targets.visible.float(), matches.valid & sure)
    covered = _binary(scores.covered, targets.covered.float(), matches.inside & sure)
    return 0.5 * (both[0] + both[1]) + in_view + covered


def fine_loss(matches: Matches, targets: Targets, batch: Batch) -> Tensor:
    """Where each point is seen in its window: cross entropy of the heat, and the error of its expectation.

    That error, up to ASTRAY_PX, also counts as a Laplace likelihood by the predicted weights, which so learn to be one
    over it; there wrong matches take part, which are to weigh little.
    """
    fine = matches.fine
    pixels, usable = fine_truth(matches, targets, batch)
    step = fine.cells[0, 0, 1, 0] - fine.cells[0, 0, 0, 0]  # px of a cell of the fine map
    apart = (fine.cells[:, :, None] - pixels[..., None, :]).square().sum(-1)  # (B, K, P, w w) px^2
    near = torch.exp(-apart / (2 * (HEAT_SIGMA * step) ** 2)) * (fine.heat > 0.5 * MASKED)  # cells of the map alone
    heat = -(near * fine.heat).sum(-1) / near.sum(-1).clamp(min=1e-6)
    error = (fine.pixels - pixels).abs()  # (B, K, P, 2) px
    weight = fine.weights.clamp(min=1e-4)
    spread = (weight * error.detach().clamp(max=ASTRAY_PX) - weight.log()).sum(-1)
    return mean_where(heat + 0.25 * error.sum(-1) / step, usable) + 0.1 * mean_where(
        spread, fine.valid & targets.sure[:, None, None])


def fine_truth(matches: Matches, targets: Targets, batch: Batch) -> tuple[Tensor, Tensor]:
    """(B, K, P, 2) true pixels of the points of each match, and (B, K, P) bool: they lie in its window, are seen, and
    the pair is sure."""
    assert batch.T_cam_lidar is not None
    fine = matches.fine
    pixels, depth = project_one(fine.points.flatten(1, 2), batch.T_cam_lidar, batch.K)
    pixels, depth = pixels.view_as(fine.pixels), depth.view(fine.points.shape[:3])
    half = 0.5 * (fine.cells[0, 0, 1, 0] - fine.cells[0, 0, 0, 0])  # px, of a cell
    low, high = fine.cells.amin(dim=2)[:, :, None] - half, fine.cells.amax(dim=2)[:, :, None] + half  # (B, K, 1, 2)
    in_window = ((pixels >= low) & (pixels <= high)).all(dim=-1)
    seen_points = seen(pixels.flatten(1, 2), depth.flatten(1), fine.valid.flatten(1), batch.inside, targets.nearest)
    return pixels, in_window & seen_points.view_as(in_window) & targets.sure[:, None, None]


def mean_where(value: Tensor, where: Tensor) -> Tensor:
    """Mean where it counts; 0 where nothing does."""
    return torch.where(where, value, 0.0).sum() / where.sum().clamp(min=1)


def soft_cross_entropy(logits: Tensor, right: Tensor) -> Tensor:
    """Mean over the rows that have anything right of -sum share log softmax; logits and right (R, C), right >= 0."""
    total = right.sum(dim=1)
    kept = total > 1e-3
    share = right / total.clamp(min=1e-3)[:, None]
    each = -(share * logits.float().log_softmax(dim=1)).sum(dim=1)
    return (each * kept).sum() / kept.sum().clamp(min=1)


def _binary(logits: Tensor, right: Tensor, valid: Tensor) -> Tensor:
    """Mean binary cross entropy over what is valid."""
    each = functional.binary_cross_entropy_with_logits(logits.float(), right, reduction="none")
    return (each * valid).sum() / valid.sum().clamp(min=1)
