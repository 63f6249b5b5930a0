"""`open_source` finds the layout, or says what it looked for; sources behave as lazy sequences."""

import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import recordings as rec
from bags import sample

from crossi2p_core.datasets import Source, detect, open_source
from crossi2p_core.datasets.bag_writer import write_bag
from crossi2p_core.errors import InputError


@pytest.mark.parametrize(("layout", "kind"), [
    (lambda root: rec.write_kitti_raw(root / "2011_09_26"), "kitti_raw"),
    (rec.write_kitti_odometry, "kitti_odometry"),
    (rec.write_kitti_object, "kitti_object"),
    (lambda root: rec.write_pair(root / "one"), "pairs"),
])
def test_each_layout_is_recognised_itself_and_from_above(tmp_path: Path, layout, kind: str) -> None:
    inner = layout(tmp_path / "data")
    for path in (inner, inner.parent, tmp_path / "data", tmp_path):
        source = open_source(path)
        assert source.kind == kind and len(source) >= 1
        assert source.names == sorted(source.names)


def test_a_folder_of_different_recordings_opens_as_a_collection(tmp_path: Path) -> None:
    rec.write_kitti_object(tmp_path / "b", frames=2)
    rec.write_pair(tmp_path / "a/pair")
    rec.write_pair(tmp_path / ".hidden/pair")
    source = open_source(tmp_path)
    assert source.kind == "collection"
    assert source.names == ["a/pair", "b/training/000000", "b/training/000001"]
    assert [sample.name for sample in source] == source.names
    assert source[0].rig.startswith("a/") and source[1].rig.startswith("b/training/")
    assert source.describe()["rigs"] == 3


def test_a_part_that_cannot_be_opened_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rec.write_pair(tmp_path / "good/pair")
    (tmp_path / "bags").mkdir()
    (tmp_path / "bags/crashed.mcap").write_bytes(b"no bag")
    assert open_source(tmp_path).names == ["good/pair"]
    assert "left out" in (said := capsys.readouterr().err) and "crashed.mcap" in said
    with pytest.raises(InputError, match=r"crashed\.mcap"):
        open_source(tmp_path / "bags")


def test_a_bag_beside_what_it_was_made_of_does_not_double_it(tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    rec.write_kitti_object(tmp_path / "b", frames=2)
    write_bag([sample(0)], tmp_path / "bag")
    next((tmp_path / "bag").glob("*.mcap")).rename(tmp_path / "converted.mcap")
    shutil.rmtree(tmp_path / "bag")
    assert len(open_source(tmp_path)) == 2 and "converted.mcap, a bag beside" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "b")
    assert open_source(tmp_path).names == ["converted.mcap/000000"]


def test_an_empty_address_is_no_folder() -> None:
    with pytest.raises(InputError, match="source is empty"):
        open_source("")


def test_what_is_in_there_is_told_though_the_first_frame_is_broken(tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    folder = rec.write_kitti_odometry(tmp_path, frames=2)
    (folder / "velodyne/000000.bin").write_bytes(b"12345")
    assert open_source(folder).describe()["frames"] == 2
    assert "000000 cannot be used" in capsys.readouterr().err


def test_the_parts_of_a_collection_are_sorted(tmp_path: Path) -> None:
    order = "fbdhgace"
    for name in order:
        rec.write_pair(tmp_path / name / "pair")
    assert open_source(tmp_path).names == [f"{name}/pair" for name in sorted(order)]


def test_an_unknown_folder_is_told_all_that_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("sun")
    with pytest.raises(InputError) as caught:
        open_source(tmp_path)
    for words in ("KITTI raw", "KITTI odometry", "KITTI object", "nuScenes", "ROS 2 bag", "compact", "pairs"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nothing", "a.txt", "a.txt/below", "bad\0name", "x" * 300])
def test_a_path_that_is_no_recording(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_text("sun")
    with pytest.raises(InputError):
        open_source(tmp_path / name)


def test_a_file_where_a_folder_is_expected(tmp_path: Path) -> None:
    drive = rec.write_kitti_raw(tmp_path / "2011_09_26", frames=1)
    shutil.rmtree(drive / "image_02/data")
    (drive / "image_02/data").write_text("not a folder")
    with pytest.raises(InputError, match="image_02"):
        open_source(drive)


def test_a_recording_without_frames(tmp_path: Path) -> None:
    drive = rec.write_kitti_raw(tmp_path / "2011_09_26", frames=1)
    (drive / "velodyne_points/data/0000000000.bin").unlink()
    with pytest.raises(InputError, match="no frame"):
        open_source(drive)


def test_a_folder_nobody_may_read(tmp_path: Path) -> None:
    rec.write_pair(tmp_path / "locked")
    (tmp_path / "locked").chmod(0)
    try:
        try:
            list((tmp_path / "locked").iterdir())
        except PermissionError:
            pass
        else:
            pytest.skip("this user (root?) may read everything; permissions do not bind")
        with pytest.raises(InputError, match="permission"):
            open_source(tmp_path / "locked")
    finally:
        (tmp_path / "locked").chmod(0o755)


def test_folders_that_point_at_themselves_end(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(InputError, match="looked for"):
        open_source(tmp_path)


def test_a_whole_disk_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "MAX_FOLDERS", 20)
    for index in range(30):
        (tmp_path / str(index)).mkdir()
    rec.write_pair(tmp_path / "last/pair")
    with pytest.raises(InputError, match="more than 20 folders"):
        open_source(tmp_path)


def test_an_option_the_reader_lacks_is_refused(tmp_path: Path) -> None:
    rec.write_pair(tmp_path / "one")
    with pytest.raises(InputError, match="camera"):
        open_source(tmp_path / "one", camera="image_03")
    with pytest.raises(InputError, match="speed"):
        open_source(rec.write_kitti_odometry(tmp_path / "kitti"), speed=3)


@pytest.fixture
def five(tmp_path: Path) -> Source:
    return open_source(rec.write_kitti_odometry(tmp_path, frames=5))


def test_indexing_slicing_and_length(five: Source) -> None:
    assert len(five) == 5 and five[-1].name == "000004"
    assert five[1:4].names == ["000001", "000002", "000003"]
    assert five[::-2].names == ["000004", "000002", "000000"]
    assert [sample.name for sample in five[1:][1:]] == ["000002", "000003", "000004"]
    assert five[1:4][-1].name == "000003" and five.index_of("000003") == 3
    assert len(five[5:]) == 0 and five[5:].describe()["frames"] == 0
    for index in (5, -6):
        with pytest.raises(IndexError):
            five[index]
    with pytest.raises(InputError, match="000009"):
        five.index_of("000009")


def test_a_damaged_frame_hurts_nobody_else(five: Source) -> None:
    (five.path / "image_2/000002.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"000002\.png"):
        list(five)
    assert [five[i].name for i in (0, 1, 3, 4)] == ["000000", "000001", "000003", "000004"]


def test_describe_is_plain_json(five: Source, data_dir: Path) -> None:
    for source in (five, five[1:3], open_source(data_dir / "rigs"), open_source(data_dir / "kitti_object")):
        told = json.loads(json.dumps(source.describe(), allow_nan=False))
        assert {"kind", "path", "frames", "first", "last", "rigs", "cameras", "has_truth", "has_poses"} <= told.keys()
        assert told["rigs"] == len(told["cameras"]) and told["frames"] == len(source)


def test_the_synthetic_world_has_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("synthetic:street?seed=3&frames=2")
    assert len(source) == 2
    assert source.identity() != open_source("synthetic:street?seed=4&frames=2").identity()
    here = source.identity()
    monkeypatch.chdir(tmp_path)
    assert open_source("synthetic:street?seed=3&frames=2").identity() == here  # it lies nowhere


@pytest.mark.parametrize("address", ["synthetic:street?seed=x", "synthetic:street?frames=-1", "synthetic:street?sede=1",
                                     "synthetic:moon", "synthetic:", "synthetic:street?frames=0"])
def test_a_wrong_synthetic_address_is_told(address: str) -> None:
    with pytest.raises(InputError):
        open_source(address)


def test_every_reader_of_the_list_exists() -> None:
    for module, class_name, _ in detect.READERS:
        reader = import_module(f"crossi2p_core.datasets.{module}")
        assert issubclass(getattr(reader, class_name), Source) and callable(reader.matches)
