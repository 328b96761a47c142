"""Folded paths against stored ones, and paths whose measures are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from signdyn.diagnostics import zigzag

MEASURES = {
    "mean_turning_cosine": zigzag.mean_turning_cosine,
    "reversal_fraction": zigzag.reversal_fraction,
    "tortuosity": zigzag.tortuosity,
    "path_efficiency": zigzag.path_efficiency,
    "coordinate_flip_fraction": zigzag.coordinate_flip_fraction,
}
FRAME_FREE = [name for name in MEASURES if name != "coordinate_flip_fraction"]


@jax.jit
def _fold(updates, steps=1_000_000):
    """Fold the first ``steps`` of [step, ...] updates into a path."""
    start = zigzag.empty_path(jax.tree.map(lambda x: x[0], updates))
    where = jnp.arange(len(jax.tree.leaves(updates)[0])) < steps
    return lax.scan(lambda path, xs: (zigzag.extend(path, *xs), None), start, (updates, where))[0]


@jax.jit
def _all_measures(path):
    return {name: measure(path) for name, measure in MEASURES.items()}


_fold_each = jax.jit(jax.vmap(_fold))
_measure_each = jax.jit(jax.vmap(_all_measures))


def _measure(updates):
    return jax.tree.map(float, _all_measures(_fold(np.asarray(updates))))


turning_cosine, valley_crossing = jax.jit(zigzag.turning_cosine), jax.jit(zigzag.valley_crossing)


def _measure_stored(updates):
    """Compute every measure from the stored [steps, P] updates."""
    before, after = updates[:-1], updates[1:]
    norms = np.linalg.norm(updates, axis=1)
    turns = (norms[:-1] > 0) & (norms[1:] > 0)
    cosines = (before * after).sum(1)[turns] / (norms[:-1] * norms[1:])[turns]
    products = np.sign(before) * np.sign(after)
    tortuosity = norms.sum() / np.linalg.norm(updates.sum(0))
    return {
        "mean_turning_cosine": cosines.mean(),
        "reversal_fraction": (cosines < 0).mean(),
        "tortuosity": tortuosity,
        "path_efficiency": 1 / tortuosity,
        "coordinate_flip_fraction": (products < 0).sum() / (products != 0).sum(),
    }


def _random_updates(seed=0, steps=50, size=12):
    rng = np.random.default_rng(seed)
    updates = rng.normal(size=(steps, size)) + 0.3 * rng.normal(size=size)
    updates *= rng.uniform(size=updates.shape) > 0.2
    updates[[7, 8, 20]] = 0.0  # steps without movement make no turn
    return updates


def _descent_updates(eigenvalues, eta, steps, start=1.0):
    """Updates of gradient descent on sum(eigenvalues * x**2) / 2."""
    factors = 1 - eta * np.asarray(eigenvalues)
    positions = start * factors ** np.arange(steps)[:, None]
    return -eta * np.asarray(eigenvalues) * positions


def test_the_folded_path_equals_the_stored_one():
    updates = _random_updates()
    expected = _measure_stored(updates)
    assert _measure(updates) == pytest.approx(expected, rel=1e-12)


def test_a_pytree_of_updates_is_one_vector():
    updates = _random_updates()
    tree = {
        "kernel": updates[:, :10].reshape(-1, 2, 5),
        "bias": updates[:, 10:],
    }
    measured = jax.tree.map(float, _all_measures(_fold(tree)))
    assert measured == pytest.approx(_measure_stored(updates), rel=1e-12)


def test_a_straight_line_is_neither_tortuous_nor_reversing():
    lengths = np.random.default_rng(0).uniform(0.1, 2.0, size=(40, 1))
    measured = _measure(lengths * np.array([3.0, -4.0, 12.0]))
    assert measured == pytest.approx(
        {
            "mean_turning_cosine": 1.0,
            "reversal_fraction": 0.0,
            "tortuosity": 1.0,
            "path_efficiency": 1.0,
            "coordinate_flip_fraction": 0.0,
        },
        rel=1e-14,
    )


@pytest.mark.parametrize("eta", [1.1, 1.5, 1.9])
def test_descent_along_one_direction_reverses_on_every_step_above_one_over_the_curvature(eta):
    steps, rho = 30, eta - 1.0
    measured = _measure(_descent_updates([1.0], eta, steps))
    assert measured["mean_turning_cosine"] == -1.0
    assert measured["reversal_fraction"] == 1.0
    assert measured["coordinate_flip_fraction"] == 1.0
    # length and displacement are geometric sums with ratio rho and -rho
    expected = (1 - rho**steps) / (1 - rho) * (1 + rho) / (1 - (-rho) ** steps)
    assert measured["tortuosity"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("eta", [0.1, 0.5, 0.99])
def test_descent_below_one_over_the_largest_curvature_never_reverses(eta):
    measured = _measure(_descent_updates([1.0, 0.3, 0.02], eta, 100))
    assert measured["reversal_fraction"] == 0.0
    assert measured["coordinate_flip_fraction"] == 0.0
    assert 1.0 <= measured["tortuosity"] < np.sqrt(3)  # monotone in each of three coordinates


def test_right_angles_turn_without_reversing():
    staircase = np.tile(np.eye(2), (5, 1))
    measured = _measure(staircase)
    assert measured["mean_turning_cosine"] == 0.0
    assert measured["reversal_fraction"] == 0.0
    assert measured["tortuosity"] == pytest.approx(np.sqrt(2), rel=1e-14)
    assert np.isnan(measured["coordinate_flip_fraction"])  # no coordinate moves twice in a row


def test_orthogonal_rotations_leave_all_but_the_coordinate_flips_alone():
    updates = _random_updates(1)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(12, 12)))[0]
    plain, rotated = _measure(updates), _measure(updates @ rotation)
    assert [rotated[name] for name in FRAME_FREE] == pytest.approx(
        [plain[name] for name in FRAME_FREE], rel=1e-12
    )
    assert abs(rotated["coordinate_flip_fraction"] - plain["coordinate_flip_fraction"]) > 1e-3


def test_sign_flips_of_coordinates_change_no_measure_bitwise():
    updates = _random_updates(3)
    flips = np.random.default_rng(4).choice([-1.0, 1.0], size=12)
    assert _measure(updates * flips) == _measure(updates)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_no_measure_depends_on_the_scale_of_the_steps(scale):
    updates = _random_updates(5)
    assert _measure(updates * scale) == pytest.approx(_measure(updates), rel=1e-12)


def test_a_path_of_no_steps_or_no_movement_is_undefined():
    for steps in (0, 50):
        measured = _all_measures(_fold(np.zeros((50, 12)), steps))
        assert all(np.isnan(value) for value in measured.values())


def test_one_step_has_a_length_but_no_turn():
    path = _fold(np.array([[3.0, 4.0]]))
    measured = _all_measures(path)
    assert path.length == 5.0
    assert measured["tortuosity"] == 1.0
    assert np.isnan(measured["reversal_fraction"])
    assert np.isnan(measured["mean_turning_cosine"])


def test_a_closed_path_is_infinitely_tortuous_and_has_no_efficiency():
    measured = _measure(np.array([[1.0, 0.5], [-1.0, -0.5]]))
    assert measured["tortuosity"] == np.inf
    assert measured["path_efficiency"] == 0.0


def test_a_frozen_path_is_the_path_up_to_the_freeze_whatever_follows():
    updates = _random_updates(6)
    short = _fold(updates[:30])
    updates[30:] = np.nan
    frozen = _fold(updates, 30)
    for name, value in frozen._asdict().items():
        np.testing.assert_array_equal(value, getattr(short, name), err_msg=name)
    assert frozen.steps == 30


def test_paths_freeze_one_by_one_under_vmap():
    updates = np.stack([_random_updates(seed) for seed in range(3)])
    ends = np.array([10, 25, 50])
    measured = _measure_each(_fold_each(updates, ends))
    for i, end in enumerate(ends):
        expected = _measure_stored(updates[i, :end])
        assert {name: float(value[i]) for name, value in measured.items()} == pytest.approx(
            expected, rel=1e-12
        )


@pytest.mark.parametrize("step", [0, 20, 49])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_nan_update_poisons_its_own_path_and_no_other(step, bad):
    clean, ends = np.stack([_random_updates(seed) for seed in range(3)]), np.full(3, 50)
    poisoned = clean.copy()
    poisoned[1, step, 4] = bad
    before, after = (_measure_each(_fold_each(u, ends)) for u in (clean, poisoned))
    for name in MEASURES:
        expected = np.asarray(before[name]).copy()
        expected[1] = np.nan
        np.testing.assert_array_equal(after[name], expected, err_msg=name)


def test_a_nan_update_between_steps_of_zero_still_poisons():
    updates = np.zeros((50, 12))
    updates[20] = np.nan
    assert all(np.isnan(value) for value in _measure(updates).values())


@pytest.mark.parametrize("kind", ["drift", "zigzag", "noise"])
def test_float32_sums_of_ten_thousand_steps_need_no_compensation(kind):
    rng = np.random.default_rng(0)
    updates = np.tile(rng.normal(size=8) * 0.1, (10_000, 1))
    if kind == "zigzag":
        updates[1::2, :2] *= -0.9
    elif kind == "noise":
        updates += rng.normal(size=updates.shape)
    updates = updates.astype(np.float32)
    expected = _measure_stored(updates.astype(np.float64))
    # Plain sums lose up to steps / 2 * 6e-8 = 3e-4 of a value; measured: up to 1.5e-4.
    assert _measure(updates) == pytest.approx(expected, rel=3e-4)


def test_float32_updates_make_a_float32_path_and_half_precision_does_too():
    expected = _measure_stored(_random_updates())
    for dtype, eps in ((jnp.float32, 6e-8), (jnp.bfloat16, 4e-3)):
        path = _fold(_random_updates().astype(dtype))
        assert path.displacement.dtype == path.length.dtype == jnp.float32
        measured = jax.tree.map(float, _all_measures(path))
        assert measured == pytest.approx(expected, rel=100 * eps)


def test_the_state_holds_two_vectors_and_scalars():
    path = zigzag.empty_path({"kernel": jnp.zeros((30, 40)), "bias": jnp.zeros(40)})
    assert sum(leaf.size for leaf in path) == 2 * 1240 + 8


def test_turning_cosine_is_that_of_the_vectors():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20))
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    tree = lambda x: {"k": x[:18].reshape(3, 6), "b": x[18:]}  # noqa: E731
    assert float(turning_cosine(tree(a), tree(b))) == pytest.approx(expected, rel=1e-13)
    assert turning_cosine(np.array([1e-300]), np.array([-1e300])) == -1.0


def test_turning_cosine_with_a_zero_update_is_undefined():
    assert np.isnan(turning_cosine(np.zeros(2), np.ones(2)))
    assert np.isnan(turning_cosine(np.ones(2), np.array([np.nan, 1.0])))


def test_wrong_shapes_are_refused_with_both_named():
    with pytest.raises(ValueError, match=r"extend: .*with 3 entries.*got 2"):
        zigzag.extend(zigzag.empty_path(jnp.zeros(3)), jnp.zeros(2))
    with pytest.raises(ValueError, match=r"extend: .*with 3 entries.*got 0"):
        zigzag.extend(zigzag.empty_path(jnp.zeros(3)), {})
    with pytest.raises(ValueError, match=r"turning_cosine: .*\(3,\).*\(2,\)"):
        zigzag.turning_cosine(jnp.zeros(3), jnp.zeros(2))
    with pytest.raises(ValueError, match=r"empty_path: .*at least one entry"):
        zigzag.empty_path({})


@pytest.mark.parametrize(("eta", "expected"), [(0.2, 0.0), (0.9, 0.0), (1.1, 1.0), (1.9, 1.0)])
def test_descent_crosses_the_valley_on_every_step_or_never(eta, expected):
    positions = (1 - eta) ** np.arange(20.0)
    assert valley_crossing(positions) == expected
    assert valley_crossing(positions.astype(np.float32)) == expected
    assert valley_crossing(-positions) == expected


def test_positions_on_the_floor_are_no_crossings():
    assert valley_crossing(np.array([1.0, 0.0, -1.0, 1.0])) == 1.0
    assert np.isnan(valley_crossing(np.zeros(4)))
    assert np.isnan(valley_crossing(np.ones(1)))
    assert np.isnan(valley_crossing(np.array([1.0, 2.0, np.nan])))


def test_a_turn_between_no_parameters_is_refused():
    with pytest.raises(ValueError, match=r"turning_cosine: expected .*no array in \{\}"):
        zigzag.turning_cosine({}, {})
