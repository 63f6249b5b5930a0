"""One network learns from another: the same places are compared, and no recorded extrinsic is looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command_line import assert_refused, crossi2p
from random_weights import random_weights
from test_network import SMALL
from test_train_command import TINY, Walls

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.compact_writer import prepare
from crossi2p_core.geometry import se3
from crossi2p_core.model.batch import Lesson, collate
from crossi2p_core.model.network import Network
from crossi2p_core.solve.from_matches import MatchedPoses
from crossi2p_core.train import distillation
from crossi2p_core.train.assemble import covering
from crossi2p_core.train.config import LOSSES, AugmentConfig
from crossi2p_core.train.distillation import DistillationTask, nearest_superpoints, places_of_cells, teacher_loss
from crossi2p_core.train.examples import Example, Examples, NetworkInput
from crossi2p_core.train.frames import Frames
from crossi2p_core.train.task import Terms

LARGER = replace(SMALL, size=(96, 192), points=replace(SMALL.points, points=2700))


@pytest.fixture(scope="module")
def sample():
    return open_source("synthetic:street?seed=2&frames=1&camera=kitti&lidar=hdl64")[0]


@pytest.fixture(scope="module")
def lesson(sample) -> Lesson:
    return NetworkInput(SMALL, LARGER)(sample, np.random.default_rng(0))


def network(config, seed: int) -> Network:
    torch.manual_seed(seed)
    return Network(config).eval()


def test_a_cell_lies_at_the_same_ray_in_both_images(lesson: Lesson) -> None:
    own, teachers = lesson.own, lesson.teachers
    places, seen = places_of_cells(own, teachers)
    row, column = 3, 7
    pixel = torch.tensor([8 * (column + 0.5) - 0.5, 8 * (row + 0.5) - 0.5, 1.0])
    ray = torch.linalg.inv(own.K[0]) @ pixel
    there = (teachers.K[0] @ ray)[:2]
    expected = 2 * (there + 0.5) / torch.tensor([192.0, 96.0]) - 1
    assert torch.allclose(places[0, row * 20 + column], expected, atol=1e-4)
    assert places.shape == (1, 8 * 20, 2) and seen[0, row * 20 + column]


def test_superpoints_are_compared_with_those_beside_them(lesson: Lesson) -> None:
    with torch.no_grad():
        matches, said = network(SMALL, 0)(lesson.own), network(LARGER, 1)(lesson.teachers)
    point, same = nearest_superpoints(matches, said)
    apart = (matches.superpoints[0, :, None] - said.superpoints[0]).norm(dim=-1)
    assert torch.equal(apart.argmin(dim=1)[same[0]], point[0][same[0]])
    assert 0.2 < float(same.float().mean()) < 1.0
    assert float(apart.min(dim=1).values[same[0]].max()) < 0.3 + 0.03 * 80


def test_who_says_the_same_has_nothing_left_to_learn(sample) -> None:
    lesson = Lesson(*2 * [NetworkInput(SMALL)(sample, np.random.default_rng(0))])
    teacher, own, other = network(SMALL, 0), network(SMALL, 0), network(SMALL, 5)
    with torch.no_grad():
        said = teacher(lesson.teachers)
        same, different = (teacher_loss(each(lesson.own), lesson.own, said, lesson.teachers) for each in (own, other))
    assert same < different - 0.5
    loss = teacher_loss(own(lesson.own), lesson.own, said, lesson.teachers)
    gradient = torch.autograd.grad(loss, own.coarse.in_view[1].weight)[0]
    elsewhere = torch.autograd.grad(teacher_loss(other(lesson.own), lesson.own, said, lesson.teachers),
                                    other.coarse.in_view[1].weight)[0]
    assert gradient.norm() < 1e-4 < elsewhere.norm()


def test_it_is_learned_from(lesson: Lesson) -> None:
    teacher, own = network(LARGER, 1), network(SMALL, 0)
    task = DistillationTask(SMALL, teacher, labelled=True, view_pairs=0)
    optimizer, losses = torch.optim.AdamW(own.parameters(), 3e-3), []
    for _ in range(12):
        loss = task.terms(own, lesson, ("teacher",)).losses["teacher"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.85 * losses[0]
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("sure", [True, False])
def test_without_labels_the_poses_are_the_teachers_where_it_is_sure(lesson: Lesson, monkeypatch, sure: bool) -> None:
    monkeypatch.setattr(distillation, "SURE", -1e9 if sure else 1e9)
    unlabelled = Lesson(replace(lesson.own, T_cam_lidar=None), replace(lesson.teachers, T_cam_lidar=None))
    task = DistillationTask(SMALL, network(LARGER, 1), labelled=False, view_pairs=0)
    torch.manual_seed(0)
    terms = task.terms(network(SMALL, 0), unlabelled, ("alignment", "correspondence", "teacher"))
    assert terms.losses.keys() == {"alignment", "correspondence", "teacher"}
    assert all(torch.isfinite(loss) for loss in terms.losses.values()) and terms.losses["teacher"] > 0
    assert (terms.losses["alignment"] > 0) == sure


def of_two(lesson: Lesson, monkeypatch: pytest.MonkeyPatch, sure: tuple[bool, bool]) -> Terms:
    """What is lost on two pairs, of which the teacher finds the truth, and is sure of it or not; all losses active."""
    truth = lesson.own.T_cam_lidar
    found = distillation.poses_from_matches

    def finds(*asked) -> MatchedPoses:
        margin = torch.where(torch.tensor(sure), 1e3, 0.0)
        return replace(found(*asked), T=truth, margin=margin)

    monkeypatch.setattr(distillation, "poses_from_matches", finds)
    task = DistillationTask(SMALL, network(LARGER, 1), labelled=False)
    torch.manual_seed(0)
    return task.terms(network(SMALL, 0), lesson, (*LOSSES, "teacher"))


def test_a_pair_of_which_the_teacher_is_not_sure_counts_for_its_own_loss_alone(lesson: Lesson, monkeypatch) -> None:
    pairs = collate([lesson, lesson])
    image, features = pairs.own.image.requires_grad_(), pairs.own.cloud.features.requires_grad_()
    both = of_two(pairs, monkeypatch, (True, True)).losses
    half = of_two(pairs, monkeypatch, (True, False)).losses
    none = of_two(pairs, monkeypatch, (False, False)).losses
    assert torch.equal(both["teacher"], half["teacher"]) and torch.equal(both["teacher"], none["teacher"])
    for name in LOSSES:
        assert none[name] == 0 != half[name], name
        of_none, of_half = (torch.autograd.grad(each[name], (image, features), retain_graph=True)
                            for each in (none, half))
        for nothing, some in zip(of_none, of_half, strict=True):
            assert nothing.abs().max() == 0 == some[1].abs().max() < some[0].abs().max(), name
    seen = torch.autograd.grad(none["teacher"], image)[0]
    assert seen[1].abs().max() > 0


PARTS = ("similarity", "in_view", "points", "image")


@pytest.mark.parametrize(("case", "counted"), [
    ("all", set(PARTS)),
    ("nothing in the teacher's view", {"in_view", "points", "image"}),
    ("no superpoint in common", {"image"}),
    ("nothing inside", {"in_view", "points"})])
def test_each_term_counts_where_both_see_the_same(lesson: Lesson, case: str, counted: set[str]) -> None:
    with torch.no_grad():
        matches, said = network(SMALL, 0)(lesson.own), network(LARGER, 1)(lesson.teachers)
    parts = {name: getattr(matches.scores if name in PARTS[:2] else matches.described, name).clone().requires_grad_()
             for name in PARTS}
    matches = replace(matches, scores=replace(matches.scores, **{name: parts[name] for name in PARTS[:2]}),
                      described=replace(matches.described, **{name: parts[name] for name in PARTS[2:]}))
    said = replace(said, scores=replace(said.scores, in_view=torch.ones_like(said.scores.in_view)))
    if case == "nothing in the teacher's view":
        said = replace(said, scores=replace(said.scores, in_view=-torch.ones_like(said.scores.in_view)))
    elif case == "no superpoint in common":
        said = replace(said, superpoints=said.superpoints + 1000)
    elif case == "nothing inside":
        matches = replace(matches, inside=torch.zeros_like(matches.inside))
    loss = teacher_loss(matches, lesson.own, said, lesson.teachers)
    gradients = torch.autograd.grad(loss, list(parts.values()))
    assert {name for name, each in zip(parts, gradients, strict=True) if each.abs().max() > 0} == counted


def test_the_teacher_learns_nothing(lesson: Lesson) -> None:
    teacher = network(replace(LARGER, image=replace(LARGER.image, norm="batch")), 1).train()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    task = DistillationTask(SMALL, teacher, labelled=True, view_pairs=0)
    task.terms(network(SMALL, 0).train(), lesson, ("teacher",))
    assert not task.teacher.training and not any(each.requires_grad for each in task.teacher.parameters())
    assert any("running" in name for name in before)
    assert all(torch.equal(before[name], tensor) for name, tensor in task.teacher.state_dict().items())


def test_nobody_looks_at_the_recorded_extrinsic_of_unlabelled_pairs() -> None:
    def batch(source) -> Lesson:
        examples = Examples(Frames([source], [1.0], 0, 10**9), NetworkInput(SMALL, LARGER), LARGER.size,
                            AugmentConfig(seen_points=0), unlabelled=True)
        made = examples[0]
        assert isinstance(made, Example)
        return made.batch

    class Unknown(Walls):
        def _load(self, index: int):
            return replace(super()._load(index), T_cam_lidar=None)

    class Wrong(Walls):
        def _load(self, index: int):
            return replace(super()._load(index), T_cam_lidar=se3.make(np.eye(3), np.ones(3)))

    one, other = batch(Unknown()), batch(Wrong())
    assert one.own.T_cam_lidar is None and other.own.T_cam_lidar is None
    assert torch.equal(one.own.image, other.own.image) and torch.equal(one.teachers.image, other.teachers.image)
    assert torch.equal(one.own.cloud.xyz[0], other.own.cloud.xyz[0])
    assert len(collate([one, other])) == 2


@pytest.mark.parametrize("labels", ["recorded", "teacher"])
def test_the_command_trains_with_a_teacher(tmp_path: Path, labels: str) -> None:
    prepare(Walls(), tmp_path / "walls")
    settings = tmp_path / "train.yaml"
    settings.write_text(yaml.safe_dump({
        "out": str(tmp_path / "out"), "network": TINY, "steps": 2, "warm_up": 1, "batch": 1, "workers": 0,
        "teacher": str(random_weights(tmp_path / "teacher")), "labels": labels,
        "sources": [{"path": str(tmp_path / "walls")}], "gradnorm": {"pose_from_step": 1}}))
    outcome = crossi2p("train", settings, "--device", "cpu")
    assert outcome.code == 0, outcome
    assert "loss.teacher" in (tmp_path / "out" / "log.jsonl").read_text()


def test_the_image_is_large_enough_for_both_networks() -> None:
    assert covering((192, 192), (160, 256)) == covering((160, 256), (192, 192)) == (192, 256)


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "train.yaml"
    settings.write_text(yaml.safe_dump({"labels": "teacher", "sources": [{"path": "x"}]}))
    assert_refused(crossi2p("train", settings), "labels: teacher needs a teacher")
    assert_refused(crossi2p("train", settings, "teacher=w.json", "task=flow"), "a flow network has no teacher")
