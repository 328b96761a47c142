"""Natural gradients: explicit matrices as twins, damping rules as loops, frames as linear maps."""

from functools import partial
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.layers import Layer, fisher_layers
from signdyn.likelihoods import categorical, gaussian
from signdyn.models.taps import linen_tapped
from signdyn.preconditioning import (
    CG_TOLERANCE,
    SOLVES,
    Curvature,
    Damping,
    adaptive_damping,
    fixed_damping,
    in_frame,
    scale_by_natural_gradient,
    scheduled_damping,
)

# Compiling is all that takes time here.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
N, STEPS, RATE = 12, 3, 0.5


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return jnp.tanh(nn.Dense(3, param_dtype=x.dtype, name="dense_0")(x))


class Nested(nn.Module):
    """A layer inside a block, with a bias, and one outside, without."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, False, param_dtype=x.dtype, name="readout")(Block(name="block")(x))


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, param_dtype=x.dtype, name="readout")(x)


def problem(seed, dtype=np.float64):
    """Return inputs, labels of both kinds, and parameters of `Nested`."""
    rng = np.random.default_rng(seed)
    params = {
        "block": {
            "dense_0": {"kernel": rng.normal(size=(2, 3)), "bias": 0.5 * rng.normal(size=3)},
        },
        "readout": {"kernel": rng.normal(size=(3, 2))},
    }
    x = rng.normal(0.5, 1.0, size=(N, 2))
    cast = partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, dtype))
    y = {"gaussian": cast(rng.normal(size=(N, 2))), "categorical": jnp.arange(N) % 2}
    return cast(x), y, cast(params)


def curvature_of(model, likelihood, params, x, y):
    def loss_of(params):
        return jnp.mean(likelihood.nll(model.apply({"params": params}, x), y))

    def apply_fn(params, x):
        return model.apply({"params": params}, x)

    loss, grads = jax.value_and_grad(loss_of)(params)
    return grads, Curvature(
        factor=lambda: fisher_factor(apply_fn, likelihood, params, x),
        product=lambda: fisher_vector_product(apply_fn, likelihood, params, x),
        layers=lambda: fisher_layers(linen_tapped(model), likelihood, params, x),
        loss=loss,
        loss_after=lambda displacement: loss_of(optax.apply_updates(params, displacement)),
        layered=isinstance(model, nn.Module),
    )


# --- explicit matrices ------------------------------------------------------------------------


@jit
def slow_pieces(params, x):
    """Return logits, their Jacobian [N, K, P], each layer's inputs, and d outputs / d z."""
    theta, unravel = ravel_pytree(params)
    block, readout = params["block"]["dense_0"], params["readout"]
    hidden = x @ block["kernel"] + block["bias"]
    outputs = jnp.tanh(hidden) @ readout["kernel"]
    through = (1 - jnp.tanh(hidden) ** 2)[:, None] * readout["kernel"].T[None]  # [N, K, 3]
    return (
        outputs,
        jax.jacobian(lambda theta: Nested().apply({"params": unravel(theta)}, x))(theta),
        [jnp.concatenate([x, jnp.ones((N, 1))], 1), jnp.tanh(hidden)],
        [through, jnp.broadcast_to(jnp.eye(2), (N, 2, 2))],
    )


def places():
    """Return the layer, input and unit of every parameter, in the order of ``ravel_pytree``."""
    return np.array(
        # block/dense_0/bias, block/dense_0/kernel, readout/kernel; a bias is input number 2
        [(0, 2, unit) for unit in range(3)]
        + [(0, row, unit) for row in range(2) for unit in range(3)]
        + [(1, row, unit) for row in range(3) for unit in range(2)]
    ).T


def explicit_fishers(params, x):
    """Return what each of the solves takes for the Fisher, as a matrix [P, P]."""
    outputs, jacobian, inputs, to_outputs = jax.tree.map(np.asarray, slow_pieces(params, x))
    p = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    of_outputs = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    full = sum(J.T @ S @ J for J, S in zip(jacobian, of_outputs, strict=True)) / N
    layer, row, unit = places()
    same_layer = layer[:, None] == layer
    kronecker = np.zeros_like(full)
    for index in range(2):
        A = inputs[index].T @ inputs[index] / N
        G = sum(D.T @ S @ D for D, S in zip(to_outputs[index], of_outputs, strict=True)) / N
        own = np.flatnonzero(layer == index)
        kronecker[np.ix_(own, own)] = (
            A[np.ix_(row[own], row[own])] * G[np.ix_(unit[own], unit[own])]
        )
    return {
        "natural": full,
        "natural_cg": full,
        "natural_kfac": kronecker,
        "natural_unit": full * (same_layer & (unit[:, None] == unit)),
        "natural_diagonal": np.diag(np.diag(full)),
    }


@pytest.fixture(scope="module")
def trained():
    """Return name -> (points, gradients, directions) of descents inside scan, inside vmap."""
    x, y, _ = problem(0)
    starts = jax.tree.map(lambda *leaves: jnp.stack(leaves), problem(1)[2], problem(2)[2])
    dampings = jnp.array([0.02, 0.7])

    def descend(solve, start, damping):
        transform = scale_by_natural_gradient(solve, fixed_damping(damping))

        def step(carry, _):
            params, state = carry
            grads, curvature = curvature_of(Nested(), categorical(), params, x, y["categorical"])
            direction, state = transform.update(grads, state, params, curvature=curvature)
            moved = jax.tree.map(lambda p, d: p - RATE * d, params, direction)
            return (moved, state), (params, grads, direction)

        return jax.lax.scan(step, (start, transform.init(start)), length=STEPS)[1]

    @jit
    def all_solves(starts, dampings):
        return {
            name: jax.vmap(partial(descend, solve))(starts, dampings)
            for name, solve in SOLVES.items()
        }

    return x, dampings, all_solves(starts, dampings)


def test_there_is_a_twin_of_every_solve():
    x, _, params = problem(0)
    assert set(explicit_fishers(params, x)) == set(SOLVES)


@pytest.mark.parametrize("name", SOLVES)
def test_each_solve_is_its_explicit_matrix_solved_with_inside_scan_and_vmap(trained, name):
    x, dampings, found = trained
    for start, damping in enumerate(dampings):
        for step in range(STEPS):
            at = (start, step)
            params, grads, direction = jax.tree.map(lambda a, at=at: a[at], found[name])
            fisher = explicit_fishers(params, x)[name]
            damped = fisher + damping * np.eye(len(fisher))
            g, d = (np.asarray(ravel_pytree(tree)[0]) for tree in (grads, direction))
            if name == "natural_cg":
                assert np.linalg.norm(damped @ d - g) <= 1.01 * CG_TOLERANCE * np.linalg.norm(g)
            else:
                np.testing.assert_allclose(d, np.linalg.solve(damped, g), rtol=0, atol=1e-12)
            assert np.abs(g).max() > 1e-3


def test_the_five_solves_are_five_directions_but_for_conjugate_gradients(trained):
    *_, found = trained
    first = {
        name: np.asarray(ravel_pytree(jax.tree.map(lambda a: a[0, 0], direction))[0])
        for name, (_, _, direction) in found.items()
    }
    converged = first.pop("natural_cg")
    # An error of the residual's size over the damping, .02.
    np.testing.assert_allclose(converged, first["natural"], atol=CG_TOLERANCE / 0.02)
    names = sorted(first)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert np.abs(first[one] - first[other]).max() > 1e-2, (one, other)


def test_a_model_that_is_a_single_layer_is_solved_at_its_root():
    x, y, _ = problem(0)
    model = nn.Dense(2, param_dtype=x.dtype)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(2)}

    @jit
    def directions(params):
        grads, curvature = curvature_of(model, gaussian(), params, x, y["gaussian"])
        return [SOLVES[name](curvature, grads, 0.1) for name in ("natural", "natural_unit")]

    # One layer, outputs independent: the whole Fisher is made of the units' blocks.
    exact, by_unit = directions(params)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12), by_unit, exact)


@pytest.mark.parametrize("name", ["natural_kfac", "natural_unit"])
def test_parameters_outside_of_layers_are_refused_with_their_paths(name):
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            gain = self.param("gain", nn.initializers.ones, (1, 1), x.dtype)
            h = nn.LayerNorm(param_dtype=x.dtype, name="norm")(gain * Block(name="block")(x))
            return nn.Dense(2, param_dtype=x.dtype, name="readout")(h)

    x, y, _ = problem(0)

    def direction(params, name):
        grads, curvature = curvature_of(Normed(), gaussian(), params, x, y["gaussian"])
        return SOLVES[name](curvature, grads, 0.1)

    shapes = jax.eval_shape(lambda: Normed().init(jax.random.key(0), x)["params"])
    with pytest.raises(ValueError, match=f"{name}: .*gain, norm/bias, norm/scale do not; use nat"):
        jax.eval_shape(partial(direction, name=name), shapes)
    for other in ("natural", "natural_cg", "natural_diagonal"):
        found = jax.eval_shape(partial(direction, name=other), shapes)
        assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, shapes)


@pytest.mark.parametrize("name", SOLVES)
def test_single_precision_stays_single(name):
    x, y, params = problem(1, np.float32)

    def update(params, damping):
        grads, curvature = curvature_of(Nested(), gaussian(), params, x, y["gaussian"])
        transform = scale_by_natural_gradient(SOLVES[name], adaptive_damping(damping, 0.5))
        return transform.update(grads, transform.init(params), curvature=curvature)

    direction, state = jax.eval_shape(update, params, jnp.float32(0.1))
    assert {leaf.dtype for leaf in jax.tree.leaves((direction, state.damping))} == {x.dtype}


# --- damping rules ----------------------------------------------------------------------------


def by_damping(curvature, grads, damping):
    """Return as the direction what damping was asked for."""
    return jax.tree.map(lambda g: damping * jnp.ones_like(g), grads)


NO_CURVATURE = Curvature(None, None, None, None, None)
ONE = jnp.ones(1)


def dampings_of(rule, steps, curvature=NO_CURVATURE):
    transform = scale_by_natural_gradient(by_damping, rule)

    def step(state, _):
        direction, state = transform.update(ONE, state, curvature=curvature)
        return state, direction[0]

    return np.asarray(jax.lax.scan(step, transform.init(ONE), length=steps)[1])


@pytest.mark.parametrize(
    "schedule",
    [
        optax.exponential_decay(2.0, 1, 0.5),
        optax.cosine_decay_schedule(0.3, 4),
        optax.piecewise_constant_schedule(1.0, {2: 0.1, 4: 10.0}),
        optax.warmup_cosine_decay_schedule(0.1, 1.0, 2, 5),
        optax.constant_schedule(1),
    ],
)
def test_scheduled_damping_is_the_schedule_of_the_step_from_zero_on(schedule):
    expected = [float(schedule(step)) for step in range(6)]
    np.testing.assert_allclose(dampings_of(scheduled_damping(schedule), 6), expected, rtol=1e-6)


def test_fixed_damping_stays_and_can_be_traced():
    one_program = jax.jit(jax.vmap(lambda damping: dampings_now(fixed_damping(damping))))
    np.testing.assert_array_equal(
        one_program(jnp.array([0.1, 3.0])), [[0.1, 0.1, 0.1], [3.0, 3.0, 3.0]]
    )


def dampings_now(rule):
    transform = scale_by_natural_gradient(by_damping, rule)
    state, found = transform.init(ONE), []
    for _ in range(3):
        direction, state = transform.update(ONE, state, curvature=NO_CURVATURE)
        found.append(direction[0])
    return jnp.stack(found)


def test_the_damping_of_the_next_step_depends_on_where_the_ratio_lies():
    following = adaptive_damping(1.0, learning_rate=1.0, factor=2.0).following
    ratios = [1e9, 1.0, 0.76, 0.75, 0.5, 0.25, 0.24, 0.0, -1.0, -np.inf, np.nan]
    expected = [0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    found = [float(following(jnp.array(1.0), jnp.array(1), jnp.array(r))) for r in ratios]
    assert found == expected


@pytest.fixture(scope="module")
def adapt():
    """Return (model, exponent of the labels' noise) -> the compiled adaptive descent."""

    @partial(jit, static_argnames=("model", "steps"))
    def run(model, params, x, y, initial, rate, factor, steps):
        rule = adaptive_damping(initial, rate, factor)
        transform = scale_by_natural_gradient(SOLVES["natural"], rule)

        def step(carry, _):
            params, state = carry
            grads, curvature = curvature_of(model, gaussian(0.5), params, x, y)
            direction, after = transform.update(grads, state, curvature=curvature)
            moved = jax.tree.map(lambda p, d: p - rate * d, params, direction)
            return (moved, after), (params, grads, curvature.loss, state.damping)

        return jax.lax.scan(step, (params, transform.init(params)), length=steps)[1]

    return run


@pytest.mark.parametrize("rate", [0.3, 1.0, 1.9])
def test_on_a_quadratic_loss_the_promise_is_kept_and_damping_falls_at_every_step(adapt, rate):
    # Linear-Gaussian: the Fisher is the Hessian.
    x, y, _ = problem(0)
    params = {"readout": {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(2)}}
    *_, dampings = adapt(Linear(), params, x, y["gaussian"], 4.0, rate, 2.0, 6)
    np.testing.assert_allclose(dampings, 4.0 * 0.5 ** np.arange(6), rtol=1e-15)


def test_adaptive_damping_is_what_a_plain_loop_makes_of_the_losses(adapt):
    x, y, start = problem(3)
    y = 4.0 * y["gaussian"]
    x, initial, rate, factor, steps = 2.0 * x, 1e-4, 1.0, 3.0, 10
    _, _, losses, dampings = adapt(Nested(), start, x, y, initial, rate, factor, steps)
    theta, unravel = ravel_pytree(start)
    damping, moves = initial, []

    def loss_of(theta):
        outputs = np.asarray(slow_pieces(unravel(jnp.asarray(theta)), x)[0])
        return np.mean(np.sum((outputs - y) ** 2, 1)) / 2 / 0.5

    theta = np.asarray(theta)
    for step in range(steps):
        np.testing.assert_allclose(dampings[step], damping, rtol=1e-12)
        np.testing.assert_allclose(losses[step], loss_of(theta), rtol=1e-8)
        outputs, jacobian, *_ = slow_pieces(unravel(jnp.asarray(theta)), x)
        fisher = np.einsum("nkp,nkq->pq", jacobian, jacobian) / N / 0.5
        grad = np.einsum("nkp,nk->p", jacobian, outputs - y) / N / 0.5
        u = -rate * np.linalg.solve(fisher + damping * np.eye(len(theta)), grad)
        promised = grad @ u + 0.5 * u @ fisher @ u
        ratio = (loss_of(theta + u) - loss_of(theta)) / promised
        move = 1 / factor if ratio > 0.75 else 1.0 if ratio >= 0.25 else factor
        theta, damping = theta + u, damping * move
        moves.append(move)
    assert set(moves) == {1 / factor, 1.0, factor}  # every branch is taken


def scalar_curvature(loss_after):
    """Return a loss of one parameter, 1/2 w^2 at w = 1 if one believes the Fisher."""
    return Curvature(
        factor=lambda: jnp.ones((1, 1)),
        product=lambda: lambda v: v,
        layers=dict,
        loss=jnp.array(0.5),
        loss_after=lambda displacement: loss_after(1.0 + displacement[0]),
    )


@pytest.mark.parametrize(
    ("loss_after", "expected"),
    [
        (lambda w: 0.5 * w**2, 1.0),
        (lambda w: 0.5 * w**2 + 0.2, 2.0),  # half of the promised .375
        (lambda w: 0.5 * w**2 + 0.3, 4.0),
        (lambda w: 0.9 + 0.0 * w, 4.0),  # the loss rises
        (lambda w: jnp.inf * w, 4.0),
        (lambda w: jnp.nan * w, 4.0),
    ],
)
def test_damping_grows_where_the_loss_falls_short_rises_or_is_undefined(loss_after, expected):
    # damping 2, gradient 1: the direction is 1 / 3; at a rate of 1.5 it halves w.
    rule = adaptive_damping(2.0, learning_rate=1.5, factor=2.0)
    transform = scale_by_natural_gradient(SOLVES["natural"], rule)
    direction, state = transform.update(
        ONE, transform.init(ONE), curvature=scalar_curvature(loss_after)
    )
    np.testing.assert_allclose(direction, [1 / 3], rtol=1e-14)
    assert state.damping == expected
    assert state.step == 1


# --- other coordinates ------------------------------------------------------------------------


def by_products(curvature, grads, damping):
    """Return the natural gradient from products alone, without their stopping early."""
    grad, unravel = ravel_pytree(grads)
    matrix = jax.vmap(curvature.product())(jnp.eye(len(grad)))
    return unravel(jnp.linalg.solve(matrix + damping * jnp.eye(len(grad)), grad))


RULES = {
    "scheduled": scheduled_damping(optax.exponential_decay(0.3, 1, 0.5)),
    # What adapts is the ratio; the damping is made to show all of its digits.
    "adaptive": Damping(0.05, lambda damping, step, ratio: 0.05 * (1 + ratio**2), RATE),
}
FRAMED = {
    "natural, adaptive": (SOLVES["natural"], RULES["adaptive"]),
    "natural_diagonal, scheduled": (SOLVES["natural_diagonal"], RULES["scheduled"]),
    "by products, adaptive": (by_products, RULES["adaptive"]),
}


@pytest.fixture(scope="module")
def framed():
    """Return (there, here): descents in a frame's coordinates and, through `in_frame`, outside.

    Both are seen outside, as parameters and dampings at every step, for a frame T and for the
    identity, from one start.
    """
    x, y, start = problem(5)
    theta, unravel = ravel_pytree(start)
    T = jnp.asarray(np.eye(theta.size) + 0.2 * np.random.default_rng(6).normal(size=theta.size))
    frames = jnp.stack([T, jnp.eye(theta.size)])
    starts = jax.vmap(unravel)(jnp.stack([jnp.linalg.solve(T, theta), theta]))

    def descend(model, transform, start, **extra):
        def step(carry, _):
            params, state = carry
            grads, curvature = curvature_of(model, gaussian(0.5), params, x, y["gaussian"])
            direction, after = transform.update(grads, state, curvature=curvature, **extra)
            moved = jax.tree.map(lambda p, d: p - RATE * d, params, direction)
            return (moved, after), (params, state.damping)

        return jax.lax.scan(step, (start, transform.init(start)), length=4)[1]

    def both(transform, T, start):
        def frame(params):
            return unravel(T @ ravel_pytree(params)[0])

        seen = SimpleNamespace(
            apply=lambda variables, x: Nested().apply({"params": frame(variables["params"])}, x)
        )
        there, dampings = descend(seen, transform, start)
        here = descend(Nested(), in_frame(transform), frame(start), frame=frame)
        return (jax.vmap(frame)(there), dampings), here

    @jit
    def run(frames, starts):
        return {
            name: jax.vmap(partial(both, scale_by_natural_gradient(solve, rule)))(frames, starts)
            for name, (solve, rule) in FRAMED.items()
        }

    return run(frames, starts)


@pytest.mark.parametrize("name", FRAMED)
def test_in_a_frame_the_parameters_move_as_they_would_there(framed, name):
    there, here = framed[name]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-10), here, there)
    assert len(set(np.asarray(here[1][0]).tolist())) > 2  # the damping moves


@pytest.mark.parametrize("name", FRAMED)
def test_damping_in_another_frame_is_another_damping(framed, name):
    # The second descent is in the frame that changes nothing: the parameters' own.
    _, (params, _) = framed[name]
    kernels = np.asarray(params["readout"]["kernel"])
    np.testing.assert_allclose(kernels[0, 0], kernels[1, 0], atol=1e-14)  # one start
    assert np.abs(kernels[0, -1] - kernels[1, -1]).max() > 1e-3


def test_products_and_factor_are_of_one_matrix_in_every_frame(framed):
    by_factor, products = framed["natural, adaptive"], framed["by products, adaptive"]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-10), products, by_factor)


def test_layers_are_refused_in_another_frame():
    transform = in_frame(scale_by_natural_gradient(SOLVES["natural_unit"], fixed_damping(1.0)))
    with pytest.raises(
        ValueError, match=r"in_frame: .* by layers.* use natural, natural_cg or nat"
    ):
        transform.update(
            ONE, transform.init(ONE), curvature=NO_CURVATURE, frame=lambda params: params
        )


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("name", ["natural_kfac", "natural_unit"])
def test_parameters_may_be_lists_and_tuples(name, kind):
    layers = {
        str(n): Layer(jnp.ones((1, 1, 2)) * (n + 1), jnp.ones((1, 1, 1, 1))) for n in range(2)
    }
    curvature = Curvature(None, None, lambda: layers, None, None)
    grads = [{"kernel": jnp.array([[1.0], [n]])} for n in range(2)]
    named = SOLVES[name](curvature, {str(n): layer for n, layer in enumerate(grads)}, 0.1)
    direction = SOLVES[name](curvature, kind(grads), 0.1)
    assert type(direction) is kind
    for n in range(2):
        np.testing.assert_array_equal(direction[n]["kernel"], named[str(n)]["kernel"])
