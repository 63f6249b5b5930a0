"""Which weights are meant where none are named, and when they are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import random_weights

from crossi2p_core import audition
from crossi2p_core import weights as shipped
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.source import View
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.headings import all_around
from crossi2p_core.matcher import load_network
from crossi2p_core.model.batch import collate
from crossi2p_core.model.config import preset
from crossi2p_core.model.inputs import make_batch
from crossi2p_core.registrar import Registrar
from crossi2p_core.train.augment_cloud import draw_plane_motion, move_scan, without_vehicle
from crossi2p_core.train.config import AugmentConfig
from crossi2p_core.train.examples import Example, Examples
from crossi2p_core.train.frames import Frames
from crossi2p_core.train.matching import with_wrong_image
from crossi2p_core.train.metrics import coarse_recall
from crossi2p_core.train.targets import targets_of
from crossi2p_core.types import Prior, Sample


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights that take the place of those of the package."""
    path = random_weights(tmp_path).with_suffix(".safetensors")
    monkeypatch.setattr(shipped, "SHIPPED", path)
    return path


@pytest.fixture(scope="module")
def sample() -> Sample:
    return open_source("synthetic:street?seed=2&frames=1&camera=kitti&lidar=vlp16")[0]


def test_names(own: Path, tmp_path: Path) -> None:
    assert shipped.find_weights(None) == shipped.find_weights("default") == shipped.find_weights(Path("default")) == own
    assert shipped.find_weights("none") is None and shipped.find_weights("w.json") == Path("w.json")
    own.unlink()
    assert shipped.find_weights(None) is None and shipped.find_weights("default") == own


def test_the_packages_own_are_read_when_they_are_needed(own: Path, sample: Sample,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[9:11])
    registrar = Registrar(device="cpu")
    assert registrar.has_network and registrar.asks_network(None)
    near = Prior(np.asarray(sample.T_cam_lidar), 2.0, 0.2)
    assert not registrar.asks_network(near) and registrar._matcher is None
    assert "network" not in registrar.register(sample, near).timings and registrar._matcher is None
    assert "network" in registrar.register(sample).timings and registrar._matcher is not None


def test_none_is_no_network(own: Path, sample: Sample) -> None:
    registrar = Registrar(device="cpu", weights="none")
    assert not registrar.has_network and registrar.matcher is None and not registrar.asks_network(None)
    assert "network" not in registrar.register(sample, Prior(np.asarray(sample.T_cam_lidar), 8.0, 0.4)).timings


def test_a_package_without_weights_goes_without_and_default_says_what_is_missing(own: Path) -> None:
    own.unlink()
    own.with_suffix(".json").unlink()
    assert not Registrar(device="cpu").has_network
    with pytest.raises(InputError, match="is not a file"):
        Registrar(device="cpu", weights="default")


def test_a_settings_file_names_them_too(own: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("weights: none\n")
    assert not Registrar(tmp_path / "r.yaml", "cpu").has_network
    assert Registrar(tmp_path / "r.yaml", "cpu", "default").matcher is not None


def test_training_goes_on_from_them_by_name(own: Path) -> None:
    assert load_network("default").config == load_network(own).config


def test_the_package_carries_a_small_network_with_its_card() -> None:
    folder = shipped.SHIPPED.parent
    assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) < 20e6
    network = load_network("default")
    assert network.config == preset("light") and sum(p.numel() for p in network.parameters()) < 8e6
    assert "synthetic" in (folder / "README.md").read_text()


def test_what_it_says_of_real_frames_is_from_the_image(data_dir: Path) -> None:
    """Frames that no training has touched, by virtual cameras and turned scans, since all are of one rig: superpoints
    in view whose superpixel is right to within one, with the right and with another frame's image."""
    folder = data_dir / "compact" / "kitti_stereo2015"
    if not folder.exists():
        pytest.skip(f"no KITTI stereo below {data_dir}")
    source, network = open_source(str(folder)), load_network("default").eval()
    config = network.config
    examples = Examples(Frames([View(source, list(range(60, 76)))], [1.0], seed=1, cache_bytes=10**9),
                        lambda sample, rng: make_batch(sample, config, rng=rng), config.size, AugmentConfig())
    batch = collate([example.batch for position in range(16)
                     if isinstance(example := examples[position], Example)])
    assert batch.T_cam_lidar is not None
    targets, columns = targets_of(batch, network.config.grid), network.config.grid[1]
    with torch.inference_mode():
        right, wrong = (float(coarse_recall(network(each), targets, columns))
                        for each in (batch, with_wrong_image(batch)))
    assert right > 0.1 and right > 2 * wrong


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [False, True], ids=["right images", "wrong images"])
def test_frames_of_a_drive_that_is_turned_by_any_yaw_need_no_guess(data_dir: Path, wrong: bool) -> None:
    source = open_source(data_dir / "compact/kitti_raw_drive")
    motion = draw_plane_motion(np.random.default_rng(3), 180.0, 1.0)
    frames = [source[i] for i in range(0, 50, 5)]
    images = [source[(i + 25) % 50 if wrong else i].image for i in range(0, 50, 5)]
    turned = [move_scan(replace(frame, image=image, cloud=without_vehicle(frame.cloud, 3.0)), motion)
              for frame, image in zip(frames, images, strict=True)]
    found = Registrar(device="cpu").register_joint(turned)
    truth = np.asarray(turned[0].T_cam_lidar)
    right = se3.rotation_error_deg(found.T_cam_lidar, truth) < 0.5 and se3.translation_error_m(
        found.T_cam_lidar, truth) < 0.1
    assert found.status != "ok" if wrong else right
