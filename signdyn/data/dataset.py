"""The form in which every data set arrives: NumPy arrays with what is needed to read them.

May import NumPy and nothing of signdyn above types.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32


class Dataset(NamedTuple):
    """A classification data set in memory, split in two; callers put the arrays on a device.

    Attributes:
        name: What :func:`signdyn.data.load` was asked for.
        description: One line: what it is, how large, in which units.
        x_train: Training inputs, flattened; pixels are raw in [0, 1], nothing is centered.
        y_train: Training labels, from 0 to ``num_classes - 1``.
        x_test: Test inputs, in the units of ``x_train``.
        y_test: Test labels.
        num_classes: Number of classes K.
        input_shape: Shape of one input before flattening, such as (8, 8), for convolutions.
    """

    name: str
    description: str
    x_train: Float32[np.ndarray, "train feature"]
    y_train: Int32[np.ndarray, " train"]
    x_test: Float32[np.ndarray, "test feature"]
    y_test: Int32[np.ndarray, " test"]
    num_classes: int
    input_shape: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the content: arrays and classes, not the name or where it lay.

        Two runs used the same data if and only if their fingerprints agree.
        """
        digest = hashlib.sha256(repr((self.num_classes, self.input_shape)).encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
