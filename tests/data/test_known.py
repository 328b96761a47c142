"""fashion_mnist, mnist and cifar10: verified wherever they lie, and bitwise the same."""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import threading
import time
import types
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from signdyn.data import cifar, fetching, idx_sets, load
from signdyn.data.checksums import Registered, registered
from signdyn.data.idx import idx_bytes
from signdyn.data.idx_table import IDX_SETS, STEMS
from signdyn.data.places import data_folders

SYSTEM = IDX_SETS["fashion_mnist"].system
assert SYSTEM is not None
on_fashion_mnist = pytest.mark.skipif(
    not SYSTEM.is_dir(),
    reason="this test did not run: apt install dataset-fashion-mnist",
)

RNG = np.random.default_rng(0)
NUMBERS = (9, 5)
ARRAYS = [
    array
    for number in NUMBERS
    for array in (
        RNG.integers(0, 256, (number, 28, 28), dtype=np.uint8),
        RNG.permutation(np.arange(number, dtype=np.uint8) % 10),
    )
]
"""A small "mnist"."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Let no folder of the user's be searched."""
    monkeypatch.setenv("SIGNDYN_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def small(monkeypatch):
    """Let the small one be the known mnist."""
    contents = tuple(hashlib.sha256(idx_bytes(array)).hexdigest() for array in ARRAYS)
    sets = {**IDX_SETS, "mnist": IDX_SETS["mnist"]._replace(contents=contents)}
    monkeypatch.setattr(idx_sets, "IDX_SETS", types.MappingProxyType(sets))


def write_files(folder, *, packed=(True,) * 4, dotted=False):
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array, pack in zip(STEMS, ARRAYS, packed, strict=True):
        name = stem.replace("-idx", ".idx") if dotted else stem
        content = idx_bytes(array)
        if pack:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def check_small(data):
    x_train, y_train, x_test, y_test = ARRAYS
    np.testing.assert_array_equal(data.x_train, x_train.reshape(9, -1))
    np.testing.assert_array_equal(data.y_train, y_train)
    np.testing.assert_array_equal(data.x_test, x_test.reshape(5, -1))
    np.testing.assert_array_equal(data.y_test, y_test)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int32
    assert (data.num_classes, data.input_shape) == (10, (28, 28, 1))


@on_fashion_mnist
def test_all_of_fashion_mnist_is_read_from_debians_package():
    data = load("fashion_mnist", keep_uint8=True)
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 784), (10_000, 784))
    np.testing.assert_array_equal(np.bincount(data.y_train), np.full(10, 6000))
    np.testing.assert_array_equal(np.bincount(data.y_test), np.full(10, 1000))
    floats = load("fashion_mnist", num_train=1000)
    expected = data.x_train[:1000].astype(np.float32) / np.float32(255)
    assert floats.x_train.tobytes() == expected.tobytes()
    assert (float(floats.x_test.min()), float(floats.x_test.max())) == (0.0, 1.0)


@on_fashion_mnist
@pytest.mark.parametrize("place", range(4))
def test_debians_files_are_those_that_tfds_has_registered(place):
    packed = (SYSTEM / f"{STEMS[place]}.gz").read_bytes()
    assert idx_sets._is_registered("fashion_mnist", place, packed)
    assert not idx_sets._is_registered("fashion_mnist", place ^ 2, packed)
    assert not idx_sets._is_registered("fashion_mnist", place, packed[:-1] + b"\x77")
    # and this is what the checksums of the unpacked ones are taken from
    digest = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert digest == IDX_SETS["fashion_mnist"].contents[place]


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_tfds_registers_the_four_files(name):
    assert set(registered(name)) == {f"{stem}.gz" for stem in STEMS}
    assert cifar.ARCHIVE in registered("cifar10")


@pytest.mark.parametrize("packed", [(True,) * 4, (False,) * 4, (True, False, True, False)])
@pytest.mark.parametrize("dotted", [False, True])
def test_files_are_read_packed_or_not(small, tmp_path, packed, dotted):
    folder = write_files(tmp_path / "mine", packed=packed, dotted=dotted)
    check_small(load("mnist", data_dir=folder, keep_uint8=True))


@pytest.mark.parametrize(
    "place", ["mine", "mine/mnist", "mine/MNIST/raw", "cache/mnist", "tfds/mnist"]
)
def test_files_are_found_where_the_page_says(small, tmp_path, place):
    write_files(tmp_path / place)
    check_small(load("mnist", data_dir=tmp_path / "mine", keep_uint8=True))


def test_the_folder_that_is_named_comes_first(small, tmp_path):
    write_files(tmp_path / "cache" / "mnist")
    mine = write_files(tmp_path / "mine")
    (mine / f"{STEMS[0]}.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"mine.*is not the known train-images"):
        load("mnist", data_dir=mine)
    check_small(load("mnist", keep_uint8=True))


def test_links_relative_paths_and_read_only_folders_do(small, tmp_path, monkeypatch):
    folder = write_files(tmp_path / "mine")
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    first = load("mnist", data_dir="link", keep_uint8=True)
    check_small(first)
    assert load("mnist", data_dir="mine", keep_uint8=True).fingerprint == first.fingerprint
    assert sorted(tmp_path.rglob("*")) == before  # and nothing was written
    folder.chmod(0o755)


def test_a_user_without_a_home_reads_a_folder(small, tmp_path, monkeypatch):
    folder = write_files(tmp_path / "mine")
    for name in ("SIGNDYN_DATA_DIR", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)

    def expand(path):
        if "~" in str(path):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", expand)
    monkeypatch.setattr(Path, "home", lambda: expand("~"))
    assert data_folders(None) == ()
    check_small(load("mnist", data_dir=folder, keep_uint8=True))
    with pytest.raises(ValueError, match="no folder, for there is none"):
        load("mnist")
    with pytest.raises(ValueError, match="set SIGNDYN_DATA_DIR"):
        load("mnist", download=True)


def swap(folder, one, other):
    one, other = (folder / f"{STEMS[place]}.gz" for place in (one, other))
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)


def overwrite(folder, place, content):
    (folder / f"{STEMS[place]}.gz").write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: swap(f, 0, 2), "train-images.*it is t10k-images-idx3-ubyte of mnist"),
        (lambda f: swap(f, 0, 1), "train-images.*it is train-labels-idx1-ubyte of mnist"),
        (lambda f: overwrite(f, 0, gzip.compress(idx_bytes(ARRAYS[0]))[:-9]), "be unpacked"),
        (lambda f: overwrite(f, 1, b""), "train-labels-idx1-ubyte: its checksum is another"),
        (lambda f: overwrite(f, 2, idx_bytes(ARRAYS[2] ^ 1)), "t10k-images.*checksum is another"),
        (lambda f: overwrite(f, 3, idx_bytes(ARRAYS[3] + 9)), "t10k-labels.*checksum is another"),
        (lambda f: (f / f"{STEMS[3]}.gz").unlink(), "lacks t10k-labels-idx1-ubyte, packed"),
    ],
)
def test_files_that_are_not_the_known_ones_are_refused_in_one_sentence(
    small, tmp_path, spoil, said
):
    folder = write_files(tmp_path / "mine")
    spoil(folder)
    with pytest.raises(ValueError, match=rf"^mnist: [^\n]*{said}[^\n]*\.$"):
        load("mnist", data_dir=folder)


def with_header(content, name, time):
    """Return a gzip file whose header tells a name and a time, as upstream's do."""
    packed = gzip.compress(content, mtime=1)
    head = packed[:3] + b"\x08" + time.to_bytes(4, "little") + packed[8:10]
    return head + name.encode() + b"\0" + packed[10:]


@pytest.mark.parametrize("mark", ["-", "."])
def test_a_file_is_accepted_by_the_checksum_of_tfds_whatever_its_header_tells(
    small, tmp_path, monkeypatch, mark
):
    known = idx_sets.IDX_SETS["mnist"]._replace(mark=mark, contents=("?",) * 4)
    monkeypatch.setattr(idx_sets, "IDX_SETS", {"mnist": known})
    files, folder = {}, write_files(tmp_path / "mine")
    for stem, array, told in zip(STEMS, ARRAYS, known.times, strict=True):
        name = f"{stem}.gz"
        packed = with_header(idx_bytes(array), stem.replace("-idx", f"{mark}idx"), told)
        files[name] = Registered("", name, len(packed), hashlib.sha256(packed).hexdigest())
        (folder / name).write_bytes(packed)
    monkeypatch.setattr(idx_sets, "registered", lambda name: files)
    check_small(load("mnist", data_dir=folder, keep_uint8=True))
    for stem, array in zip(STEMS, ARRAYS, strict=True):  # as Debian's package, without a name
        (folder / f"{stem}.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=99))
    check_small(load("mnist", data_dir=folder, keep_uint8=True))
    (folder / f"{STEMS[0]}.gz").write_bytes(gzip.compress(idx_bytes(ARRAYS[0] ^ 1), mtime=99))
    with pytest.raises(ValueError, match="its checksum is another"):
        load("mnist", data_dir=folder)


class TinyMnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """As TFDS prepares mnist."""

    name = "mnist"
    VERSION = tfds.core.Version("3.0.1")
    url_infos = None
    spoil = 0

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(*ARRAYS[2 * place : 2 * place + 2])
            for place, split in enumerate(("train", "test"))
        }

    def _generate_examples(self, images, labels):
        for place, (image, label) in enumerate(zip(images ^ self.spoil, labels, strict=True)):
            yield place, {"image": Image.fromarray(image), "label": int(label)}


def prepare(builder_class, folder, file_format="array_record"):
    builder = builder_class(data_dir=folder, file_format=file_format)
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)
    return Path(builder.data_dir)


@pytest.mark.parametrize("place", ["mine", "cache", "tfds", "home/tensorflow_datasets"])
def test_what_tfds_has_prepared_is_found_and_put_in_the_order_of_the_files(
    small, tmp_path, monkeypatch, place
):
    if place.startswith("home"):
        monkeypatch.delenv("TFDS_DATA_DIR")
    prepare(TinyMnist, tmp_path / place)
    data = load("mnist", data_dir=tmp_path / "mine", keep_uint8=True)
    check_small(data)
    stored = load("tfds:mnist", data_dir=tmp_path / "mine", keep_uint8=True)
    assert not np.array_equal(stored.x_train, data.x_train)  # TFDS shuffles
    write_files(tmp_path / "files")
    files = load("mnist", data_dir=tmp_path / "files", keep_uint8=True)
    assert data.fingerprint == files.fingerprint


def test_what_is_prepared_is_verified(small, tmp_path, monkeypatch):
    monkeypatch.setattr(TinyMnist, "spoil", 1)
    prepare(TinyMnist, tmp_path / "mine")
    with pytest.raises(ValueError, match="not the known images and labels"):
        load("mnist", data_dir=tmp_path / "mine")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_missing_set_is_told_at_once_with_what_to_do(tmp_path, name):
    begun = time.monotonic()
    said = (
        rf"^{name}: its files are not there; put .*\.gz of http.* with data_dir, or ask for a dow"
    )
    with pytest.raises(ValueError, match=said):
        load(name, data_dir=tmp_path / "mistyped")
    with pytest.raises(ValueError, match="mistyped"):
        load(name, data_dir=tmp_path / "mistyped")
    assert time.monotonic() - begun < 60  # TFDS would try for 200 s
    assert list(tmp_path.iterdir()) == []  # and nothing is made


def test_the_package_to_install_is_named(monkeypatch):
    one = IDX_SETS["fashion_mnist"]._replace(system=Path("/nonexistent"))
    sets = {**IDX_SETS, "fashion_mnist": one}
    monkeypatch.setattr(idx_sets, "IDX_SETS", types.MappingProxyType(sets))
    with pytest.raises(ValueError, match="apt install dataset-fashion-mnist"):
        load("fashion_mnist")


@pytest.fixture
def server(small, tmp_path, monkeypatch):
    """Serve the small mnist where TFDS has registered it."""
    folder = write_files(tmp_path / "upstream")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    files = {}
    for path in sorted(folder.iterdir()):
        url = f"http://127.0.0.1:{httpd.server_port}/{path.name}"
        content = path.read_bytes()
        files[path.name] = Registered(
            url, path.name, len(content), hashlib.sha256(content).hexdigest()
        )
    monkeypatch.setattr(fetching, "registered", lambda name: files)
    infos = {
        one.url: tfds.core.download.checksums.UrlInfo(
            size=tfds.core.utils.Size(one.size), checksum=one.sha256, filename=one.name
        )
        for one in files.values()
    }
    monkeypatch.setattr(tfds.core.download.checksums, "get_all_url_infos", lambda: dict(infos))
    yield folder
    httpd.shutdown()
    httpd.server_close()


def test_a_download_that_is_asked_for_is_kept(server, tmp_path, capfd):
    with pytest.raises(ValueError, match="its files are not there"):
        load("mnist")  # nothing unasked
    check_small(load("mnist", download=True, keep_uint8=True))
    kept = tmp_path / "cache" / "mnist"
    assert sorted(path.name for path in kept.iterdir()) == sorted(f"{s}.gz" for s in STEMS)
    shutil.rmtree(server)
    check_small(load("mnist", download=True, keep_uint8=True))  # from there, and not again
    assert capfd.readouterr() == ("", "")


def test_a_download_goes_to_the_folder_that_is_named(server, tmp_path):
    check_small(load("mnist", data_dir=tmp_path / "mine", download=True, keep_uint8=True))
    assert not (tmp_path / "cache").exists()
    assert len(list((tmp_path / "mine" / "mnist").iterdir())) == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "answers 404"),
        (lambda folder: overwrite(folder, 2, b"another file"), "[Cc]hecksum"),
    ],
)
def test_a_download_that_fails_is_one_sentence_and_leaves_nothing(server, tmp_path, spoil, said):
    spoil(server)
    begun = time.monotonic()
    with pytest.raises(
        ValueError, match=rf"^mnist: cannot be downloaded \([^\n]*{said}[^\n]*\)\.$"
    ):
        load("mnist", download=True)
    assert time.monotonic() - begun < 60  # TFDS would try for 200 s
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_server_that_is_not_there_is_told_within_seconds(monkeypatch):
    unused = Registered("http://127.0.0.1:9/x.gz", "x.gz", 1, "")
    monkeypatch.setattr(
        fetching, "registered", lambda name: dict.fromkeys([f"{stem}.gz" for stem in STEMS], unused)
    )
    begun = time.monotonic()
    with pytest.raises(ValueError, match="cannot be reached"):
        load("mnist", download=True)
    assert time.monotonic() - begun < 60  # TFDS would try for 200 s


COLORS = {
    member: RNG.integers(0, 256, (3, 3073), dtype=np.uint8) % np.r_[10, np.full(3072, 256)]
    for member in cifar._MEMBERS
}


def cifar_archive(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / cifar.ARCHIVE, "w:gz") as archive:
        for name, rows in COLORS.items():
            content = rows.astype(np.uint8).tobytes()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder / cifar.ARCHIVE


class TinyCifar(TinyMnist):
    """As TFDS prepares cifar10."""

    name = "cifar10"

    def _info(self):
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        *train, test = COLORS.values()
        return {
            "train": self._generate_examples(np.concatenate(train), "train"),
            "test": self._generate_examples(test, "test"),
        }

    def _generate_examples(self, rows, split):
        for place, row in enumerate(rows.astype(np.uint8)):
            image = Image.fromarray(np.moveaxis(row[1:].reshape(3, 32, 32), 0, 2))
            yield place, {"id": f"{split}_{place:05d}", "image": image, "label": int(row[0])}


def test_cifar_is_the_same_from_its_archive_and_prepared(tmp_path, monkeypatch):
    path = cifar_archive(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"^cifar10: .*its checksum is another"):
        load("cifar10", data_dir=tmp_path / "mine")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    one = Registered("", cifar.ARCHIVE, 0, sha256)
    monkeypatch.setattr(cifar, "registered", lambda name: {cifar.ARCHIVE: one})
    data = load("cifar10", data_dir=tmp_path / "mine", keep_uint8=True)
    assert (data.x_train.shape, data.x_test.shape) == ((15, 3072), (3, 3072))
    assert (data.num_classes, data.input_shape) == (10, (32, 32, 3))
    first = COLORS[cifar._MEMBERS[0]][0]
    assert data.y_train[0] == first[0]
    image = data.x_train[0].reshape(32, 32, 3)
    np.testing.assert_array_equal(image[0, :2, 2], first[1 + 2 * 1024 :][:2])  # first row of blue
    prepare(TinyCifar, tmp_path / "tfds")
    path.unlink()
    prepared = load("cifar10", data_dir=tmp_path / "mine", keep_uint8=True)
    assert prepared.fingerprint == data.fingerprint


def test_folders_that_may_not_be_entered_are_passed_over(small, tmp_path, monkeypatch):
    (tmp_path / "cache" / "mnist").mkdir(parents=True)
    write_files(tmp_path / "tfds" / "mnist")
    inner = os.stat

    def forbidding(path, *arguments, **options):
        if "cache" in os.fspath(path):
            raise PermissionError(13, "Permission denied")
        return inner(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", forbidding)
    check_small(load("mnist", keep_uint8=True))
    with pytest.raises(ValueError, match="its files are not there"):
        load("cifar10")
