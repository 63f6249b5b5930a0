"""Read an image file, and notice when it is only a part of one."""

import zlib
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_image(path: str | Path) -> np.ndarray:
    """The file's pixels as stored, (H, W, 3) uint8 RGB; grey images are repeated over the three channels, those of
    more bits made 8 as `to_8_bits` does.

    An orientation tag is ignored, since intrinsics belong to the stored pixels. Raises InputError for a file that is
    missing, unreadable, no image, or truncated.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the image {path}: {error.strerror or error}; check the path and its permissions"
                         ) from error
    return decode_image(data, str(path))


def decode_image(data: bytes, where: str) -> np.ndarray:
    """The pixels of an encoded image (PNG, JPEG, ...), (H, W, 3) uint8 RGB; `where` names it in an InputError."""
    # OpenCV fills the missing part of a truncated image with grey and says nothing, so the file is checked before.
    if not _is_complete(data):
        raise InputError(f"the image {where} is truncated or damaged; send, copy or download it again")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8),
                           cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        bgr = None
    if bgr is None or bgr.dtype.kind != "u":
        raise InputError(f"{where} is not an image that can be decoded; give a PNG or a JPEG")
    return cv2.cvtColor(to_8_bits(bgr), cv2.COLOR_BGR2RGB)


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Those of more bits shifted so that the brightest fits: cameras of 10, 12 and 16 bits all send 16."""
    if pixels.dtype.itemsize == 1:
        return pixels
    shift = max(0, int(pixels.max(initial=0)).bit_length() - 8)
    return (pixels >> shift).astype(np.uint8)


def _is_complete(data: bytes) -> bool:
    """False for a PNG or JPEG that ends early; other formats are left to the decoder."""
    if data.startswith(PNG_SIGNATURE):
        return _png_is_complete(data)
    if data.startswith(JPEG_START):
        # Inside a scan 0xFF is always followed by 0x00 or a restart marker: an end marker after the last scan is real.
        return data.rfind(JPEG_END) > data.rfind(JPEG_SCAN) > 0
    return True


def _png_is_complete(data: bytes) -> bool:
    """Walk the chunks (length, type, content, CRC-32) up to IEND and compare every checksum."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at:at + 4], "big")
        end = at + 8 + length
        if zlib.crc32(data[at + 4:end]) != int.from_bytes(data[end:end + 4], "big") or end + 4 > len(data):
            return False
        if data[at + 4:at + 8] == b"IEND":
            return True
        at = end + 4
    return False
