"""Data sets that TensorFlow Datasets fetches, when it is asked to, and never else.

Whether a server answers is asked once, with a short patience: TFDS itself would try for minutes.
What was fetched is whole or absent, and its checksum is the one that TFDS has registered. May
import NumPy and nothing of signdyn above types; TFDS only when a function is called.
"""

import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from signdyn.data.arrays import first_line
from signdyn.data.checksums import known_to_tfds, registered
from signdyn.data.near import did_you_mean
from signdyn.data.prepared import silent
from signdyn.data.preparing import put_in_place
from signdyn.data.wanted import Wanted, find_prepared

PATIENCE = 10.0
"""Seconds that a server has for its first answer."""


def fetch_files(name: str, files: Sequence[str], folder: Path) -> None:
    """Have TFDS download the files of a data set into a folder.

    Args:
        name: Of the data set, in TFDS.
        files: Their names, among `signdyn.data.checksums.registered`.
        folder: Where to; made if missing.

    Raises:
        ValueError: If that cannot be done.
    """
    urls = {file: registered(name)[file].url for file in files}
    try:
        check_answer(next(iter(urls.values())))
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as scratch:
            import tensorflow_datasets as tfds

            with silent():
                manager = tfds.download.DownloadManager(
                    download_dir=scratch, dataset_name=name, force_checksums_validation=True
                )
                # one by one: of several at once, some go on writing when another one fails
                fetched: dict[str, Any] = {file: manager.download(urls[file]) for file in files}
            for file, path in fetched.items():
                os.replace(path, folder / file)
    except Exception as error:  # of many kinds, and all end here
        raise ValueError(f"{name}: cannot be downloaded ({_told(error)}).") from error


def prepare_with_tfds(wanted: Wanted, root: Path) -> None:
    """Have TFDS download a data set and prepare it in a folder, as array_record.

    Raises:
        ValueError: If that cannot be done, or not without TensorFlow.
    """
    try:
        import tensorflow_datasets as tfds

        def build(folder: Path) -> Any:
            return tfds.builder(str(wanted), data_dir=os.fspath(folder), file_format="array_record")

        with tempfile.TemporaryDirectory() as scratch, silent():
            builder = build(Path(scratch))
        url = next(iter(builder.url_infos or {}), None)
        if url is not None:
            check_answer(url)
        place = root / Path(builder.data_dir).relative_to(scratch)

        def make(scratch: Path) -> Path:
            with silent():
                builder = build(scratch)
                builder.download_and_prepare(
                    download_dir=os.fspath(scratch / "downloads"),
                    download_config=tfds.download.DownloadConfig(try_download_gcs=False),
                )
            return Path(builder.data_dir)

        exact = wanted._replace(version=place.name)
        put_in_place(root, place, make, lambda: find_prepared(exact, (root,)) == place)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"tfds:{wanted}: TensorFlow Datasets needs {error.name} to prepare it; prepare it "
            "where that is installed, with file_format='array_record', and name the folder."
        ) from error
    except Exception as error:  # of many kinds, and all end here
        if type(error).__name__ == "DatasetNotFoundError":
            hint = did_you_mean(wanted.name, known_to_tfds(), "tfds:")
            raise ValueError(
                f"tfds:{wanted}: TensorFlow Datasets has no such data set{hint}."
            ) from error
        raise ValueError(
            f"tfds:{wanted}: cannot be downloaded and prepared ({_told(error)})."
        ) from error


def check_answer(url: str) -> None:
    """Raise OSError unless what is at ``url`` can be had."""
    request = urllib.request.Request(url, headers={"Range": "bytes=0-0"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass
    except urllib.error.HTTPError as error:
        raise OSError(f"{url} answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"{url} cannot be reached: {error.reason}") from error
    except TimeoutError as error:
        raise OSError(f"{url} does not answer within {PATIENCE:g} s") from error


def _told(error: Exception) -> str:
    if type(error).__name__ == "NonMatchingChecksumError":  # of a long text, and a path that ends
        return "what was sent has another checksum than TFDS has registered"
    text = first_line(error)
    return text if len(text) <= 200 else f"{text[:197]}..."
