"""A small network learns from a larger one: from what that makes of the same pairs, whose poses nobody needs to know.

Both see a pair in their own way: other points, other superpoints, another image size. A superpoint of the one that
learns is compared with the teacher's nearest one, and its superpixels with what the teacher says at the same rays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..model.batch import Batch, Lesson
from ..model.config import COARSE_STRIDE, NetworkConfig
from ..model.gather import rows
from ..model.network import Matches, Network
from ..solve.from_matches import poses_from_matches
from .config import LOSSES, TEACHER
from .losses import mean_where, soft_cross_entropy
from .matching import MatchingTask
from .targets import Targets, targets_of
from .task import Terms

SURE = 10.0  # log odds by which the teacher's pose has to beat any other to be learned from
NEAR_M, NEAR_SHARE = 0.3, 0.03  # superpoints this near each other, or by this share of their range, are the same


class DistillationTask(MatchingTask):
    """What `MatchingTask` asks, and to say what the teacher says."""

    loss_names: Sequence[str] = (*LOSSES, TEACHER)

    def __init__(self, config: NetworkConfig, teacher: Network, labelled: bool, view_pairs: int | None = None,
                 poses: bool = False) -> None:
        """labelled: batches have T_cam_lidar; else the teacher's poses take its place, where it is sure of them."""
        super().__init__(config, view_pairs, poses)
        self.teacher, self.labelled = teacher.eval().requires_grad_(False), labelled

    def terms(self, model: nn.Module, batch: Lesson, active: Sequence[str]) -> Terms:  # type: ignore[override]
        """The active losses of a lesson, and its metrics."""
        # 1. what the teacher says, and what is right
        with torch.no_grad():
            said = self.teacher.to(batch.teachers.image.device)(batch.teachers)
        own, targets = self._what_is_right(said, batch)
        # 2. what the one that learns says
        matches = self.ask(model, own, targets)
        # 3. how far apart these are
        terms = self.compare(matches, targets, own, active)
        if TEACHER in active:
            terms.losses[TEACHER] = teacher_loss(matches, batch.own, said, batch.teachers)
        return terms

    @torch.no_grad()
    def _what_is_right(self, said: Matches, lesson: Lesson) -> tuple[Batch, Targets]:
        """The batch with the extrinsics to learn from, and its targets. Where these are the teacher's, only those of
        which it is sure count: the other pairs are for its own loss alone, which sees all of them as they are."""
        if self.labelled:
            return lesson.own, targets_of(lesson.own, self.config.grid)
        with torch.autocast(lesson.own.image.device.type, enabled=False):
            found = poses_from_matches(said, lesson.teachers, self.teacher.config.grid)
        own = replace(lesson.own, T_cam_lidar=found.T.float())
        return own, targets_of(own, self.config.grid).only(found.margin >= SURE)


def teacher_loss(matches: Matches, own: Batch, said: Matches, teachers: Batch) -> Tensor:
    """Cross entropy with the teacher's superpixels and with its being in view, and one minus the cosine of both
    modalities' features."""
    # 1. the same places
    point, same = nearest_superpoints(matches, said)
    places, seen = places_of_cells(own, teachers)
    seen = seen & matches.inside
    # 2. its maps, at these places
    scores, grid = said.scores, _grid(teachers)
    maps = rows(scores.similarity.float().softmax(dim=2), point).unflatten(2, grid)  # (B, M, h, w)
    maps = sample_at(maps, places) * seen[:, None]
    in_view = rows(scores.in_view.float().sigmoid(), point)
    maps = torch.where(((in_view > 0.5) & same)[..., None], maps, 0.0)
    matching = soft_cross_entropy(matches.scores.similarity.flatten(0, 1), maps.flatten(0, 1))
    told = functional.binary_cross_entropy_with_logits(matches.scores.in_view.float(), in_view, reduction="none")
    # 3. its features
    points = 1 - (matches.described.points.float() * rows(said.described.points.float(), point)).sum(-1)
    image = sample_at(said.described.image.float().transpose(1, 2).unflatten(2, grid), places).transpose(1, 2)
    pixels = 1 - functional.cosine_similarity(matches.described.image.float(), image, dim=-1)
    return matching + mean_where(told, same) + mean_where(points, same) + mean_where(pixels, seen)


def nearest_superpoints(matches: Matches, said: Matches) -> tuple[Tensor, Tensor]:
    """(B, M) the teacher's superpoint nearest to each of M own ones, and (B, M) bool: they are as good as the same."""
    apart = torch.cdist(matches.superpoints.float(), said.superpoints.float(),
                        compute_mode="donot_use_mm_for_euclid_dist")
    distance, point = apart.masked_fill(~said.valid[:, None], torch.inf).min(dim=2)
    range_m = matches.superpoints.norm(dim=-1)
    return point, matches.valid & (distance < NEAR_M + NEAR_SHARE * range_m)


def places_of_cells(own: Batch, teachers: Batch) -> tuple[Tensor, Tensor]:
    """(B, C, 2) where the centres of own superpixels are in the teacher's image, -1..1 from edge to edge, and (B, C)
    bool: inside it."""
    height, width = own.image.shape[2] // COARSE_STRIDE, own.image.shape[3] // COARSE_STRIDE
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = COARSE_STRIDE * (torch.stack([column, row], dim=-1).flatten(0, 1).to(own.K) + 0.5) - 0.5  # (C, 2)
    pixels = torch.cat([centres, torch.ones_like(centres[:, :1])], dim=1)
    across = teachers.K.double() @ torch.linalg.inv(own.K.double())  # (B, 3, 3), pixels to pixels
    there = (pixels.double() @ across.mT)[..., :2].float()
    size = torch.tensor([teachers.image.shape[3], teachers.image.shape[2]], device=there.device)
    places = 2 * (there + 0.5) / size - 1
    return places, (places.abs() <= 1).all(dim=-1)


def sample_at(maps: Tensor, places: Tensor) -> Tensor:
    """(B, D, C) values of maps (B, D, h, w) at places (B, C, 2), linearly between cells."""
    return functional.grid_sample(maps, places[:, None], padding_mode="border", align_corners=False)[:, :, 0]


def _grid(batch: Batch) -> tuple[int, int]:
    """Rows and columns of superpixels."""
    return batch.image.shape[2] // COARSE_STRIDE, batch.image.shape[3] // COARSE_STRIDE
