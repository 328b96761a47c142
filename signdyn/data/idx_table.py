"""The data sets that are four idx files: what is known of each.

May import nothing of signdyn.
"""

import types
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Names of the files, unpacked; x_train, y_train, x_test, y_test."""


class IdxSet(NamedTuple):
    """A data set of four idx files.

    Attributes:
        description: One line.
        contents: SHA-256, in hex, of every file of `STEMS`, unpacked.
        mark: What stands before "idx" in the names that the original gzip headers tell.
        times: That they tell, seconds since 1970, in the order of `STEMS`.
        subfolder: Where torchvision keeps the files, below its folder.
        system: Where a package of the system puts them; None without.
        package: Name of that package in Debian.
    """

    description: str
    contents: tuple[str, str, str, str]
    mark: str
    times: tuple[int, int, int, int]
    subfolder: str
    system: Path | None = None
    package: str | None = None


IDX_SETS: Mapping[str, IdxSet] = types.MappingProxyType(
    {
        "fashion_mnist": IdxSet(
            "28x28 images of clothes, 10 classes (Fashion-MNIST)",
            (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            "-",
            (1504176606, 1504176606, 1504176627, 1504176627),
            "FashionMNIST/raw",
            Path("/usr/share/datasets/fashion-mnist"),
            "dataset-fashion-mnist",
        ),
        "mnist": IdxSet(
            "28x28 images of handwritten digits, 10 classes (MNIST)",
            (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            ".",
            (848331386, 848331398, 885827245, 885827268),
            "MNIST/raw",
        ),
    }
)
"""The data sets of this kind, by the name that TFDS has for them."""
