"""Every cloud format gives the same points; a damaged one gives an InputError with the file's name, nothing else."""

import struct
from pathlib import Path

import numpy as np
import pytest
import recordings as rec
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.datasets.clouds import cloud_from_columns, read_cloud
from crossi2p_core.datasets.pcd import lzf_decompress
from crossi2p_core.errors import InputError
from crossi2p_core.types import PointCloud

SCAN = rec.scan(0, points=40)


def lzf_compress(data: bytes) -> bytes:
    """A plain LZF encoder for the tests: the last place of every three bytes, copies where they repeat."""
    out, literal, at, seen = bytearray(), bytearray(), 0, dict[bytes, int]()

    def flush() -> None:
        for k in range(0, len(literal), 32):
            out.append(len(literal[k:k + 32]) - 1)
            out.extend(literal[k:k + 32])
        literal.clear()

    while at < len(data):
        start = seen.get(data[at:at + 3], -1)
        seen[data[at:at + 3]] = at
        length = 0
        while start >= 0 and at + length < len(data) and length < 264 and data[start + length] == data[at + length]:
            length += 1
        if length < 3 or at - start > 8192:
            literal.append(data[at])
            at += 1
            continue
        flush()
        distance = at - start - 1
        if length < 9:
            out.append((length - 2) << 5 | distance >> 8)
        else:
            out += bytes([7 << 5 | distance >> 8, length - 9])
        out.append(distance & 255)
        at += length
    flush()
    return bytes(out)


def pcd_bytes(encoding: str) -> bytes:
    header = ("# .PCD v0.7\nVERSION 0.7\nFIELDS x y z _ intensity\nSIZE 4 4 4 1 4\nTYPE F F F U F\nCOUNT 1 1 1 4 1\n"
              f"WIDTH {len(SCAN)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(SCAN)}\nDATA {encoding}\n").encode()
    if encoding == "ascii":
        return header + "".join(f"{x} {y} {z} 0 0 0 0 {i}\n" for x, y, z, i in SCAN.tolist()).encode()
    pad = np.zeros((len(SCAN), 4), np.uint8)
    if encoding == "binary":
        rows = np.hstack([SCAN[:, :3].copy().view(np.uint8), pad, SCAN[:, 3:].copy().view(np.uint8)])
        return header + rows.tobytes()
    columns = b"".join([*(SCAN[:, k].tobytes() for k in range(3)), pad.tobytes(), SCAN[:, 3].tobytes()])
    packed = lzf_compress(columns)
    return header + struct.pack("<II", len(packed), len(columns)) + packed


def ply_bytes(encoding: str) -> bytes:
    header = (f"ply\nformat {encoding} 1.0\ncomment by hand\nelement vertex {len(SCAN)}\nproperty float x\n"
              "property float y\nproperty float z\nproperty uchar class\nproperty float intensity\n"
              "element face 1\nproperty list uchar int vertex_indices\nend_header\n").encode()
    if encoding == "ascii":
        return header + "".join(f"{x} {y} {z} 7 {i}\n" for x, y, z, i in SCAN.tolist()).encode() + b"3 0 1 2\n"
    order = "<" if "little" in encoding else ">"
    rows = b"".join(struct.pack(order + "fffBf", *row[:3], 7, row[3]) for row in SCAN.tolist())
    return header + rows + struct.pack(order + "Biii", 3, 0, 1, 2)


def npy_bytes(path: Path, **arrays: np.ndarray) -> bytes:
    if "table" in arrays:
        np.save(path, arrays["table"])
    else:
        np.savez(path, **arrays)
    return path.read_bytes()


def write_cloud(folder: Path, name: str) -> Path:
    """SCAN in one of the formats, by a name such as `binary.pcd`."""
    encoding, _, ending = name.rpartition(".")
    path = folder / f"cloud.{ending}"
    if ending in ("npy", "npz"):
        arrays = {"table": SCAN} if ending == "npy" else {"xyz": SCAN[:, :3], "intensity": SCAN[:, 3]}
        npy_bytes(path, **arrays)
    else:
        path.write_bytes({"bin": lambda _: SCAN.tobytes(), "pcd": pcd_bytes, "ply": ply_bytes}[ending](encoding))
    return path


CLOUDS = ["raw.bin", "ascii.pcd", "binary.pcd", "binary_compressed.pcd", "ascii.ply", "binary_little_endian.ply",
          "binary_big_endian.ply", "table.npy", "arrays.npz"]


@pytest.mark.parametrize("name", CLOUDS)
def test_every_cloud_format_gives_the_same_points(tmp_path: Path, name: str) -> None:
    cloud = read_cloud(write_cloud(tmp_path, name))
    assert np.allclose(cloud.xyz, SCAN[:, :3], atol=1e-6)
    assert np.allclose(cloud.intensity, SCAN[:, 3], atol=1e-6)


@pytest.mark.parametrize("numbers", [3, 5, 6])
def test_bin_points_of_other_widths_are_noticed(tmp_path: Path, numbers: int) -> None:
    wide = np.random.default_rng(0).normal(0, 10, (400, numbers)).astype(np.float32)  # 400: a multiple of 4 in all
    (tmp_path / "cloud.bin").write_bytes(wide.tobytes())
    with pytest.raises(InputError, match="negative intensities"):
        read_cloud(tmp_path / "cloud.bin")


@pytest.mark.parametrize("none", [-1.0, -40.0])
def test_intensities_that_are_none_or_decibels_are_no_coordinates(tmp_path: Path, none: float) -> None:
    table = SCAN.copy()
    table[:, 3] = none
    (tmp_path / "cloud.bin").write_bytes(table.tobytes())
    assert len(read_cloud(tmp_path / "cloud.bin")) == len(SCAN)


def test_a_table_on_its_side_is_refused(tmp_path: Path) -> None:
    npy_bytes(tmp_path / "cloud.npy", table=SCAN.T.copy())
    with pytest.raises(InputError, match="transpose it"):
        read_cloud(tmp_path / "cloud.npy")


@pytest.mark.parametrize(("unit", "kind", "since"), [
    (1.0, "f4", 0.0), (1e-3, "f4", 0.0), (1e-6, "f4", 0.0), (1e-9, "f8", 0.0), (1e-9, "u4", 0.0),
    (1.0, "f8", 1.7e9), (1e-9, "f8", 1.7e9), (1e-9, "f8", 300.0), (1e-6, "f8", 300.0)])
def test_times_are_told_by_how_long_a_scan_lasts(tmp_path: Path, unit: float, kind: str, since: float) -> None:
    seconds = np.linspace(0, 0.1, len(SCAN))
    npy_bytes(tmp_path / "cloud.npz", xyz=SCAN[:, :3], time=((seconds + since) / unit).astype(kind))
    assert np.allclose(read_cloud(tmp_path / "cloud.npz").time, seconds, atol=1e-6)


def test_whole_numbers_stay_whole_in_ascii(tmp_path: Path) -> None:
    lines = "".join(f"{x} {y} {z} {k * 1_000_000}\n" for k, (x, y, z, _) in enumerate(SCAN.tolist()))
    (tmp_path / "a.pcd").write_text("FIELDS x y z t\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
                                    f"WIDTH {len(SCAN)}\nHEIGHT 1\nPOINTS {len(SCAN)}\nDATA ascii\n{lines}")
    (tmp_path / "a.ply").write_text(f"ply\nformat ascii 1.0\nelement vertex {len(SCAN)}\nproperty float x\n"
                                    f"property float y\nproperty float z\nproperty uint t\nend_header\n{lines}")
    for ending in ("pcd", "ply"):
        assert np.allclose(read_cloud(tmp_path / f"a.{ending}").time, 1e-3 * np.arange(len(SCAN)))


@pytest.mark.parametrize("name", CLOUDS)
def test_a_truncated_cloud_is_refused(tmp_path: Path, name: str) -> None:
    path = write_cloud(tmp_path, name)
    whole = path.read_bytes()
    body = whole.find(b"DATA") + 10 if name.endswith("pcd") else whole.find(b"end_header") + 11 if "ply" in name else 0
    for size in {0, 1, body // 2, body, (len(whole) + body) // 2 | 1, len(whole) - 40}:
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="cloud"):
            read_cloud(path)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(CLOUDS), cut=st.floats(0, 1), changes=st.lists(st.tuples(st.floats(0, 1), st.binary(
    min_size=1, max_size=4)), max_size=4))
def test_a_damaged_cloud_is_a_cloud_or_an_input_error(tmp_path_factory, name: str, cut: float, changes: list) -> None:
    path = write_cloud(tmp_path_factory.mktemp("fuzz"), name)
    data = bytearray(path.read_bytes())
    for place, new in changes:
        at = int(place * (len(data) - 1))
        data[at:at + len(new)] = new
    path.write_bytes(data[:int(cut * len(data))] if cut < 0.5 else data)
    try:
        cloud = read_cloud(path)
    except InputError:
        return
    assert len(cloud) > 0 and np.isfinite(cloud.xyz).all()
    assert cloud.intensity is None or ((cloud.intensity >= 0) & (cloud.intensity <= 1)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"\0", b"abc", b"abcabcabc", b"\xff" * 40, bytes(range(256))]), max_size=30))
def test_lzf_unpacks_what_was_packed(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert lzf_decompress(lzf_compress(data), len(data)) == data
    assert lzf_decompress(lzf_compress(data), len(data) + 1) is None


def test_lzf_of_a_known_stream() -> None:
    # 'a', then a copy of 3 from distance 1 (length code 1), then a long copy of 9 + 1 from distance 4.
    assert lzf_decompress(b"\x00a\x20\x00\xe0\x01\x03", 14) == b"a" * 14
    for damaged in (b"\x20\x05", b"\x00a\x20", b"\xe0\x01", b"\x1fab"):
        assert lzf_decompress(damaged, 14) is None


def test_nan_inf_and_origin_points_are_dropped_with_their_intensity(tmp_path: Path) -> None:
    table = SCAN.copy()
    table[3, 0], table[5, 1], table[7, :3] = np.nan, np.inf, 0
    table[9, 2], table[11, 3] = -np.inf, np.nan
    (tmp_path / "cloud.bin").write_bytes(table.tobytes())
    cloud = read_cloud(tmp_path / "cloud.bin")
    kept = np.delete(SCAN, [3, 5, 7, 9], axis=0)
    assert cloud.dropped == 4 and np.array_equal(cloud.xyz, kept[:, :3])
    expected = kept[:, 3].copy()
    expected[7] = 0  # row 11 of the file: its intensity was NaN
    assert np.allclose(cloud.intensity, expected)


@pytest.mark.parametrize("table", [np.full((5, 4), np.nan), np.full((5, 4), np.inf), np.zeros((5, 4)), np.zeros((0, 4)),
                                   np.full((5, 4), 1e300), np.ones((5, 2)), np.ones(5), np.array([["x"] * 4] * 3)])
def test_a_cloud_without_a_usable_point_is_refused(tmp_path: Path, table: np.ndarray) -> None:
    np.save(tmp_path / "cloud.npy", table)
    with pytest.raises(InputError, match=r"cloud\.npy"):
        read_cloud(tmp_path / "cloud.npy")


def test_records_have_their_fields_in_any_case(tmp_path: Path) -> None:
    table = np.zeros(3, dtype=[("X", "<f4"), ("Y", "<f4"), ("Z", "<f4"), ("Intensity", "<f4")])
    for name, value in (("X", 1.0), ("Y", 2.0), ("Z", 3.0), ("Intensity", 0.5)):
        table[name] = value
    np.save(tmp_path / "cloud.npy", table)
    cloud = read_cloud(tmp_path / "cloud.npy")
    assert np.array_equal(cloud.xyz, [[1.0, 2.0, 3.0]] * 3) and cloud.intensity is not None


@pytest.mark.parametrize("table", [
    np.zeros(3, dtype=[("a", "<f4"), ("b", "<f4")]), np.zeros((), dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4")]),
    np.zeros(3, dtype=[("x", "<f4", (2,)), ("y", "<f4"), ("z", "<f4")])], ids=["no x", "one record", "subarray"])
def test_records_that_are_no_points_are_refused(tmp_path: Path, table: np.ndarray) -> None:
    np.save(tmp_path / "cloud.npy", table)
    with pytest.raises(InputError, match=r"cloud\.npy"):
        read_cloud(tmp_path / "cloud.npy")


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "cloud.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="plain numbers"):
        read_cloud(tmp_path / "cloud.npy")


@pytest.mark.parametrize("fields", ["x y", "x y z z", "a b c"])
def test_pcd_without_coordinates_is_refused(tmp_path: Path, fields: str) -> None:
    n = len(fields.split())
    (tmp_path / "cloud.pcd").write_text(f"FIELDS {fields}\nSIZE{' 4' * n}\nTYPE{' F' * n}\nWIDTH 1\nHEIGHT 1\n"
                                        f"POINTS 1\nDATA ascii\n{'1 ' * n}\n")
    with pytest.raises(InputError, match="x, y, z"):
        read_cloud(tmp_path / "cloud.pcd")


@pytest.mark.parametrize("line", ["POINTS 999999999", "POINTS -1", "POINTS x", "SIZE 4 4 4", "TYPE F F F U Q",
                                  "DATA zip", "COUNT 1 1 1 4 99999999999999999999", "SIZE 4 4 4 1 3"])
def test_hostile_pcd_headers(tmp_path: Path, line: str) -> None:
    key = line.split()[0]
    text = b"\n".join(line.encode() if part.startswith(key.encode()) else part
                      for part in pcd_bytes("binary").split(b"\n", 10))
    (tmp_path / "cloud.pcd").write_bytes(text)
    with pytest.raises(InputError, match=r"cloud\.pcd"):
        read_cloud(tmp_path / "cloud.pcd")


def test_intensities_of_12_and_16_bits_are_scaled_and_not_cut() -> None:
    cloud = PointCloud.from_arrays(np.ones((3, 3)), np.array([0.0, 1000.0, 4000.0]))
    assert np.allclose(cloud.intensity, [0, 0.25, 1.0])


def test_numbers_that_can_be_no_rows_are_none() -> None:
    columns = {axis: np.arange(1, 5, dtype=np.float32) for axis in "xyz"}
    for row in (-1, 70_000):
        assert cloud_from_columns(columns | {"ring": np.array([0, 1, 2, row])}, "here").ring is None


def test_what_stands_before_the_vertices_is_passed_over(tmp_path: Path) -> None:
    header = (b"ply\nformat binary_little_endian 1.0\nelement sensor 1\nproperty double a\nelement vertex 2\n"
              b"property float x\nproperty float y\nproperty float z\nend_header\n")
    (tmp_path / "a.ply").write_bytes(header + struct.pack("<d6f", 7.0, 1, 2, 3, 4, 5, 6))
    assert np.allclose(read_cloud(tmp_path / "a.ply").xyz, [[1, 2, 3], [4, 5, 6]])
