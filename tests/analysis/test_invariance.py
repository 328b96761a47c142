"""Natural gradient is blind to affine reparametrizations of a network, and what breaks that.

One function, f(x) = tanh(x W + b) V + c, is written in several frames: with constants subtracted
from the inputs, from the hidden activations, or both, and with sigmoid(2 u) in place of tanh(u).
The parameters of a frame are a linear map of those of the raw network, theta = M theta', so that
F' = M^T F M and g' = M^T g, and the step F'^-1 g' = M^-1 F^-1 g is the same step of the function.

When that holds: F has an inverse (tanh and sigmoid with biases and far more examples than
parameters; a softmax over all K logits and ReLU have exact null directions), its condition
number stays below about 1e6 on the way, since rounding is amplified by it at every step, the
constants do not depend on the parameters, and nothing is added to F.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.natural import (
    compare_directions,
    natural_gradient,
    natural_gradient_diagonal,
    natural_gradient_pinv,
    unit_natural_gradient,
)
from signdyn.likelihoods import gaussian

RATE, STEPS = 0.3, 10
# compiling is most of what takes time here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Frame(NamedTuple):
    """A way to write the network down."""

    input_shift: jax.Array
    hidden_shift: jax.Array
    sigmoid: jax.Array  # 1 for sigmoid(2 u) in the hidden layer, 0 for tanh(u)


def hidden(p, x, frame, tap=0.0):
    u = (x - frame.input_shift) @ p["W"] + p["b"] + tap
    a = jnp.where(frame.sigmoid > 0, jax.nn.sigmoid(2 * u), jnp.tanh(u))
    return a - frame.hidden_shift


def forward(p, x, frame, taps=(0.0, 0.0)):
    return hidden(p, x, frame, taps[0]) @ p["V"] + p["c"] + taps[1]


def reframed(p, frame):
    """Return the parameters that give in ``frame`` the function that p gives in the raw one."""
    # tanh(u) = 2 sigmoid(2 u) - 1
    V = (1 + frame.sigmoid) * p["V"]
    return {
        "W": p["W"],
        "b": p["b"] + frame.input_shift @ p["W"],
        "V": V,
        "c": p["c"] + frame.hidden_shift @ V - frame.sigmoid * jnp.sum(p["V"], axis=0),
    }


def normal_params(rng, units):
    return {
        "W": rng.normal(size=(3, units)) / np.sqrt(3),
        "b": rng.normal(size=units) * 0.5,
        "V": rng.normal(size=(units, 2)) * (4 / units) ** 0.5,
        "c": rng.normal(size=2),
    }


def problem(units, examples):
    """Return off-center inputs, labels by a network near by with noise, and the start."""
    rng = np.random.default_rng(10)
    x = rng.normal(size=(examples, 3)) + np.array([1.0, 0.5, -0.75])
    start = normal_params(rng, units)
    teacher = jax.tree.map(lambda p, dp: p + 0.5 * dp, start, normal_params(rng, units))
    y = np.tanh(x @ teacher["W"] + teacher["b"]) @ teacher["V"] + teacher["c"]
    frames = make_frames(x, start)
    theta, unravel = ravel_pytree(start)
    return jnp.asarray(x), jnp.asarray(y + 0.3 * rng.normal(size=y.shape)), theta, unravel, frames


def make_frames(x, p):
    u = x @ p["W"] + p["b"]
    mean_x, mean_tanh = np.mean(x, axis=0), np.mean(np.tanh(u), axis=0)
    mean_sigmoid = np.mean(1 / (1 + np.exp(-2 * u)), axis=0)
    none_x, none_h = 0 * mean_x, 0 * mean_tanh
    shifts = {
        "raw": (none_x, none_h, 0.0),
        "inputs centered": (mean_x, none_h, 0.0),
        "hidden centered": (none_x, mean_tanh, 0.0),
        "both centered": (mean_x, mean_tanh, 0.0),
        "sigmoid": (none_x, none_h, 1.0),
        "sigmoid, both centered": (mean_x, mean_sigmoid, 1.0),
    }
    return {name: Frame(*map(jnp.asarray, shift)) for name, shift in shifts.items()}


X, Y, START, UNRAVEL, FRAMES = problem(units=4, examples=400)
NAMES = list(FRAMES)
OTHERS = NAMES[1:]
STACKED = jax.tree.map(lambda *leaves: jnp.stack(leaves), *FRAMES.values())
ZEROS = jnp.zeros((len(NAMES), START.size, START.size))


def to_frame(theta, frame, unravel=UNRAVEL):
    return ravel_pytree(reframed(unravel(theta), frame))[0]


def outputs(theta, frame, unravel=UNRAVEL, x=X):
    return forward(unravel(theta), x, frame)


def gradient(theta, frame, unravel=UNRAVEL, x=X, y=Y):
    return jax.grad(lambda t: jnp.mean(gaussian().nll(outputs(t, frame, unravel, x), y)))(theta)


def factor(theta, frame, unravel=UNRAVEL, x=X):
    return fisher_factor(lambda t, x: outputs(t, frame, unravel, x), gaussian(), theta, x)


def trained(direction, frame, *args):
    """Return the outputs [step, example, output] on the way of ``STEPS`` steps from ``START``."""

    def step(theta, _):
        theta = theta - RATE * direction(theta, frame, *args)
        return theta, outputs(theta, frame)

    return jax.lax.scan(step, to_frame(START, frame), None, length=STEPS)[1]


def natural(theta, frame, root, damping):
    """Return (F + root^T root + damping I)^{-1} grad."""
    A = jnp.concatenate([factor(theta, frame), root])
    return natural_gradient(A, gradient(theta, frame), damping=damping)


def by_diagonal(theta, frame):
    diagonal = jnp.sum(factor(theta, frame) ** 2, axis=0)
    return natural_gradient_diagonal(diagonal, gradient(theta, frame), damping=0.0)


def by_unit(theta, frame):
    """Return the natural gradient of a Fisher without entries between one unit and another."""
    p, g = UNRAVEL(theta), UNRAVEL(gradient(theta, frame))
    # B_n = I for gaussian(): the columns of the Jacobian are the deltas, [N, R, T = 1, units].
    jacobian = jax.jacrev(lambda taps, x: forward(p, x, frame, taps))
    deltas = jax.vmap(jacobian, in_axes=(None, 0))((jnp.zeros(4), jnp.zeros(2)), X)
    parts = (("W", "b", X - frame.input_shift), ("V", "c", hidden(p, X, frame)))
    direction = {}
    for (kernel, bias, inputs), d in zip(parts, deltas, strict=True):
        grad = jnp.vstack([g[kernel], g[bias]])
        solved = unit_natural_gradient(inputs[:, None], d[:, :, None], grad, damping=0.0)
        direction |= {kernel: solved[:-1], bias: solved[-1]}
    return ravel_pytree(direction)[0]


BEFORE = np.asarray(jit(outputs)(START, FRAMES["raw"]))
follow_natural = jit(jax.vmap(lambda frame, root, damping: trained(natural, frame, root, damping)))
maps = jit(jax.vmap(lambda f: jnp.linalg.inv(jax.jacobian(to_frame)(START, f))))(STACKED)


def apart(paths, name):
    """Return the largest difference of outputs between two frames, and how far the raw moved."""
    paths = np.asarray(paths)
    raw, other = paths[NAMES.index("raw")], paths[NAMES.index(name)]
    moved = np.max(np.abs(raw - BEFORE))
    assert np.all(np.isfinite(paths))
    return np.max(np.abs(raw - other)), moved


@pytest.fixture(scope="module")
def undamped():
    return follow_natural(STACKED, ZEROS, jnp.zeros(len(NAMES)))


@pytest.fixture(scope="module", params=["sgd", "diagonal", "unit"])
def other_rule(request):
    rule = {"sgd": gradient, "diagonal": by_diagonal, "unit": by_unit}[request.param]
    return request.param, jit(jax.vmap(lambda frame: trained(rule, frame)))(STACKED)


def test_every_frame_writes_down_the_same_function():
    found = jit(jax.vmap(lambda frame: outputs(to_frame(START, frame), frame)))(STACKED)
    np.testing.assert_allclose(found, found[:1].repeat(len(NAMES), 0), atol=1e-14)


def test_factor_and_gradient_transform_with_the_frame_and_are_well_conditioned():
    every = jit(jax.vmap(lambda f: [rule(to_frame(START, f), f) for rule in (factor, gradient)]))
    A, grad = every(STACKED)
    np.testing.assert_allclose(A, A[0] @ maps, atol=1e-14)
    np.testing.assert_allclose(grad, maps.mT @ grad[0], atol=1e-13)
    assert np.max(np.linalg.cond(A) ** 2) < 1e6


@pytest.mark.parametrize("name", OTHERS)
def test_undamped_natural_gradient_is_the_same_path_of_the_function_in_every_frame(undamped, name):
    difference, moved = apart(undamped, name)
    assert moved > 1.0
    assert difference < 1e-8  # 1e-16 * kappa, amplified from step to step


def test_the_gradient_and_the_diagonal_fisher_depend_on_the_frame_and_the_units_fisher_does_not(
    other_rule,
):
    # A frame maps the weights and the bias of one unit among themselves, so that a Fisher cut
    # into units' blocks transforms as the whole does. A diagonal one does not: a shift mixes
    # weights with the bias. A mere change of scale, as of the sigmoid's weights, it would take.
    rule, paths = other_rule
    for name in OTHERS:
        difference, moved = apart(paths, name)
        assert moved > 1.0
        assert difference < 1e-8 if rule == "unit" else difference > 0.1


def test_tikhonov_damping_breaks_the_invariance_gradually():
    dampings = (1e-8, 1e-6, 1e-4, 1e-2, 1e-1)
    ladder = [follow_natural(STACKED, ZEROS, jnp.full(len(NAMES), d)) for d in dampings]
    for name in ("both centered", "sigmoid"):
        apart_by = np.array([apart(paths, name)[0] for paths in ladder])
        assert np.all(np.diff(apart_by) > 0)
        assert apart_by[-1] > 0.1
        np.testing.assert_allclose(apart_by[1] / apart_by[0], 100.0, rtol=0.01)  # linear at first


def test_damping_that_transforms_with_the_frame_restores_it():
    # theta = M theta', so D in the raw frame is M^T D M in the other one: the same penalty of the
    # same step. D is neither small nor a multiple of the identity.
    rng = np.random.default_rng(0)
    root = jnp.asarray(0.1 * rng.normal(size=(START.size, START.size)))
    transformed = follow_natural(STACKED, root @ maps, jnp.zeros(len(NAMES)))
    as_it_is = follow_natural(STACKED, jnp.stack([root] * len(NAMES)), jnp.zeros(len(NAMES)))
    for name in OTHERS:
        difference, moved = apart(transformed, name)
        assert moved > 1.0
        assert difference < 1e-10
        assert apart(as_it_is, name)[0] > 1e-2


def test_in_function_space_directions_compare_alike_in_every_frame_and_in_parameters_do_not():
    def compared(frame):
        theta = to_frame(START, frame)
        A, grad = factor(theta, frame), gradient(theta, frame)
        step = natural_gradient(A, grad, damping=0.0)
        # the raw gradient as the same change of the function, not as the frame's own gradient
        raw = to_frame(START + gradient(START, FRAMES["raw"]), frame) - theta
        return compare_directions(step, raw, A=A)

    found = jit(jax.vmap(compared))(STACKED)
    for invariant in (found.function_cosine, found.function_norm_ratio):
        np.testing.assert_allclose(invariant, invariant[0], rtol=1e-9)
    assert np.ptp(found.cosine) > 0.01
    assert np.ptp(found.norm_ratio) > 0.01


def slope_of(differences, rates):
    return np.polyfit(np.log(rates), np.log(differences), 1)[0]


def test_means_over_the_batch_leave_it_to_first_order_in_the_step():
    # The shift depends on the parameters: a curved change of coordinates. Examples are coupled,
    # so that the factor is the Jacobian of all outputs together.
    raw = FRAMES["raw"]

    def centered(theta):
        p = UNRAVEL(theta)
        h = jnp.tanh((X - jnp.mean(X, axis=0)) @ p["W"] + p["b"])
        return (h - jnp.mean(h, axis=0)) @ p["V"] + p["c"]

    def stepped(f, theta, rate):
        A = jax.jacfwd(f)(theta).reshape(-1, theta.size) / X.shape[0] ** 0.5
        grad = jax.grad(lambda t: jnp.mean(gaussian().nll(f(t), Y)))(theta)
        return f(theta - rate * natural_gradient(A, grad, damping=0.0))

    @jit
    @jax.vmap
    def difference(rate):
        constant = stepped(lambda t: outputs(t, raw), START, rate)
        batch = stepped(centered, to_frame(START, FRAMES["both centered"]), rate)
        return jnp.max(jnp.abs(batch - constant))

    rates = np.array([0.1, 0.05, 0.025, 0.0125])
    assert abs(slope_of(difference(rates), rates) - 2.0) < 0.1
    np.testing.assert_allclose(difference(np.zeros(1)), 0.0, atol=1e-14)


def test_the_pseudo_inverse_of_too_many_parameters_leaves_it_to_first_order_in_the_step():
    # 30 outputs and 242 parameters: F^+ g picks the shortest step that has the given effect, and
    # lengths depend on the frame. The effect does not, to first order: it is the residuals'.
    x, y, theta, unravel, frames = problem(units=40, examples=15)

    @jit
    @jax.vmap
    def stepped(rate, frame):
        start = to_frame(theta, frame, unravel)
        A, grad = factor(start, frame, unravel, x), gradient(start, frame, unravel, x, y)
        step = natural_gradient_pinv(A, grad, rcond=1e-13)
        return outputs(start - rate * step, frame, unravel, x)

    rates = np.array([0.04, 0.02, 0.01, 0.005])
    repeated = {name: jax.tree.map(lambda v: jnp.stack([v] * 4), f) for name, f in frames.items()}
    raw = stepped(rates, repeated["raw"])
    for name in ("both centered", "sigmoid"):
        differences = np.max(np.abs(raw - stepped(rates, repeated[name])), axis=(1, 2))
        assert abs(slope_of(differences, rates) - 2.0) < 0.1
    before = outputs(theta, frames["raw"], unravel, x)
    closed = before + rates[:, None, None] * (y - before)
    assert abs(slope_of(np.max(np.abs(raw - closed), axis=(1, 2)), rates) - 2.0) < 0.1


def test_centering_leaves_deltas_alone_and_moves_gradients_by_the_bias_gradient():
    zeros = (jnp.zeros((400, 4)), jnp.zeros((400, 2)))

    @jit
    @jax.vmap
    def gradients(frame):
        def loss(p, taps):
            return jnp.mean(gaussian().nll(forward(p, X, frame, taps), Y))

        return jax.grad(loss, argnums=(0, 1))(reframed(UNRAVEL(START), frame), zeros)

    every, deltas = gradients(STACKED)
    raw = jax.tree.map(lambda g: g[NAMES.index("raw")], every)
    centered = jax.tree.map(lambda g: g[NAMES.index("both centered")], every)
    frame = FRAMES["both centered"]
    for kernel, bias, shift in (("W", "b", frame.input_shift), ("V", "c", frame.hidden_shift)):
        expected = raw[kernel] - jnp.outer(shift, raw[bias])
        np.testing.assert_allclose(centered[bias], raw[bias], rtol=0, atol=1e-14)
        np.testing.assert_allclose(centered[kernel], expected, rtol=0, atol=1e-14)
        assert np.max(np.abs(centered[kernel] - raw[kernel])) > 0.1
    for delta in deltas:
        np.testing.assert_allclose(delta, delta[:1].repeat(len(NAMES), 0), rtol=0, atol=1e-16)
