"""Validation by pose: errors of each pair, their medians over all, and nothing drawn that training would miss."""

from __future__ import annotations

import pytest
import torch
from test_network import SMALL
from test_train_command import Walls
from toy_training import toy_batch, toy_config

from crossi2p_core.errors import InputError
from crossi2p_core.model.batch import collate
from crossi2p_core.model.inputs import make_batch
from crossi2p_core.model.network import Network
from crossi2p_core.train.distributed import World
from crossi2p_core.train.examples import Example
from crossi2p_core.train.matching import MatchingTask
from crossi2p_core.train.validation import Validation


def test_poses_are_judged_with_both_images_and_disturb_no_generator() -> None:
    torch.manual_seed(0)
    network, source = Network(SMALL).eval(), Walls()
    batch = collate([make_batch(source[index], SMALL) for index in (0, 1)])
    state = torch.get_rng_state()
    with torch.no_grad():
        found = MatchingTask(SMALL, poses=True).judge(network, batch)
        plain = MatchingTask(SMALL).judge(network, batch)
    assert torch.equal(state, torch.get_rng_state())
    for name in ("rre_deg", "rte_m", "pose_accuracy"):
        assert found[name].shape == found[f"{name}_wrong_image"].shape == (2,) and name not in plain
    assert (found["rre_deg"] >= 0).all() and (found["rre_deg"] <= 180).all()


def test_errors_become_medians_and_shares_means() -> None:
    class Frames:
        epoch_length = 5

    class Five:
        frames = Frames()

        def __getitem__(self, position: int) -> Example:
            return Example(toy_batch(torch.full((1, 3, 4, 4), float(position))))

    def judge(model: torch.nn.Module, batch: object) -> dict[str, torch.Tensor]:
        value = batch.image[:, 0, 0, 0]
        return {"rre_deg": value**2, "pose_accuracy": (value < 2).double(), "coarse_recall": value.mean()}

    with pytest.raises(InputError, match="8 processes need at least as many frames of validation, not 5"):
        Validation(Five(), judge, toy_config("unused"), World(0, 8))
    found = Validation(Five(), judge, toy_config("unused", batch=2), World())(torch.nn.Identity())
    assert found == pytest.approx({"rre_deg_median": 4.0, "pose_accuracy": 0.4, "coarse_recall": 2.0})
