"""The form in which every data set arrives: NumPy arrays with what is needed to read them.

May import NumPy and nothing of signdyn above types.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8


class Dataset(NamedTuple):
    """A classification data set in memory, split in two; callers put the arrays on a device.

    Attributes:
        name: What :func:`signdyn.data.load` was asked for.
        description: One line: what it is, how large, in which units.
        x_train: Training inputs, flattened; pixels are raw in [0, 1], nothing is centered. Or
            pixels of uint8, from 0 to 255, if they were asked for.
        y_train: Training labels, from 0 to ``num_classes - 1``.
        x_test: Test inputs, in the units of ``x_train``.
        y_test: Test labels.
        num_classes: Number of classes K.
        input_shape: Shape of one input before flattening, such as (8, 8), for convolutions.
    """

    name: str
    description: str
    x_train: Float32[np.ndarray, "train feature"] | UInt8[np.ndarray, "train feature"]
    y_train: Int32[np.ndarray, " train"]
    x_test: Float32[np.ndarray, "test feature"] | UInt8[np.ndarray, "test feature"]
    y_test: Int32[np.ndarray, " test"]
    num_classes: int
    input_shape: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the content: arrays and classes, not the name or where it lay.

        Two runs used the same data, in the same form, if and only if their fingerprints agree:
        pixels of uint8 have another one than the same pixels in float32.
        """
        digest = hashlib.sha256(repr((self.num_classes, self.input_shape)).encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def in_float32(self) -> "Dataset":
        """Return the data set with pixels of uint8 divided by 255; others are as they were."""
        if self.x_train.dtype != np.uint8:
            return self
        x_train, x_test = (
            x.astype(np.float32) / np.float32(255) for x in (self.x_train, self.x_test)
        )
        return self._replace(x_train=x_train, x_test=x_test)
