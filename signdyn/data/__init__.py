"""Data sets by name, as NumPy arrays: ``load("digits")``."""

from signdyn.data.dataset import Dataset
from signdyn.data.loading import DATASETS, load

__all__ = ["DATASETS", "Dataset", "load"]
