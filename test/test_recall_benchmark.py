"""What weights see of recordings: by the package's weights, on pairs that nothing was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import recall as benchmark
from benchmarks.recall import groups, recall
from crossi2p_core.matcher import load_network
from crossi2p_core.model.network import Network
from crossi2p_core.train.config import SourceConfig

# a frame each: frames of one street look alike
UNSEEN = tuple(SourceConfig(path=f"synthetic:{kind}?seed={700000 + seed}&frames=1")
               for seed in range(2) for kind in ("street", "yard", "hall"))


@pytest.fixture(scope="module")
def network() -> Network:
    """The package's."""
    return load_network("default").eval()


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are named as seen from the repository."""
    monkeypatch.chdir(Path(benchmark.__file__).parents[1])


def test_the_packages_weights_see_more_in_the_right_image(network: Network) -> None:
    found = recall(network, UNSEEN, range(2))
    assert found.frames == 6
    assert found.right > 0.35
    assert found.right > 2 * found.wrong


def test_the_same_seed_sees_the_same_whatever_was_asked_before(network: Network) -> None:
    first = recall(network, UNSEEN[:2], range(1))
    assert recall(network, UNSEEN[:2], range(1, 2)) != first
    assert recall(network, UNSEEN[:2], range(1)) == first


def test_what_is_kept_back_lies_where_it_is_said_to() -> None:
    found = groups("elsewhere")
    assert list(found) == ["all", "kitti_stereo2015", "kitti_raw_drive", "rigs"]
    assert [one.path for one in found["all"]] == [
        "elsewhere/compact/kitti_stereo2015", "elsewhere/compact/kitti_raw_drive", "elsewhere/rigs"]
    assert found["kitti_raw_drive"][0].frames == "30:"  # the first thirty taught weights that are compared with these
