"""--log_to: what TensorBoard and Weights & Biases are given to draw."""

import struct
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from experiments._cli import UsageError
from experiments._log import check_log, medians, open_log
from signdyn.records import Variable


def events(folder):
    """Return the scalars of TensorBoard's files: lengths and checksums around messages."""
    found = []
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at + 8 < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            if at + length + 16 > len(content):
                break  # on its way
            event = Event.FromString(content[at + 12 : at + 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += length + 16
    return found


def test_tensorboard_gets_every_number_at_its_step(tmp_path):
    log = open_log("tensorboard", tmp_path, {"seeds": 3})
    log.write({"a/loss": 0.5, "progress/diverged": 1}, 8)
    log.write({"a/loss": 0.25}, 16)
    deadline = time.monotonic() + 20.0
    while len(events(tmp_path / "logs")) < 3:  # a thread writes them, while the run goes on
        assert time.monotonic() < deadline
        time.sleep(0.05)
    log.close()
    assert events(tmp_path / "logs") == [
        ("a/loss", 8, 0.5),
        ("progress/diverged", 8, 1.0),
        ("a/loss", 16, 0.25),
    ]


def test_wandb_is_offline_unless_its_own_variable_says_otherwise(tmp_path, monkeypatch):
    calls = []

    def init(**options):
        calls.append(options)
        return SimpleNamespace(
            log=lambda numbers, step: calls.append((numbers, step)),
            finish=lambda: calls.append("finished"),
        )

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    folder = tmp_path / "sign_flip"
    folder.mkdir()
    log = open_log("wandb", folder, {"seeds": 3})
    log.write({"a/loss": 0.5}, 8)
    log.close()
    options, *rest = calls
    assert (options["mode"], options["name"]) == ("offline", "sign_flip")
    assert options["config"] == {"seeds": 3}
    assert options["dir"] == str(folder / "logs")
    assert rest == [({"a/loss": 0.5}, 8), "finished"]
    monkeypatch.setenv("WANDB_MODE", "online")
    open_log("wandb", folder, {})
    assert calls[-1]["mode"] == "online"


def test_none_logs_nothing(tmp_path):
    log = open_log("none", tmp_path, {})
    log.write({"a": 1.0}, 1)
    log.close()
    assert not any(tmp_path.iterdir())


def test_a_library_that_is_missing_is_named_before_anything_runs(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for to, library in (("tensorboard", "tensorboardX"), ("wandb", "wandb")):
        with pytest.raises(UsageError, match=f"--log_to={to} needs {library}, which pip install"):
            check_log(to)
    check_log("none")


def test_medians_are_of_finite_replicas_and_of_single_numbers_only():
    variables = {
        "final": Variable((), np.array([1.0, np.inf, 3.0, np.nan]), "nat", "loss"),
        "loss": Variable(("step",), np.zeros((4, 5)), "nat", "loss"),
        "never": Variable((), np.full(4, np.nan), "nat", "loss"),
    }
    assert medians("descent", variables) == {"descent/final": 2.0}
