"""The idx format of MNIST and its kin: a header, then unsigned bytes.

    byte 0, 1    zero
    byte 2       8, for unsigned bytes
    byte 3       number of axes
    4 a axis     its length, most significant byte first
    then         the entries, the last axis fastest

May import NumPy and nothing of signdyn.
"""

import gzip
import zlib

import numpy as np
from jaxtyping import UInt8

GZIP = b"\x1f\x8b"
"""What a gzip file starts with."""


def parse_idx(content: bytes) -> UInt8[np.ndarray, "..."]:
    """Return the array that an idx file holds, which is not copied and cannot be written to.

    Args:
        content: Of the file.

    Raises:
        ValueError: If it is no idx file of unsigned bytes, or is longer or shorter than it says.

    Example:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 9])).tolist()
        [5, 9]
    """
    start = 4 + 4 * content[3] if len(content) >= 4 else 4
    if len(content) < start or content[:3] != b"\0\0\x08":
        raise ValueError("this is no idx file of unsigned bytes")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected, held = int(np.prod(shape, dtype=object)), len(content) - start
    if held != expected:
        raise ValueError(f"its header says {expected} bytes of shape {shape}, but it holds {held}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx_bytes(array: UInt8[np.ndarray, "..."]) -> bytes:
    """Return the idx file that holds an array.

    Example:
        >>> idx_bytes(np.array([5, 9], np.uint8)) == bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 9])
        True
    """
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + np.ascontiguousarray(array).tobytes()


def unpacked(content: bytes) -> bytes:
    """Return what a gzip file holds, and anything else as it is.

    Raises:
        ValueError: If it is cut off or damaged.
    """
    if not content.startswith(GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        told = str(error).splitlines()[0].rstrip(".") or type(error).__name__
        raise ValueError(f"it cannot be unpacked ({told})") from error
