"""Training step by step: what running means tell of the steps, against the steps themselves."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments._path_probe import COHERENCE_EVERY, between_records, path_probe
from experiments._sign_flip.steps import _is_one_loss, _updates, make_steps
from experiments._two_weights.steps import _walk
from signdyn.probes import Observation
from signdyn.report.steps import Steps

EVERY, RECORDS = 4, 6


PROBE = path_probe(1.0)


@jax.jit
def observe(state, step, loss, update):
    tree = {"layer": {"kernel": update}}
    traces = SimpleNamespace(grads=tree)
    return PROBE.observe(state, Observation(step, loss, tree, tree, traces))


read = jax.jit(PROBE.read)


def descent(reached: int | None):
    """Random updates with the readings of the probe at every record, and what it should see."""
    rng = np.random.default_rng(3)
    updates = rng.normal(size=(EVERY * RECORDS, 5, 2)).astype(np.float32)
    losses = np.full(EVERY * RECORDS, 2.0, np.float32)
    losses[reached:] = 0.5 if reached is not None else 2.0
    state = PROBE.init({"layer": {"kernel": jnp.zeros((5, 2), jnp.float32)}})
    readings = []
    for step, (update, loss) in enumerate(zip(updates, losses, strict=True)):
        state = observe(state, np.int32(step), loss, update)
        if step % EVERY == EVERY - 1:
            readings.append(read(state))
    rows = xr.Dataset(
        {
            "loss": (("seed", "step"), losses[None]),
            "cosine": (("seed", "record"), [[float(r["turning_cosine"]) for r in readings]]),
            "coherence": (("seed", "record"), [[float(r["coherence"][0]) for r in readings]]),
        }
    )
    return updates.astype(np.float64), rows


@pytest.mark.parametrize("reached", [None, 0, 1, 2, 12, 13, 15, 23])
def test_means_so_far_give_back_what_each_record_saw(reached):
    updates, rows = descent(reached)
    end = EVERY * RECORDS if reached is None else reached
    vectors = updates.reshape(len(updates), -1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.sum(vectors[1:] * vectors[:-1], axis=1)  # of the turn into step 1, 2, ...
    coherence = np.mean(np.abs(np.sign(updates).sum(axis=1)) / updates.shape[1], axis=1)
    counts = _updates(rows, 1.0)
    found_cosine = between_records(rows.cosine.values, np.maximum(counts - 1, 0))[0]
    found_coherence = between_records(rows.coherence.values, np.ceil(counts / COHERENCE_EVERY))[0]
    for record in range(RECORDS):
        steps = range(EVERY * record, min(EVERY * (record + 1), end))
        turns = [cosines[step - 1] for step in steps if step > 0]
        expected = np.mean(turns) if turns else np.nan
        np.testing.assert_allclose(found_cosine[record], expected, atol=3e-6)
        expected = coherence[EVERY * record] if len(steps) else np.nan
        np.testing.assert_allclose(found_coherence[record], expected, atol=3e-6)


def test_that_raw_and_flipped_have_one_loss_is_said_only_where_it_is_so():
    def view(*arms):
        return "label", [
            (arm, arm, xr.Dataset({"loss": (("seed", "step"), loss)})) for arm, loss in arms
        ]

    one, other = np.array([[1.0, np.nan]]), np.array([[1.0, np.nextafter(1.0, 2.0)]])
    assert _is_one_loss([view(("raw", one), ("flipped", one.copy())), view(("raw", other))])
    assert not _is_one_loss([view(("raw", one), ("flipped", other))])
    assert not _is_one_loss([view(("raw", one))])


def test_a_walk_has_the_cosine_of_every_turn_and_none_at_its_ends():
    path = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [1.0, -1.0]])
    view = SimpleNamespace(path=path, loss=np.arange(5.0), title="raw, best", arm="raw", note="n")
    walk = _walk(view)  # type: ignore[arg-type]
    assert walk.turns == [None, 0, -1, None, None]
    assert walk.points[2:6] == [1, 0, 1, 1]
    assert len(walk.loss) == len(walk.turns) == len(walk.points) // 2
    alone = SimpleNamespace(**{**vars(view), "path": path[:1], "loss": np.zeros(1)})
    assert _walk(alone).turns == [None]  # type: ignore[arg-type]


def made(*names: str) -> Steps:
    """Steps of a run with two seeds whose cells hold these readings."""
    dims = {
        "coherence_so_far": ("seed", "record", "layer"),
        "turning_cosine_so_far": ("seed", "record"),
    }
    sizes = {"seed": 2, "record": 2, "layer": 1, "step": 8}
    readings = {name: (dims[name], np.full([sizes[d] for d in dims[name]], 0.5)) for name in names}
    rows = xr.Dataset({"loss": (("seed", "step"), np.ones((2, 8))), **readings})
    rows = rows.expand_dims("variant").assign_coords(learning_rate=("variant", [0.5]))
    results = SimpleNamespace(
        plan=SimpleNamespace(activations=("relu",), target_loss=0.1),
        seeds=[0, 1],
        part=lambda name: rows,
        rows=lambda *names, rule="ladder": rows,
        steps=lambda *names: np.array([[7.0, 7.0]]),
    )
    return make_steps(results)  # type: ignore[arg-type]


def test_what_older_cells_do_not_hold_is_absent_and_the_page_says_why():
    new, old = made("coherence_so_far", "turning_cosine_so_far"), made()
    assert [len(view.panels) for view in new.views] == [3, 3]
    assert [len(view.panels) for view in old.views] == [1, 1]
    assert new.absent == ()
    (reason,) = old.absent
    assert "Sign coherence and turning cosine are not shown" in reason
    coherence = new.views[0].panels[1]
    assert coherence.steps == [0, 4]
    assert coherence.lines[0].middle == [0.5, 0.5]
    assert new.views[0].label == "relu, best rates (raw 0.5, flipped 0.5, centered 0.5)"
