"""tfds:<name>: any classification that TFDS has prepared, read without TensorFlow."""

import json
import logging
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from signdyn.data import load
from signdyn.data.wanted import Wanted, find_prepared, parse_wanted

FEATURES = tfds.features
IMAGES = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 3), dtype=np.uint8)
IMAGE = FEATURES.Image(shape=(6, 5, 3))
CLASS = FEATURES.ClassLabel(names=["no", "yes", "maybe"])
WHOLE = FEATURES.Tensor(shape=(), dtype=np.int64)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Let no folder of the user's be searched."""
    monkeypatch.setenv("SIGNDYN_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def example(place):
    return {"image": Image.fromarray(IMAGES[place]), "label": place % 3}


def prepare(
    folder,
    features,
    *,
    make=example,
    splits=("train", "test"),
    keys=("image", "label"),
    version="1.0.0",
    config=None,
    number=7,
    file_format="array_record",
):
    """Prepare a data set called tiny, whose examples are ``make(0), make(1), ...``."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []
        url_infos = None

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=FEATURES.FeaturesDict(features),
                supervised_keys=keys,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in splits}

        def _generate_examples(self):
            yield from ((place, make(place)) for place in range(number))

    builder = Tiny(data_dir=folder, file_format=file_format)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    return folder


def test_images_and_classes_come_as_they_were_stored(tmp_path):
    prepare(tmp_path, {"image": IMAGE, "label": CLASS})
    data = load("tfds:tiny", data_dir=tmp_path, keep_uint8=True)
    np.testing.assert_array_equal(data.x_train, IMAGES[:7].reshape(7, -1))
    assert data.y_test.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert (data.name, data.num_classes, data.input_shape) == ("tfds:tiny", 3, (6, 5, 3))
    floats = load("tfds:tiny", data_dir=tmp_path, num_train=2)
    expected = IMAGES[:2].reshape(2, -1).astype(np.float32) / np.float32(255)
    assert floats.x_train.tobytes() == expected.tobytes()
    assert "tensorflow" not in sys.modules


def test_the_features_are_those_that_supervised_keys_name(tmp_path):
    features = {
        "x": FEATURES.Tensor(shape=(4,), dtype=np.float32),
        "kind": WHOLE,
        "note": FEATURES.Text(),
    }

    def make(place):
        return {"x": np.full(4, place / 2, np.float32), "kind": place % 2, "note": "n"}

    prepare(tmp_path, features, make=make, keys=("x", "kind"))
    data = load("tfds:tiny", data_dir=tmp_path)
    np.testing.assert_array_equal(data.x_train[:, 3], np.arange(7) / 2)
    assert (data.num_classes, data.x_train.dtype) == (2, np.float32)


def test_more_than_a_thousand_examples_keep_their_order(tmp_path):
    features = {"image": FEATURES.Tensor(shape=(1,), dtype=np.float32), "label": WHOLE}

    def make(place):
        return {"image": np.float32([place]), "label": place % 2}

    prepare(tmp_path, features, make=make, number=2001)
    np.testing.assert_array_equal(
        load("tfds:tiny", data_dir=tmp_path).x_test[:, 0], np.arange(2001)
    )


VECTOR = FEATURES.Tensor(shape=(2,), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"splits": ("train",)}, "train and test are needed, and test is not among train"),
        ({"splits": ("validation",)}, "train and test is not among validation"),
        ({"features": {"a": VECTOR, "b": WHOLE}, "keys": None}, "its features are a, b"),
        ({"features": {"image": VECTOR, "label": VECTOR}}, "label must be a class or one integer"),
        ({"features": {"image": CLASS, "label": CLASS}}, "input image must be an Image or a Ten"),
        (
            {"features": {"image": FEATURES.Image(shape=(None, None, 3)), "label": CLASS}},
            r"inputs must have one shape, got image of shape \(None, None, 3\)",
        ),
        ({"features": {"image": WHOLE, "label": CLASS}}, r"one shape, got image of shape \(\)"),
        ({"number": 2, "features": {"image": VECTOR, "label": WHOLE}}, "the label 0 only"),
    ],
)
def test_other_features_are_refused_in_one_sentence(tmp_path, options, said):
    features = options.pop("features", {"image": IMAGE, "label": CLASS})

    def make(place):
        made = {}
        for name, feature in features.items():
            if isinstance(feature, FEATURES.Image):
                made[name] = Image.fromarray(IMAGES[place])
            elif feature is VECTOR:
                made[name] = np.float32([place, 1])
            else:
                made[name] = 0
        return made

    prepare(tmp_path, features, make=make, **options)
    with pytest.raises(ValueError, match=rf"^tfds:tiny: cannot read [^\n]*{said}[^\n]*\.$"):
        load("tfds:tiny", data_dir=tmp_path)


def test_the_format_that_needs_tensorflow_is_named(tmp_path):
    prepare(tmp_path, {"image": IMAGE, "label": CLASS})
    path = tmp_path / "tiny" / "1.0.0" / "dataset_info.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "fileFormat": "tfrecord"}))
    with pytest.raises(ValueError, match="format tfrecord, which needs TensorFlow; prepare it wi"):
        load("tfds:tiny", data_dir=tmp_path)


@pytest.mark.parametrize("pattern", ["*train*", "dataset_info.json", "features.json"])
def test_damaged_files_are_one_sentence(tmp_path, pattern):
    prepare(tmp_path, {"image": IMAGE, "label": CLASS})
    (path,) = (tmp_path / "tiny" / "1.0.0").glob(pattern)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"^tfds:tiny: cannot read [^\n]*\.$"):
        load("tfds:tiny", data_dir=tmp_path)


def test_the_latest_version_is_taken_unless_one_is_named(tmp_path):
    for version in ("1.9.0", "1.10.0"):
        prepare(tmp_path, {"image": IMAGE, "label": CLASS}, version=version)
    found = find_prepared(Wanted("tiny"), (tmp_path,))
    assert found == tmp_path / "tiny" / "1.10.0"
    named = find_prepared(parse_wanted("tiny:1.9.0"), (tmp_path / "no", tmp_path))
    assert named == tmp_path / "tiny" / "1.9.0"
    assert find_prepared(parse_wanted("tiny:2.0.0"), (tmp_path,)) is None


def test_a_configuration_must_be_named_where_there_are_several(tmp_path):
    folder = prepare(tmp_path, {"image": IMAGE, "label": CLASS}, config="one")
    assert load("tfds:tiny", data_dir=folder).num_classes == 3
    shutil.copytree(tmp_path / "tiny" / "one", tmp_path / "tiny" / "other")
    with pytest.raises(ValueError, match="name one as tfds:tiny/<config>, of one, other"):
        load("tfds:tiny", data_dir=folder)
    assert load("tfds:tiny/one", data_dir=folder).num_classes == 3


@pytest.mark.parametrize("text", ["", "a b", "../x", "mnist:3", "a/b/c", "\n"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ValueError, match=r"^tfds:[^\n]*a name is expected[^\n]*\.$"):
        load(f"tfds:{text}")


@pytest.mark.parametrize(
    ("download", "said"),
    [(False, r"not prepared in any of .*did you mean 'tfds:kmnist'"), (True, "no such data set")],
)
def test_an_unknown_set_is_told_at_once_with_the_nearest_name(download, said):
    begun = time.monotonic()
    with pytest.raises(ValueError, match=said):
        load("tfds:kmnst", download=download)
    assert time.monotonic() - begun < 60  # TFDS would try for 200 s


def test_several_threads_may_read_at_once_and_nothing_is_printed(tmp_path, capfd):
    prepare(tmp_path, {"image": IMAGE, "label": CLASS})
    capfd.readouterr()
    stdout, stderr, filters = sys.stdout, sys.stderr, list(logging.getLogger("absl").filters)
    with ThreadPoolExecutor(max_workers=8) as pool:
        many = list(pool.map(lambda _: load("tfds:tiny", data_dir=tmp_path), range(32)))
    assert {data.fingerprint for data in many} == {many[0].fingerprint}
    assert (sys.stdout, sys.stderr) == (stdout, stderr)
    assert logging.getLogger("absl").filters == filters
    assert capfd.readouterr() == ("", "")
