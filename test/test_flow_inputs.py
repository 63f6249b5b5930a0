"""What the flow network is given of cameras whose picture does not fill its canvas, and what is made of its answer."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from crossi2p_core.datasets.synthetic.rig import camera_named
from crossi2p_core.datasets.synthetic.source import SyntheticSource
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.model.config import FlowConfig
from crossi2p_core.model.flow_inputs import LEAST_POINTS, make_flow_batch
from crossi2p_core.model.flow_inputs import _as_level as as_level
from crossi2p_core.model.flow_network import Flow
from crossi2p_core.solve.from_flow import draw, flow_matches
from crossi2p_core.train.config import StartsConfig
from crossi2p_core.train.examples import FlowInput
from crossi2p_core.train.flow_task import draw_starts
from crossi2p_core.types import Camera, Sample

CONFIG = FlowConfig(width=8, coarse_dim=16, fine_dim=8, reach=(2, 1), dim=16, points=4000)  # 96 x 320
FOUR_TO_THREE = Camera(np.array([[240.0, 0, 159.5], [0, 240, 110], [0, 0, 1]]), 320, 240)


@pytest.fixture(scope="module", params=["4:3", "fisheye"])
def sample(request: pytest.FixtureRequest) -> Sample:
    camera = FOUR_TO_THREE if request.param == "4:3" else camera_named("fisheye")
    return SyntheticSource("street", seed=3, frames=1, camera=camera, lidar="hdl64")[0]


def said(batch, shape: tuple[int, int], off: tuple[float, float] = (0.0, 0.0)) -> Flow:
    """That all points are off by so many px to the right and down."""
    pixels = torch.tensor(off)[None, :, None, None].expand(1, 2, *shape)
    return Flow(pixels, torch.zeros(1, 2, *shape), torch.zeros(1), torch.zeros(1))


def test_the_canvas_is_no_larger_than_the_picture_needs_unless_batches_are_to_be_joined(sample: Sample) -> None:
    tight, wide = (make_flow_batch(sample, CONFIG, tight=tight) for tight in (True, False))
    height, width = tight.image.shape[2:]
    rows, columns = (int(tight.inside[0].any(dim=dim).nonzero().max()) + 1 for dim in (1, 0))
    assert (height, width) == (-(-rows // 32) * 32, -(-columns // 32) * 32) and width <= 160
    assert wide.image.shape == (1, 3, 96, 320) and torch.equal(wide.K, tight.K)
    assert torch.equal(wide.image[..., :height, :width], tight.image) and wide.inside.sum() == tight.inside.sum()
    assert torch.equal(wide.cloud.xyz[0], tight.cloud.xyz[0])


@pytest.mark.parametrize("tight", [True, False])
@pytest.mark.parametrize("off", [(0.0, 0.0), (30.0, 0.0), (-40.0, 9.0)])
def test_no_match_outside_of_the_recording_is_valid(sample: Sample, tight: bool, off: tuple[float, float]) -> None:
    batch = make_flow_batch(sample, CONFIG, tight=tight)
    drawn = draw(batch, batch.T_cam_lidar)
    shape = (batch.image.shape[2] // 4, batch.image.shape[3] // 4)
    matches = flow_matches(said(batch, shape, off), drawn, batch)
    column, row = np.rint(matches.pixels[0].numpy()).astype(int).T
    canvas = (column >= 0) & (column < batch.image.shape[3]) & (row >= 0) & (row < batch.image.shape[2])
    recorded = canvas.copy()
    recorded[canvas] = batch.inside[0].numpy()[row[canvas], column[canvas]]
    np.testing.assert_array_equal(matches.valid[0], drawn.raster.hit[0].numpy() & recorded)
    assert recorded.any() and (tight or (canvas & ~recorded & drawn.raster.hit[0].numpy()).any())


def test_points_are_chosen_around_the_picture_and_not_around_the_canvas(sample: Sample) -> None:
    batch = make_flow_batch(sample, replace(CONFIG, points=100_000))
    q = se3.transform(np.asarray(sample.T_cam_lidar), batch.cloud.xyz[0][0].numpy())
    u = batch.K[0, 0, 0].item() * q[:, 0] / q[:, 2] + batch.K[0, 0, 2].item()
    width = int(batch.inside[0].any(dim=0).nonzero().max()) + 1
    assert width < 160 and u[q[:, 2] > 1].min() >= -64.5 and width + 40 < u[q[:, 2] > 1].max() <= width + 64.5


def test_few_points_in_the_recording_are_refused_in_words(sample: Sample) -> None:
    """All others lie beside it, on the canvas of 96 x 320 px."""
    T = np.asarray(sample.T_cam_lidar)
    inside = make_flow_batch(sample, CONFIG).inside[0]
    batch = make_flow_batch(sample, replace(CONFIG, points=100_000))
    q = se3.transform(T, sample.cloud.xyz.astype(np.float64))
    u, v = (batch.K[0].double().numpy() @ q.T)[:2] / q[:, 2]
    column, row = np.rint(u).astype(int), np.rint(v).astype(int)
    canvas = (q[:, 2] > 1) & (q[:, 2] < 80) & (column >= 0) & (column < 320) & (row >= 0) & (row < 96)
    within = canvas.copy()
    within[canvas] = inside.numpy()[row[canvas], column[canvas]]
    beside, few = np.flatnonzero(canvas & ~within), np.flatnonzero(within)[:LEAST_POINTS]
    assert len(beside) > LEAST_POINTS
    scarce = replace(sample, cloud=sample.cloud.select(np.concatenate([beside, few[1:]])))
    with pytest.raises(InputError, match=f"^{sample.name}: {LEAST_POINTS - 1} points of the scan lie in the image"):
        make_flow_batch(scarce, CONFIG)
    enough = make_flow_batch(replace(sample, cloud=sample.cloud.select(np.concatenate([beside, few]))), CONFIG)
    assert int(enough.cloud.valid[0].sum()) >= LEAST_POINTS


def test_points_that_are_no_numbers_are_left_out_in_silence(sample: Sample) -> None:
    xyz = sample.cloud.xyz.copy()
    xyz[:6] = [[np.nan, 0, 0], [np.inf, 0, 0], [0, -np.inf, 1], [np.inf, -np.inf, 0], [5, 0, np.nan], [1e38, 1e38, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = make_flow_batch(replace(sample, cloud=replace(sample.cloud, xyz=xyz)), CONFIG)
    assert batch.cloud.xyz[0].isfinite().all() and batch.cloud.xyz[0].abs().max() < 200


def test_no_edge_of_what_was_chosen_comes_onto_the_canvas_wherever_learning_starts(sample: Sample) -> None:
    config, starts = replace(CONFIG, points=150_000), StartsConfig(10.0, 1.5, span=1.0, per_pair=12)
    chosen = FlowInput(config, starts)(sample, np.random.default_rng(0))
    narrow = make_flow_batch(sample, config)
    everything = replace(chosen, cloud=as_level(sample.cloud, config.points, np.random.default_rng(0)))
    assert int(chosen.cloud.valid[0].sum()) < int(everything.cloud.valid[0].sum()) < 150_000
    T = draw_starts(chosen, starts, torch.Generator().manual_seed(0))
    every, few, fewer = (draw(batch, T).raster.picture for batch in (everything, chosen, narrow))
    assert torch.equal(few, every) and not torch.equal(fewer, every)
