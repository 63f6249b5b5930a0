"""`benchmarks.overfit`: each pair goes on to the flow network as itself, or not at all."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from test_flow_network import TINY as FLOW
from test_train_command import TINY, Walls

from benchmarks import overfit
from crossi2p_core.datasets.compact_writer import prepare
from crossi2p_core.errors import InputError
from crossi2p_core.model.batch import Batch
from crossi2p_core.model.flow_network import FlowNetwork
from crossi2p_core.train.config import TrainConfig
from crossi2p_core.train.read_config import read_config
from crossi2p_core.types import Sample

ASTRAY = torch.full((1, 4, 4), 99.0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    folder = tmp_path_factory.mktemp("overfit")
    prepare(Walls(), folder / "walls")
    (folder / "train.yaml").write_text(yaml.safe_dump({
        "out": str(folder / "out"), "network": TINY, "sources": [{"path": str(folder / "walls")}],
        "augment": {"seen_points": 0, "recorded": 0.0}}))
    return read_config(folder / "train.yaml")


@pytest.fixture
def round_(settings: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> overfit.Round:
    """Each of the three frames once."""
    monkeypatch.setattr(overfit, "ROUNDS", 1)
    (found,) = overfit.fresh_rounds(settings)
    return found


def flow_of(settings: TrainConfig, monkeypatch: pytest.MonkeyPatch, refused: str) -> list[Batch]:
    """A flow network that leads astray, and takes no example of the frame `refused`; what it was asked."""
    asked: list[Batch] = []

    def make(sample: Sample, config, T_rough: np.ndarray, rng: np.random.Generator) -> Batch:
        if sample.name == refused:
            raise InputError("nothing of the scan lies in or near the image")
        return overfit.NetworkInput(settings.network)(sample, rng)

    monkeypatch.setattr(overfit, "make_flow_batch", make)
    monkeypatch.setattr(overfit, "approach",
                        lambda flow, batch, rough: asked.append(batch) or (SimpleNamespace(T=ASTRAY), None))
    return asked


def test_an_answer_that_sees_nothing_stays_and_no_other_frame_takes_its_place(
        settings: TrainConfig, round_: overfit.Round, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = flow_of(settings, monkeypatch, refused=round_.names[1])
    rough, images = torch.eye(4).repeat(3, 1, 1), round_.batch.image
    config = replace(FLOW, size=settings.network.size, points=2000)
    found = overfit._nearer(FlowNetwork(config), round_, rough, images)
    assert torch.equal(found, torch.cat([ASTRAY, rough[:1], ASTRAY]))
    assert torch.equal(torch.cat([batch.image for batch in asked]), images[[0, 2]])
    truth = round_.batch.T_cam_lidar
    assert truth is not None
    for batch, expected in zip(asked, truth[[0, 2]], strict=True):
        assert batch.T_cam_lidar is not None and torch.allclose(batch.T_cam_lidar[0], expected, atol=1e-5)


def test_a_frame_that_is_passed_over_is_no_other(settings: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    own = overfit.NetworkInput.__call__

    def refusing(self, sample: Sample, rng: np.random.Generator):
        if sample.name == "001":
            raise InputError("it is too dark")
        return own(self, sample, rng)

    monkeypatch.setattr(overfit.NetworkInput, "__call__", refusing)
    with pytest.raises(InputError, match="it is too dark"):
        overfit.fresh_rounds(settings)


def test_networks_of_two_image_sizes_are_refused(settings: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfit, "read_config", lambda path: path)
    monkeypatch.setattr(overfit, "best_of", lambda path: path)
    for size, good in ((settings.network.size, True), ((128, 256), False)):
        monkeypatch.setattr(overfit, "load_flow_network", lambda _, size=size: FlowNetwork(replace(FLOW, size=size)))
        if good:
            assert overfit.trained_flow("flow.yaml", settings).config.size == size
            continue
        with pytest.raises(InputError, match=r"flow\.yaml: the flow network takes images of \(128, 256\)"):
            overfit.trained_flow("flow.yaml", settings)
