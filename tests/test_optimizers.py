"""Optimizers: each against a few lines of NumPy, and every number in them is data."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from signdyn.analysis.layers import Layer
from signdyn.kronecker import KRONECKER, scale_by_kfac
from signdyn.optimizers import (
    DAMPINGS,
    DIRECTIONS,
    FRAMES,
    NATURAL,
    centralize_per_unit,
    check_optimizer,
    make_optimizer,
)
from signdyn.preconditioning import SOLVES, Curvature, fixed_damping

STEPS = 5
HYPER = SimpleNamespace(
    learning_rate=0.3, momentum=0.8, weight_decay=0.1, damping=np.nan, damping_decay=1.0
)


def gradients(seed=0):
    rng = np.random.default_rng(seed)
    return [{"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)} for _ in range(STEPS)]


def slow_sgd(grads, momentum):
    yield from grads


def slow_momentum(grads, momentum):
    velocity = 0.0
    for grad in grads:
        velocity = grad + momentum * velocity
        yield velocity


def slow_adam(grads, momentum):
    first = second = 0.0
    for step, grad in enumerate(grads, start=1):
        first = momentum * first + (1 - momentum) * grad
        second = 0.999 * second + 0.001 * grad**2
        yield first / (1 - momentum**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def slow_sign_descent(grads, momentum):
    for grad in grads:
        yield np.where(grad > 0, 1.0, 0.0) - np.where(grad < 0, 1.0, 0.0)


def slow_centralized_sgd(grads, momentum):
    for grad in grads:
        if grad.ndim == 1:
            yield grad
        else:
            columns = [grad[:, unit] - sum(grad[:, unit]) / len(grad) for unit in range(3)]
            yield np.stack(columns, axis=1)


SLOW = {
    "sgd": slow_sgd,
    "momentum": slow_momentum,
    "adam": slow_adam,
    "sign_descent": slow_sign_descent,
    "centralized_sgd": slow_centralized_sgd,
}


def start():
    rng = np.random.default_rng(9)
    return {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)}


def follow(name, hyper):
    """Return the parameters after each step on fixed gradients."""
    optimizer = make_optimizer(name, hyper)
    params = jax.tree.map(jnp.asarray, start())
    state, path = optimizer.init(params), []
    for grad in gradients():
        updates, state = optimizer.update(jax.tree.map(jnp.asarray, grad), state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path


def test_there_is_a_slow_twin_of_every_optimizer():
    assert set(SLOW) == set(DIRECTIONS)


@pytest.mark.parametrize("name", SLOW)
def test_it_equals_its_slow_twin_with_decay_on_kernels_only(name):
    path = follow(name, HYPER)
    for leaf, weight_decay in [("kernel", HYPER.weight_decay), ("bias", 0.0)]:
        weight = start()[leaf]
        directions = SLOW[name]([grad[leaf] for grad in gradients()], HYPER.momentum)
        for step, direction in enumerate(directions):
            weight = weight - HYPER.learning_rate * (direction + weight_decay * weight)
            # Adam's root of a running mean is good to a few dozen roundings.
            np.testing.assert_allclose(path[step][leaf], weight, rtol=0, atol=1e-13)


def test_centralized_gradients_sum_to_zero_over_a_units_incoming_weights():
    grads = {
        "kernel": jnp.asarray(gradients()[0]["kernel"]),
        "filter": jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 2, 5))),
        "bias": jnp.asarray(gradients()[0]["bias"]),
    }
    transform = centralize_per_unit()
    centralized, _ = transform.update(grads, transform.init(grads))
    np.testing.assert_allclose(centralized["kernel"].sum(0), np.zeros(3), atol=1e-14)
    np.testing.assert_allclose(centralized["filter"].sum((0, 1, 2)), np.zeros(5), atol=1e-14)
    np.testing.assert_array_equal(centralized["bias"], grads["bias"])
    # It takes away one number a unit, no more, so that it is a projection.
    removed = grads["kernel"] - centralized["kernel"]
    np.testing.assert_allclose(np.ptp(removed, axis=0), np.zeros(3), atol=1e-14)
    again, _ = transform.update(centralized, transform.init(grads))
    np.testing.assert_allclose(again["filter"], centralized["filter"], atol=1e-15)


def test_optax_centralizes_over_the_units_instead():
    grad = {"kernel": jnp.asarray(gradients()[0]["kernel"])}
    ours, theirs = centralize_per_unit(), optax.centralize()
    by_unit, _ = ours.update(grad, ours.init(grad))
    over_units, _ = theirs.update(grad, theirs.init(grad))
    np.testing.assert_allclose(over_units["kernel"].sum(1), np.zeros(4), atol=1e-14)
    assert np.abs(by_unit["kernel"].sum(1)).max() > 0.1
    assert np.abs(by_unit["kernel"] - over_units["kernel"]).max() > 0.1


def test_sign_descent_does_not_move_where_there_is_no_gradient():
    optimizer = make_optimizer(
        "sign_descent", SimpleNamespace(**{**vars(HYPER), "weight_decay": 0})
    )
    params = {"bias": jnp.ones(3)}
    grads = {"bias": jnp.array([-1e-30, 0.0, 5.0])}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_array_equal(updates["bias"], [0.3, 0.0, -0.3])


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_one_trace_serves_every_learning_rate_momentum_and_decay(name):
    traces = 0

    @jax.jit
    def last(hyper):
        nonlocal traces
        traces += 1
        return follow(name, SimpleNamespace(**hyper))[-1]

    for learning_rate, momentum, weight_decay in [(0.3, 0.8, 0.1), (0.1, 0.5, 0.0)]:
        numbers = vars(HYPER) | {
            "learning_rate": learning_rate,
            "momentum": momentum,
            "weight_decay": weight_decay,
        }
        expected = follow(name, SimpleNamespace(**numbers))[-1]
        found = last(jax.tree.map(jnp.asarray, numbers))
        for leaf in expected:
            np.testing.assert_allclose(found[leaf], expected[leaf], rtol=0, atol=1e-13)
    assert traces == 1


@pytest.mark.parametrize("name", SLOW)
def test_single_precision_stays_single(name):
    optimizer = make_optimizer(name, SimpleNamespace(**jax.tree.map(np.float32, vars(HYPER))))
    params = jax.tree.map(jnp.float32, start())
    state = optimizer.init(params)
    updates, after = optimizer.update(jax.tree.map(jnp.float32, gradients()[0]), state, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {np.dtype(np.float32)}
    assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)


# --- natural gradients ------------------------------------------------------------------------

NUMBERS = vars(HYPER) | {"damping": 0.5, "damping_decay": 0.25}


def one_layer(seed=0):
    """Return the gradient and the curvature of a dense layer, as {"dense": kernel and bias}."""
    rng = np.random.default_rng(seed)
    inputs, deltas = rng.normal(0.5, 1.0, size=(12, 1, 4)), rng.normal(size=(12, 1, 1, 3))
    # Rows of the factor in the order of ravel_pytree: first the bias, then the kernel.
    scores = [
        np.concatenate([d, np.outer(a, d).ravel()])
        for a, d in zip(inputs[:, 0], deltas[:, 0, 0], strict=True)
    ]
    A = jnp.asarray(np.stack(scores) / np.sqrt(12))
    layers = {"dense": Layer(jnp.asarray(inputs), jnp.asarray(deltas))}
    curvature = Curvature(
        factor=lambda: A,
        product=lambda: lambda v: A.T @ (A @ v),
        layers=lambda: layers,
        loss=jnp.array(1.0),
        loss_after=lambda displacement: jnp.array(2.0),  # it rises, whatever one does
        sampled_layers=lambda step: layers,
    )
    return {"dense": jax.tree.map(jnp.asarray, start())}, curvature


def direction_of(name, curvature, grads, damping):
    """Return the direction of a first step."""
    if name in SOLVES:
        return SOLVES[name](curvature, grads, damping)
    transform = scale_by_kfac(name, fixed_damping(damping))
    return transform.update(grads, transform.init(grads), curvature=curvature)[0]


@partial(
    jax.jit,
    static_argnames=("name", "damping", "frame"),
    compiler_options={"xla_backend_optimization_level": 0},
)
def naturally(name, numbers, dampings, *, damping="scheduled", frame="own"):
    """Return parameters, updates of as many steps as ``dampings``, and the directions for those.

    All steps are given one gradient and one curvature.
    """
    optimizer = make_optimizer(name, SimpleNamespace(**numbers), damping=damping, frame=frame)
    grads, curvature = one_layer()
    params = jax.tree.map(lambda leaf: leaf + 1.0, grads)

    def step(state, _):
        updates, state = optimizer.update(
            grads, state, params, curvature=curvature, frame=lambda p: p
        )
        return state, updates

    _, updates = jax.lax.scan(step, optimizer.init(params), length=len(dampings))
    directions = jax.lax.map(lambda d: direction_of(name, curvature, grads, d), dampings)
    return params["dense"], updates["dense"], directions["dense"]


def test_there_is_an_optimizer_for_every_natural_gradient_and_no_name_is_taken_twice():
    assert set(NATURAL) == {*SOLVES, *KRONECKER}
    assert not set(NATURAL) & set(DIRECTIONS)


@pytest.mark.parametrize("name", NATURAL)
def test_rate_and_decay_act_on_a_natural_direction_as_on_any_other(name):
    params, updates, directions = naturally(name, NUMBERS, 0.5 * 0.25 ** jnp.arange(3.0))
    atol = 1e-4 if name == "natural_cg" else 1e-10  # as far as it is solved for
    kernels = -0.3 * (directions["kernel"] + 0.1 * params["kernel"])
    np.testing.assert_allclose(updates["kernel"], kernels, rtol=0, atol=atol)
    np.testing.assert_allclose(updates["bias"], -0.3 * directions["bias"], rtol=0, atol=atol)
    assert np.abs(updates["bias"][0] - updates["bias"][2]).max() > 1e-3


@pytest.mark.parametrize("name", NATURAL)
def test_without_a_damping_there_is_no_natural_step(name):
    _, updates, _ = naturally(name, {**NUMBERS, "damping": np.nan}, jnp.ones(3))
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(updates))


def test_the_adaptive_rule_reads_rate_and_damping_and_no_decay():
    # The loss rises at every step: damping grows by 1.5.
    _, updates, directions = naturally(
        "natural_diagonal", NUMBERS, 0.5 * 1.5 ** jnp.arange(3.0), damping="adaptive"
    )
    np.testing.assert_allclose(updates["bias"], -0.3 * directions["bias"], atol=1e-13)


def test_the_raw_frame_is_given_with_every_update():
    dampings = 0.5 * 0.25 ** jnp.arange(3.0)
    name = "natural_diagonal"
    (_, own, _), (_, raw, _) = (naturally(name, NUMBERS, dampings, frame=f) for f in FRAMES)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), raw, own)
    optimizer = make_optimizer(name, SimpleNamespace(**NUMBERS), frame="raw")
    grads, curvature = one_layer()
    with pytest.raises(TypeError, match="frame"):
        optimizer.update(grads, optimizer.init(grads), grads, curvature=curvature)


def test_optimizers_without_curvature_ignore_it():
    optimizer = make_optimizer("sgd", HYPER)
    grads, curvature = one_layer()
    given, _ = optimizer.update(
        grads, optimizer.init(grads), grads, curvature=curvature, frame=lambda p: p
    )
    plain, _ = optimizer.update(grads, optimizer.init(grads), grads)
    jax.tree.map(np.testing.assert_array_equal, given, plain)


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*DIRECTIONS, *NATURAL])
def test_the_checker_lets_every_name_pass_and_the_rules_with_natural_gradients_only(name):
    check_optimizer(name)
    for damping in DAMPINGS:
        for frame in FRAMES:
            if (damping, frame) == ("scheduled", "own"):
                continue
            if name in DIRECTIONS:
                message = f"{name} has no damping; .* choose one of natural, natural_cg"
            elif frame == "raw" and (name in KRONECKER or name in ("natural_kfac", "natural_unit")):
                message = f"{name} is defined in the layers' own coordinates; use frame='own'"
            else:
                check_optimizer(name, damping, frame)
                continue
            with pytest.raises(ValueError, match=f"make_optimizer: {message}"):
                check_optimizer(name, damping, frame)
            with pytest.raises(ValueError, match=f"make_optimizer: {message}"):
                make_optimizer(name, HYPER, damping=damping, frame=frame)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("natural_kfca",), "no optimizer 'natural_kfca'; choose one of .*nearest: natural_kfac"),
        (("natural", "adaptiv"), "no damping rule 'adaptiv'; .*scheduled, .*nearest: adaptive"),
        (("natural", "scheduled", "row"), "no damping frame 'row'; .*own, raw .nearest: raw"),
    ],
)
def test_unknown_names_are_answered_with_all_names_and_the_nearest(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_optimizer(*arguments)


def test_an_unknown_optimizer_is_answered_with_all_names_and_the_nearest():
    with pytest.raises(ValueError, match="nearest: momentum") as caught:
        make_optimizer("momentun", HYPER)
    assert all(name in str(caught.value) for name in (*DIRECTIONS, *NATURAL))
    assert "'momentun'" in str(caught.value)


def test_a_name_like_no_other_has_no_nearest():
    with pytest.raises(ValueError, match="there is no optimizer 'xyz'") as caught:
        make_optimizer("xyz", HYPER)
    assert "nearest" not in str(caught.value)


def test_kernels_of_the_named_layers_are_projected_and_nothing_else_is():
    layer = {"kernel": jnp.array([[1.0, 0.25]]), "bias": jnp.array([0.25])}
    params = {"free": layer, "held": layer}
    grads = jax.tree.map(jnp.ones_like, params)
    numbers = SimpleNamespace(**{**vars(HYPER), "learning_rate": 0.5, "weight_decay": 0.0})
    optimizer = make_optimizer("sgd", numbers, nonnegative=("held",))
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    after = jax.tree.map(lambda p, u: (p + u).tolist(), params, updates)
    assert after["free"] == {"kernel": [[0.5, -0.25]], "bias": [-0.25]}
    assert after["held"] == {"kernel": [[0.5, 0.0]], "bias": [-0.25]}


def test_a_held_layer_that_is_not_there_is_answered_with_the_nearest():
    optimizer = make_optimizer("sgd", HYPER, nonnegative=("hidden",))
    message = "nonnegative names 'hidden', which is no layer; choose among .*nearest: hidden_0"
    with pytest.raises(ValueError, match=message):
        optimizer.init({"hidden_0": {"kernel": jnp.ones((1, 1))}})
