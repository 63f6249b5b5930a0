"""What is left on disk by `write_bag`: a whole bag, or nothing."""

import os
from dataclasses import replace

import numpy as np
import pytest
from bags import sample
from rosbags.rosbag2 import Reader

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.bag_clock import START_NS
from crossi2p_core.datasets.bag_writer import write_bag
from crossi2p_core.errors import InputError
from crossi2p_core.types import PointCloud

SAMPLES = [sample(k) for k in range(2)]


def broken():
    """A source whose second frame cannot be read."""
    yield SAMPLES[0]
    raise InputError("the second frame is damaged")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("source", [broken(), []])
def test_nothing_half_written_stays(tmp_path, source, storage):
    with pytest.raises(InputError, match=r"damaged|no sample"):
        write_bag(source, tmp_path / "bag", storage=storage)
    assert not list(tmp_path.iterdir())


def test_an_existing_bag_stays_unless_told_otherwise(tmp_path):
    write_bag(SAMPLES[:1], tmp_path / "bag")
    with pytest.raises(InputError, match="exists already"):
        write_bag(SAMPLES, tmp_path / "bag")
    with pytest.raises(InputError, match="damaged"):
        write_bag(broken(), tmp_path / "bag", overwrite=True)
    assert len(open_source(tmp_path / "bag")) == 1
    write_bag(SAMPLES, tmp_path / "bag", overwrite=True)
    assert len(open_source(tmp_path / "bag")) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["bag"]
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="no bag"):
        write_bag(SAMPLES, tmp_path / "other", overwrite=True)


def test_a_place_that_cannot_be_written_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the bag"):
        write_bag(SAMPLES, tmp_path / "file" / "bag")


@pytest.mark.parametrize("options", [{"storage": "rosbag"}, {"image_format": "gif"}])
def test_unknown_choices_are_told_in_words(tmp_path, options):
    with pytest.raises(InputError, match="choose one of"):
        write_bag(SAMPLES, tmp_path / "bag", **options)


def test_progress_counts_to_the_total(tmp_path):
    told = []
    write_bag(SAMPLES, tmp_path / "bag", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_samples_without_stamps_come_at_10_hz(tmp_path):
    write_bag([replace(s, stamp_cloud=None, stamp_image=None) for s in SAMPLES], tmp_path / "bag")
    stamps = [s.stamp_cloud for s in open_source(tmp_path / "bag")]
    assert stamps == pytest.approx([START_NS * 1e-9, START_NS * 1e-9 + 0.1], abs=1e-6)


def test_a_cloud_of_bare_points_stays_one(tmp_path):
    bare = PointCloud.from_arrays(SAMPLES[0].cloud.xyz)
    write_bag([replace(SAMPLES[0], cloud=bare)], tmp_path / "bag")
    cloud = open_source(tmp_path / "bag")[0].cloud
    np.testing.assert_array_equal(cloud.xyz, bare.xyz)
    assert cloud.intensity is None and cloud.ring is None and cloud.time is None


def test_static_transforms_are_latched_for_late_subscribers(tmp_path):
    from rosbags.interfaces import QosDurability
    from rosbags.rosbag2 import Reader

    write_bag(SAMPLES, tmp_path / "bag")
    with Reader(tmp_path / "bag") as reader:
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability for c in reader.connections}
        counts = {c.topic: c.msgcount for c in reader.connections}
    assert durability["/tf_static"] == QosDurability.TRANSIENT_LOCAL and durability["/tf"] == QosDurability.VOLATILE
    assert counts["/tf_static"] == 1 and counts["/tf"] == 2


def test_static_transforms_are_there_before_whatever_needs_them(tmp_path):
    write_bag(SAMPLES, tmp_path / "bag")
    first: dict[str, int] = {}
    with Reader(tmp_path / "bag") as reader:
        for connection, recorded, _ in reader.messages():
            first.setdefault(connection.topic, recorded)
    assert first.pop("/tf_static") < min(first.values())


def test_a_bag_that_cannot_take_its_place_leaves_the_former_one(tmp_path, monkeypatch):
    write_bag(SAMPLES[:1], tmp_path / "bag")
    replace_as_ever = os.replace

    def full(one, other):
        if other == tmp_path / "bag" and one.name == "bag":  # the former one is aside by now
            raise OSError(28, "No space left on device")
        replace_as_ever(one, other)

    monkeypatch.setattr("crossi2p_core.datasets.bag_writer.os.replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_bag(SAMPLES, tmp_path / "bag", overwrite=True)
    assert len(open_source(tmp_path / "bag")) == 1 and len(list(tmp_path.iterdir())) == 1
