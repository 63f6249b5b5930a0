"""PCD files (the Point Cloud Library's): ascii, binary and binary_compressed, as named columns.

Layout after https://pointclouds.org/documentation/tutorials/pcd_file_format.html; the compression is LibLZF.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from .text_table import as_type, read_rows

KINDS = {"F": "f", "U": "u", "I": "i"}
MAX_HEADER = 65536  # bytes in which the DATA line must stand


def read_pcd(path: Path) -> dict[str, np.ndarray]:
    """Columns of N numbers by field name; fields of more than one number per point and padding are left out.

    Raises InputError for a header that is incomplete or contradictory, and for a truncated body.
    """
    data = path.read_bytes()
    header, start = _header(data, path)
    dtype, points = _dtype(header, path), _count(header, path)
    encoding = header["DATA"][0]
    if encoding == "ascii":
        return _ascii(data[start:], dtype, points, path)
    if encoding == "binary":
        return _rows(data[start:], dtype, points, path)
    if encoding == "binary_compressed":
        return _compressed(data[start:], dtype, points, path)
    raise InputError(f"{path}: DATA {encoding} is no PCD encoding; write ascii, binary or binary_compressed")


def _header(data: bytes, path: Path) -> tuple[dict[str, list[str]], int]:
    """The header's lines by key, and where the body starts."""
    header: dict[str, list[str]] = {}
    at = 0
    while at < min(len(data), MAX_HEADER):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        words = data[at:end].decode("latin-1").split()
        at = end + 1
        if words and not words[0].startswith("#"):
            header[words[0].upper()] = words[1:]
            if words[0].upper() == "DATA":
                break
    missing = [key for key in ("FIELDS", "SIZE", "TYPE", "DATA") if not header.get(key)]
    if missing:
        raise InputError(f"{path} is no PCD file or is truncated: its header has no {', '.join(missing)}")
    return header, at


def _dtype(header: dict[str, list[str]], path: Path) -> np.dtype:
    """The record of one point; names made unique, since padding fields share the name `_`."""
    names, sizes, kinds = header["FIELDS"], header["SIZE"], header["TYPE"]
    counts = header.get("COUNT") or ["1"] * len(names)
    if not len(names) == len(sizes) == len(kinds) == len(counts):
        raise InputError(f"{path}: FIELDS, SIZE, TYPE and COUNT of the PCD header differ in length; write it again")
    record = []
    for k, (name, size, kind, count) in enumerate(zip(names, sizes, kinds, counts, strict=True)):
        unique = name if names.count(name) == 1 else f"{name}#{k}"
        width = int(count) if count.isdecimal() else 0
        try:
            record.append((unique, f"<{KINDS[kind]}{int(size)}", (width,) if width != 1 else ()))
        except (KeyError, ValueError) as error:
            raise InputError(f"{path}: PCD field {name} has TYPE {kind} SIZE {size}, which does not exist") from error
    try:
        return np.dtype(record)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: the PCD header describes no possible point record; write it again") from error


def _count(header: dict[str, list[str]], path: Path) -> int:
    words = header.get("POINTS") or header.get("WIDTH", []) + header.get("HEIGHT", [])
    if not words or not all(word.isdecimal() and len(word) < 10 for word in words):
        raise InputError(f"{path}: the PCD header has no usable number of POINTS; write it again")
    return int(np.prod([int(word) for word in words]))


def _ascii(body: bytes, dtype: np.dtype, points: int, path: Path) -> dict[str, np.ndarray]:
    widths = {name: int(np.prod(dtype[name].shape, dtype=int)) for name in dtype.names or ()}
    table = read_rows(body, points, sum(widths.values()), path)
    offsets = dict(zip(widths, np.cumsum([0, *widths.values()]), strict=False))
    return {name: as_type(table[:, offsets[name]], dtype[name]) for name, width in widths.items() if width == 1}


def _rows(body: bytes, dtype: np.dtype, points: int, path: Path) -> dict[str, np.ndarray]:
    if len(body) < points * dtype.itemsize:
        raise InputError(f"{path} is truncated: {points} points need {points * dtype.itemsize} bytes, "
                         f"{len(body)} are there")
    table = np.frombuffer(body, dtype, count=points)
    return {name: table[name] for name in dtype.names or () if dtype[name].shape == ()}


def _compressed(body: bytes, dtype: np.dtype, points: int, path: Path) -> dict[str, np.ndarray]:
    """Two uint32 sizes, then the LZF stream of the columns one after the other."""
    packed, size = (int.from_bytes(body[k:k + 4], "little") for k in (0, 4))
    if len(body) < 8 + packed or size != points * dtype.itemsize:
        raise InputError(f"{path} is truncated or damaged: its compressed part is not what the header tells")
    plain = lzf_decompress(body[8:8 + packed], size) if size else b""
    if plain is None:
        raise InputError(f"{path} is damaged: its compressed part cannot be unpacked; write it again")
    columns, at = {}, 0
    for name in dtype.names or ():
        field = dtype[name]
        if field.shape == ():
            columns[name] = np.frombuffer(plain, field, count=points, offset=at)
        at += points * field.itemsize
    return columns


def lzf_decompress(data: bytes, size: int) -> bytes | None:
    """Unpack an LZF stream to exactly `size` bytes; None where it is damaged.

    A control byte below 32 announces that many + 1 plain bytes. Otherwise its upper three bits are the length - 2 of a
    copy (7: one more byte adds to it) and its lower five, with the next byte, the distance - 1 back in the output.
    """
    out = bytearray()
    at, end = 0, len(data)
    while at < end and len(out) <= size:
        control = data[at]
        at += 1
        if control < 32:
            out += data[at:at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        needed = 2 if length == 7 else 1
        if at + needed > end:
            return None
        length += 2 + (data[at] if needed == 2 else 0)
        start = len(out) - ((control & 31) << 8) - data[at + needed - 1] - 1
        at += needed
        if start < 0:
            return None
        # A copy may overlap what it writes: then the bytes available repeat.
        chunk = bytes(out[start:start + length])
        out += (chunk * (length // len(chunk) + 1))[:length]
    return bytes(out) if len(out) == size else None
