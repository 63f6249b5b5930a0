"""What counts as true of a batch: overlaps, visibility, and losses that are smallest where the answer is right."""

from __future__ import annotations

import torch

from crossi2p_core.model.batch import Batch, PointPyramid
from crossi2p_core.train.losses import soft_cross_entropy
from crossi2p_core.train.targets import choose_matches, project_one, targets_of

GRID = (8, 16)
HEIGHT, WIDTH = 64, 128
K = torch.tensor([[[100.0, 0, 63.5], [0, 100, 31.5], [0, 0, 1]]])


def batch_of(xyz: torch.Tensor, owner: torch.Tensor, inside: torch.Tensor | None = None) -> Batch:
    """A batch of points (N, 3) in the camera's own frame, each owned by a superpoint; the last axis is depth."""
    count = int(owner.max()) + 1
    middle = torch.stack([xyz[owner == m].mean(dim=0) for m in range(count)])
    levels = (xyz[None], middle[None], middle[None])
    own = torch.arange(count)[None]
    pyramid = PointPyramid(
        levels, tuple(torch.ones(1, len(each[0]), dtype=torch.bool) for each in levels), (), (), (owner[None], own),
        torch.zeros(1, len(xyz), 1))
    whole = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    return Batch(torch.zeros(1, 3, HEIGHT, WIDTH), K, whole if inside is None else inside, pyramid, torch.eye(4)[None])


def seen_at(u: float, v: float, depth: float) -> list[float]:
    return [(u - 63.5) / 100 * depth, (v - 31.5) / 100 * depth, depth]


def test_overlap_is_spread_to_the_nearest_superpixels_by_distance() -> None:
    # the centre of superpixel (row 2, column 3) is at u = 27.5, v = 19.5; 2 px to the right lies a quarter of the way
    targets = targets_of(batch_of(torch.tensor([seen_at(29.5, 19.5, 10.0)]), torch.tensor([0])), GRID)
    overlap = targets.overlap[0, 0].view(GRID)
    torch.testing.assert_close(overlap[2, 3:5], torch.tensor([0.75, 0.25]), rtol=1e-4, atol=1e-4)
    assert torch.allclose(overlap.sum(), torch.tensor(1.0))
    torch.testing.assert_close(targets.centres[0, 0], torch.tensor([29.5, 19.5]))
    assert targets.covered[0].view(GRID).nonzero().tolist() == [[2, 3], [2, 4]]


def test_a_superpoint_is_seen_where_its_own_point_is() -> None:
    xyz = torch.tensor([seen_at(20, 20, 10.0), seen_at(-50, 20, 10.0), [0.0, 0.0, -10.0]])
    targets = targets_of(batch_of(xyz, torch.tensor([0, 1, 2])), GRID)
    assert targets.visible[0].tolist() == [True, False, False]
    torch.testing.assert_close(targets.overlap.sum(dim=2)[0], torch.tensor([1.0, 0.0, 0.0]))


def test_what_is_hidden_is_not_seen() -> None:
    xyz = torch.tensor([seen_at(20, 20, 10.0), seen_at(21, 21, 20.0), seen_at(60, 40, 20.0)])
    targets = targets_of(batch_of(xyz, torch.tensor([0, 1, 2])), GRID)
    assert targets.visible[0].tolist() == [True, False, True]


def test_what_the_recording_does_not_reach_is_not_seen() -> None:
    inside = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    inside[:, :, 64:] = False
    xyz = torch.tensor([seen_at(20, 20, 10.0), seen_at(100, 20, 10.0)])
    assert targets_of(batch_of(xyz, torch.tensor([0, 1]), inside), GRID).visible[0].tolist() == [True, False]


def test_chosen_matches_are_right_ones() -> None:
    torch.manual_seed(0)
    xyz = torch.tensor([seen_at(20, 20, 10.0), seen_at(90, 40, 20.0), [0.0, 0.0, -5.0]])
    targets = targets_of(batch_of(xyz, torch.tensor([0, 1, 2])), GRID)
    chosen = choose_matches(targets, 200)[0]
    assert set(chosen[:, 0].tolist()) == {0, 1}
    assert (targets.overlap[0][chosen[:, 0], chosen[:, 1]] > 0).all()


def test_projection_agrees_with_arithmetic() -> None:
    pixels, depth = project_one(torch.tensor([[[1.0, 2.0, 10.0]]]), torch.eye(4)[None], K)
    torch.testing.assert_close(pixels[0, 0], torch.tensor([73.5, 51.5]))
    assert depth.item() == 10.0


def test_soft_cross_entropy_is_smallest_at_the_truth_and_skips_rows_without_any() -> None:
    right = torch.tensor([[0.3, 0.1, 0.0], [0.0, 0.0, 0.0]])
    share = right[0] / right[0].sum()
    best = soft_cross_entropy((share + 1e-9).log()[None].repeat(2, 1), right)
    entropy = -(share[:2] * share[:2].log()).sum()
    torch.testing.assert_close(best, entropy, rtol=1e-4, atol=1e-4)
    assert soft_cross_entropy(torch.zeros(2, 3), right) > best
    assert soft_cross_entropy(torch.zeros(2, 3), torch.zeros(2, 3)) == 0
