"""Examples: the same for the same seed and position, whoever prepares them; bad frames cost nothing but a sentence."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from test_network import SMALL
from test_train_command import Walls
from toy_training import toy_batch, toy_config

from crossi2p_core.datasets import Source
from crossi2p_core.datasets.source import Recalibrated
from crossi2p_core.errors import InputError
from crossi2p_core.model.batch import Batch
from crossi2p_core.train.config import AugmentConfig, SourceConfig
from crossi2p_core.train.distributed import World
from crossi2p_core.train.examples import Example, Examples, NetworkInput, stream, with_inside
from crossi2p_core.train.frames import Frames, SampleCache, epoch_order, fingerprint
from crossi2p_core.types import Camera, PointCloud, Sample

SIZE = (32, 64)


class Recording(Source):
    """Frames whose grey is their number; some are broken, and reads are counted."""

    kind = "recording"

    def __init__(self, frames: int, bad: tuple[int, ...] = (), first: int = 0) -> None:
        super().__init__("recording", [f"{number:03d}" for number in range(first, first + frames)])
        self.bad, self.first, self.reads = bad, first, 0

    def _load(self, index: int) -> Sample:
        self.reads += 1
        if index in self.bad:
            raise InputError(f"{self.names[index]}.png is truncated; copy it again")
        xyz = np.random.default_rng(index).normal(size=(500, 3)) * [20, 20, 2]
        image = np.full((*SIZE, 3), self.first + index, np.uint8)
        camera = Camera(np.array([[60.0, 0, 32], [0, 60, 16], [0, 0, 1]]), SIZE[1], SIZE[0])
        return Sample(self.names[index], image, camera, PointCloud.from_arrays(xyz), np.eye(4))


def as_batch(sample: Sample, rng: np.random.Generator) -> Batch:
    """The image, and a number drawn; stands for make_batch, which the network's own tests cover."""
    image = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)[None].float() / 255
    return replace(toy_batch(image), K=torch.from_numpy(sample.camera.K).float()[None],
                   T_cam_lidar=torch.full((1, 4, 4), rng.random()))


def make_examples(*sources: Recording, changes: AugmentConfig | None = None, seed: int = 0) -> Examples:
    return Examples(Frames(sources, [1.0] * len(sources), seed, 10**8), as_batch, SIZE, changes)


def take(examples: Examples, count: int, world: World = World(), start: int = 0, **values: object) -> list[Batch]:  # noqa: B008
    return [example.batch for example in islice(stream(examples, toy_config("out", **values), world, start), count)]


def equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in ((a.image, b.image), (a.K, b.K), (a.T_cam_lidar, b.T_cam_lidar)))


def test_a_frame_without_an_extrinsic_is_no_example() -> None:
    class Unknown(Recording):
        def _load(self, index: int) -> Sample:
            return replace(super()._load(index), T_cam_lidar=None)

    refused = make_examples(Unknown(2))[0]
    assert isinstance(refused, InputError) and "no recorded extrinsic" in str(refused)


def test_one_frame_without_an_extrinsic_among_others_is_told_once() -> None:
    class OneUnknown(Recording):
        def _load(self, index: int) -> Sample:
            sample = super()._load(index)
            return replace(sample, T_cam_lidar=None) if index == 1 else sample

    examples = make_examples(OneUnknown(3))
    told = [sentence for position in range(12) for sentence in examples[position].left_out]
    assert len(told) == 1 and "001" in told[0] and "no recorded extrinsic" in told[0]


def test_a_frame_that_cannot_be_changed_this_time_is_not_banned() -> None:
    def make_batch(sample: Sample, rng: np.random.Generator) -> Batch:
        if make_batch.refusals:
            make_batch.refusals -= 1
            raise InputError("too few points are left")
        return toy_batch(torch.zeros(1, 3, 4, 4))

    make_batch.refusals = 1
    examples = Examples(Frames([Recording(3)], [1.0], 0, 10**9), make_batch, SIZE, None)
    first, again = examples[0], examples[0]
    assert isinstance(first, Example) and "too few points" in first.left_out[0]
    assert isinstance(again, Example) and not again.left_out


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_and_workers_share_one_stream(workers: int) -> None:
    alone = take(make_examples(Recording(7), changes=AugmentConfig()), 6, batch=4)
    for rank in (0, 1):
        half = take(make_examples(Recording(7), changes=AugmentConfig()), 3, World(rank, 2), batch=2, workers=workers)
        for whole, part in zip(alone, half, strict=False):
            assert torch.equal(whole.image[2 * rank:2 * rank + 2], part.image)
            assert torch.equal(whole.T_cam_lidar[2 * rank:2 * rank + 2], part.T_cam_lidar)
    later = take(make_examples(Recording(7), changes=AugmentConfig()), 2, start=16, batch=4)
    assert equal(later[0], alone[4]) and equal(later[1], alone[5])


def test_another_seed_position_or_epoch_is_another_example() -> None:
    examples, other = (make_examples(Recording(1), changes=AugmentConfig(), seed=seed) for seed in (0, 1))
    batches = [examples[0].batch, examples[1].batch, examples[2].batch, other[0].batch]
    assert not any(equal(a, b) for i, a in enumerate(batches) for b in batches[:i])
    assert equal(examples[0].batch, batches[0])


def test_an_epoch_has_every_frame_once_and_the_next_another_order() -> None:
    order = epoch_order([5, 3], [5.0, 3.0], 0, 0)
    assert sorted(map(tuple, order.tolist())) == [(0, k) for k in range(5)] + [(1, k) for k in range(3)]
    assert not np.array_equal(order, epoch_order([5, 3], [5.0, 3.0], 0, 1))
    np.testing.assert_array_equal(order, epoch_order([5, 3], [5.0, 3.0], 0, 0))


def test_sources_are_mixed_by_weight() -> None:
    counts = np.zeros(3)
    for epoch in range(50):
        order = epoch_order([90, 5, 5], [1.0, 3.0, 0.0], 3, epoch)
        assert len(order) == 95
        counts += np.bincount(order[:, 0], minlength=3)
        small = np.bincount(order[order[:, 0] == 1, 1], minlength=5)
        assert small.max() - small.min() <= 1
    np.testing.assert_allclose(counts / counts.sum(), [0.25, 0.75, 0], atol=0.005)


def test_bad_frames_are_passed_over_and_told_once() -> None:
    recording = Recording(6, bad=(1, 4))
    examples = make_examples(recording)
    seen, told = set(), []
    for position in range(24):
        example = examples[position]
        seen.add(round(float(example.batch.image[0, 0, 0, 0]) * 255))
        told += example.left_out
    assert seen == {0, 2, 3, 5}
    assert sorted(told) == [f"00{k} is left out: 00{k}.png is truncated; copy it again" for k in (1, 4)]
    assert recording.reads == 6  # the good ones stay decoded, the bad ones are not tried again


@pytest.mark.parametrize("workers", [0, 1])
def test_only_bad_frames_end_the_run_in_one_sentence(workers: int) -> None:
    with pytest.raises(InputError) as refused:
        take(make_examples(Recording(3, bad=(0, 1, 2))), 1, workers=workers)
    assert str(refused.value).startswith("none of the 3 frames can be used; the last one: 00")
    assert "\n" not in str(refused.value)


def test_a_run_needs_frames() -> None:
    with pytest.raises(InputError, match="no frame to learn from"):
        Frames([Recording(3)], [0.0], 0, 0)


def test_the_cache_keeps_what_fits() -> None:
    recording = Recording(4)
    size = 3 * 32 * 64 + 500 * 12
    cache = SampleCache(2 * size)
    for index in (0, 1, 0, 2, 0, 1):
        assert cache.get((0, index), recording).name == f"00{index}"
        assert cache.used <= 2 * size
    assert recording.reads == 4  # 0, 1, 2 pushes 1 out, 1 again
    nothing = SampleCache(0)
    assert nothing.get((0, 3), recording).name == "003" and nothing.used == 0


def test_what_is_not_recorded_is_not_inside_the_batch() -> None:
    inside = np.ones((16, 32), bool)
    inside[:, 24:] = False  # of an image that the network sees at twice the size
    image_camera = Camera(np.array([[30.0, 0, 15.5], [0, 30, 7.5], [0, 0, 1]]), 32, 16)
    batch = replace(toy_batch(torch.ones(1, 3, *SIZE)), K=torch.from_numpy(image_camera.resize(64, 32).K).float()[None])
    batch.inside[:, 30:] = False
    found = with_inside(batch, inside, image_camera.K)
    assert found.inside[0, :30, :48].all() and not found.inside[0, :, 48:].any() and not found.inside[0, 30:].any()
    assert torch.equal(found.image[0, 0], found.inside[0].float())


def test_the_fingerprint_knows_the_frames_and_not_where_they_lie() -> None:
    config = (SourceConfig(path="a"),)
    first = fingerprint(config, [Recording(3)])
    moved = Recording(3)
    moved.path = Path("elsewhere")
    assert fingerprint((SourceConfig(path="b"),), [moved]) == first and len(first) == 16
    assert fingerprint(config, [Recording(4)]) != first
    assert fingerprint((SourceConfig(path="a", weight=2.0),), [Recording(3)]) != first
    assert fingerprint((SourceConfig(path="a", extrinsic="rig.yaml"),), [Recording(3)]) != first


def test_an_extrinsic_from_a_file_takes_the_place_of_the_recorded_one() -> None:
    T = np.eye(4)
    T[:3, 3] = 1, 2, 3
    recording = Recording(3)
    source = Recalibrated(recording, T)
    assert source.names == recording.names
    np.testing.assert_array_equal(source[1].T_cam_lidar, T)
    np.testing.assert_array_equal(source[1].image, recording[1].image)
    assert source.identity() != Recalibrated(recording, np.eye(4)).identity()


def test_the_control_is_another_frame_in_the_same_window() -> None:
    """Its border is where the right image has one, and without a virtual camera it is the other frame as it is."""
    class Grey(Walls):
        def _load(self, index: int) -> Sample:
            sample = super()._load(index)
            return replace(sample, image=np.full_like(sample.image, 60 * (index + 1)))

    def batch(changes: AugmentConfig, position: int) -> Batch:
        examples = Examples(Frames([Grey()], [1.0], 0, 10**9), NetworkInput(SMALL), SMALL.size, changes, control=True)
        made = examples[position]
        assert isinstance(made, Example)
        return made.batch

    plain = AugmentConfig(virtual_camera=False, light=0, exposure=0, blur_px=0, noise=0, mirror=0)
    turned = replace(plain, virtual_camera=True, recorded=0.0, seen_points=0, zoom=(0.8, 0.8))
    for position in range(6):
        right = batch(plain, position)
        greys = {round(float(image[image > 0].unique().median()) * 255) for image in (right.image, right.wrong)}
        assert len(greys) == 2 and greys <= {60, 120, 180}  # never its own image
        right = batch(turned, position)
        assert torch.equal(right.wrong.amax(1) > 0, right.image.amax(1) > 0) and not right.inside.all()


def test_an_extrinsic_is_nobody_elses() -> None:
    with pytest.raises(InputError, match="is of the rig"):
        Recalibrated(Walls(), np.eye(4), "another")[0]


def test_changes_grow_with_the_position(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    frames = Frames([Walls()], [1.0], 0, 10**9)
    growing = Examples(frames, NetworkInput(SMALL), SMALL.size, AugmentConfig(shift_m=8.0, shift_grows_over=100))
    monkeypatch.setattr("crossi2p_core.train.examples.augment",
                        lambda sample, changes, size, rng: (asked.append(changes.shift_m), (sample, None))[1])
    growing[0], growing[50], growing[100]
    assert asked == [0.0, 4.0, 8.0]
