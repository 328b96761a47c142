"""tfds:<name> with download: prepared whole or not at all, and one sentence for what cannot be."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from signdyn.data import fetching, load


class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A stand-in for a builder of TFDS's; ``fail`` is called before it makes examples."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None
    fail = staticmethod(lambda: None)
    prepared = 0

    def _info(self):
        features = {
            "image": tfds.features.Tensor(shape=(2,), dtype=np.float32),
            "label": tfds.features.Tensor(shape=(), dtype=np.int64),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        self.fail()
        type(self).prepared += 1
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        for place in range(4):
            yield place, {"image": np.float32([place, 1]), "label": place % 2}


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """Let TFDS know the tiny one, and let no folder of the user's be searched."""
    monkeypatch.setenv("SIGNDYN_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Tiny, "prepared", 0)

    def builder(name, *, data_dir, file_format):
        assert name == "tiny"
        return Tiny(data_dir=data_dir, file_format=file_format)

    monkeypatch.setattr(tfds, "builder", builder)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_is_prepared_once_is_read_ever_after(tmp_path, capfd):
    with pytest.raises(ValueError, match="tfds:tiny: it is not prepared in any of"):
        load("tfds:tiny")
    first = load("tfds:tiny", download=True)
    assert sorted(first.x_train[:, 0]) == [0, 1, 2, 3]
    assert load("tfds:tiny").fingerprint == load("tfds:tiny", download=True).fingerprint
    assert Tiny.prepared == 1
    assert {path.split("/")[:2] == ["tiny", "1.0.0"] for path in files_in(tmp_path / "cache")} == {
        True
    }
    assert capfd.readouterr() == ("", "")


def test_it_is_prepared_in_the_folder_that_is_named(tmp_path):
    load("tfds:tiny", data_dir=tmp_path / "mine", download=True)
    assert (tmp_path / "mine" / "tiny" / "1.0.0" / "dataset_info.json").is_file()
    assert not (tmp_path / "cache").exists()


def needs_tensorflow():
    raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")


def breaks():
    raise RuntimeError("the server said no\nand more")


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (needs_tensorflow, "TensorFlow Datasets needs tensorflow to prepare it; prepare it where"),
        (breaks, r"cannot be downloaded and prepared \(the server said no\)"),
    ],
)
def test_what_cannot_be_prepared_is_one_sentence_and_leaves_nothing(
    tmp_path, monkeypatch, fail, said
):
    monkeypatch.setattr(Tiny, "fail", staticmethod(fail))
    with pytest.raises(ValueError, match=rf"^tfds:tiny: [^\n]*{said}[^\n]*\.$"):
        load("tfds:tiny", download=True)
    assert files_in(tmp_path) == []


def test_an_interrupted_preparation_is_done_again(tmp_path, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(Tiny, "fail", staticmethod(interrupt))
    with pytest.raises(KeyboardInterrupt):
        load("tfds:tiny", download=True)
    monkeypatch.setattr(Tiny, "fail", staticmethod(lambda: None))
    assert len(load("tfds:tiny", download=True).x_train) == 4


def test_a_server_is_asked_before_tfds_tries_for_minutes(monkeypatch):
    monkeypatch.setattr(Tiny, "url_infos", {"http://127.0.0.1:9/x": None})
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9/x cannot be reached"):
        load("tfds:tiny", download=True)
    assert Tiny.prepared == 0


def test_two_that_prepare_at_once_both_have_it(tmp_path, monkeypatch):
    from signdyn.data import preparing

    flush = preparing.flush_to_disk

    def another_is_faster(folder):
        monkeypatch.setattr(preparing, "flush_to_disk", flush)
        load("tfds:tiny", download=True)
        flush(folder)

    monkeypatch.setattr(preparing, "flush_to_disk", another_is_faster)
    assert len(load("tfds:tiny", download=True).x_train) == 4
    assert Tiny.prepared == 2
    assert [path.name for path in Path(tmp_path / "cache").iterdir()] == ["tiny"]


def test_patience_with_a_server_is_short():
    assert fetching.PATIENCE <= 10
