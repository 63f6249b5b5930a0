"""PLY files: the vertices as named columns, ascii or binary of either byte order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from .text_table import as_type, read_rows

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}
ORDER = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
MAX_HEADER = 65536  # bytes in which end_header must stand


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)  # (name, numpy type); a list has type ""


def read_ply(path: Path) -> dict[str, np.ndarray]:
    """Columns of N numbers by property name, of the element `vertex`; faces and other elements are passed over.

    Raises InputError for a file that is no PLY, has no vertices, or ends before its last vertex.
    """
    data = path.read_bytes()
    encoding, elements, start = _header(data, path)
    before: list[_Element] = []
    for element in elements:
        if element.name == "vertex":
            break
        before.append(element)
    else:
        raise InputError(f"{path}: the PLY file has no element vertex; give a cloud")
    if any(not kind for each in [*before, element] for _, kind in each.properties):
        raise InputError(f"{path}: a list stands among or before the vertices of the PLY file; write them first")
    if encoding == "ascii":
        return _ascii(data[start:], element, sum(each.count for each in before), path)
    skip = sum(each.count * _dtype(each, encoding, path).itemsize for each in before)
    return _binary(data[start + skip:], element, _dtype(element, encoding, path), path)


def _header(data: bytes, path: Path) -> tuple[str, list[_Element], int]:
    """Encoding, elements, and where the body starts."""
    end = data.find(b"end_header", 0, MAX_HEADER)
    newline = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or newline < 0:
        raise InputError(f"{path} is no PLY file or is truncated in its header")
    encoding, elements = "", list[_Element]()
    for line in data[:end].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["format"] and len(words) > 1:
            encoding = words[1]
        elif words[:1] == ["element"] and len(words) == 3 and words[2].isdecimal() and len(words[2]) < 10:
            elements.append(_Element(words[1], int(words[2])))
        elif words[:1] == ["property"] and elements and len(words) >= 3:
            elements[-1].properties.append((words[-1], "" if words[1] == "list" else TYPES.get(words[1], "?")))
        elif words[:1] in (["element"], ["property"]):
            raise InputError(f"{path}: the PLY header line {line.strip()!r} cannot be understood; write it again")
    if encoding not in ORDER:
        raise InputError(f"{path}: the PLY format {encoding or 'is missing and'} is unknown; write ascii or binary")
    return encoding, elements, newline + 1


def _dtype(element: _Element, encoding: str, path: Path) -> np.dtype:
    try:
        return np.dtype([(name, ORDER[encoding] + kind) for name, kind in element.properties])
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the properties of the PLY element {element.name} are repeated or of an unknown type"
                         ) from error


def _ascii(body: bytes, vertex: _Element, skip: int, path: Path) -> dict[str, np.ndarray]:
    table = read_rows(body, vertex.count, len(vertex.properties), path, skip)
    return {name: as_type(table[:, k], np.dtype(kind)) for k, (name, kind) in enumerate(vertex.properties)}


def _binary(body: bytes, vertex: _Element, dtype: np.dtype, path: Path) -> dict[str, np.ndarray]:
    needed = vertex.count * dtype.itemsize
    if len(body) < needed:
        raise InputError(f"{path} is truncated: {vertex.count} vertices need {needed} bytes, {len(body)} are there")
    table = np.frombuffer(body, dtype, count=vertex.count)
    return {name: table[name] for name in dtype.names or ()}
