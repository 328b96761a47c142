"""Training: a plain loop as the slow twin, exactness of flips, and what a replica may depend on."""

from dataclasses import replace
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor
from signdyn.centering import CENTERINGS, Centering, SiteCentering, combine, offset
from signdyn.data import load
from signdyn.likelihoods import Likelihood, bernoulli, categorical, gaussian
from signdyn.models.mlp import MLP
from signdyn.models.whitening import Mapped
from signdyn.optimizers import DIRECTIONS
from signdyn.preconditioning import SOLVES
from signdyn.replicas import draw_replica, start_replica
from signdyn.sweeps import stack_hypers
from signdyn.training import (
    NEVER,
    RUNNING_MEAN_DECAY,
    Hyper,
    Probe,
    Structure,
    make_train_fn,
)

MODEL = MLP((4,), 3, "tanh")
STEPS, BATCH, N = 6, 4, 12
# Compiling is all that takes time here; where bits are compared, programs are optimized as ever.
FAST = {"xla_backend_optimization_level": 0}


def data_of(dtype):
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        x_train=rng.uniform(0, 2, size=(N, 5)).astype(dtype),
        y_train=(np.arange(N) % 3).astype(np.int32),
        x_test=rng.uniform(0, 2, size=(7, 5)).astype(dtype),
        y_test=(np.arange(7) % 3).astype(np.int32),
        num_classes=3,
    )


DATA, DATA32 = data_of(np.float64), data_of(np.float32)
EVERYTHING = Centering(
    SiteCentering(0.5, 0.3, 0.2, scale=0.8), SiteCentering(0.1, 0.6, -0.4, flip=1.0, scale=1.5)
)
VARIANTS = {
    "none": CENTERINGS["none"],
    "both": CENTERINGS["both"],
    "batch": CENTERINGS["batch"],
    "everything": EVERYTHING,
}


# --- what is watched --------------------------------------------------------------------------


def first_sight(params):
    kernel = params["dense_1"]["kernel"]
    return {
        "count": 0,
        "step": -1,
        "loss": 0.0,
        "train_loss": 0.0,
        "next": kernel,
        "chained": True,
        "gradient": jnp.zeros_like(kernel),
    }


def observe(state, seen):
    kernel, trace = seen.params["dense_1"]["kernel"], seen.traces
    product = trace.inputs[1].T @ trace.deltas[1] / len(trace.outputs)
    return {
        "count": state["count"] + 1,
        "step": seen.step,
        "loss": trace.loss,
        "train_loss": seen.train_loss,
        "next": kernel + seen.updates["dense_1"]["kernel"],
        "chained": state["chained"] & (kernel == state["next"]).all(),
        "gradient": trace.grads["dense_1"]["kernel"] - product,
    }


WATCH = Probe(first_sight, observe, lambda state: {**state, "double": 2 * state["count"]})


# --- a plain loop -----------------------------------------------------------------------------


def forward(params, x, coefficients, constants, gains, running=None):
    """Return outputs, each site's batch mean and each layer's inputs, by the formula of a site."""
    a, batch_means, inputs = x, [], []
    for index, layer in enumerate(params):
        c_const, c_batch, shift, *_ = coefficients[min(index, 1)]
        batch_means.append(a.mean(0))
        mean = batch_means[-1] if running is None else running[index]
        inputs.append(gains[index] * (a + shift - c_const * constants[index] - c_batch * mean))
        z = inputs[-1] @ layer[0] + layer[1]
        a = jnp.tanh(z)
    return z, batch_means, inputs


def mean_nll(params, x, y, *sites, running=None):
    outputs, batch_means, _ = forward(params, x, *sites, running=running)
    if jnp.issubdtype(y.dtype, jnp.integer):  # softmax
        log_p = outputs - jax.scipy.special.logsumexp(outputs, axis=1, keepdims=True)
        nll = -log_p[jnp.arange(len(y)), y]
    elif y.ndim == 1:  # logistic, labels 0 and 1
        nll = jnp.log1p(jnp.exp(-(2 * y - 1) * outputs[:, 0]))
    else:  # normal
        nll = ((outputs - y) ** 2).sum(1) / 2
    return nll.mean(), (batch_means, outputs)


value_and_grad = jax.jit(jax.value_and_grad(mean_nll, has_aux=True), compiler_options=FAST)
evaluate = jax.jit(mean_nll, compiler_options=FAST)


as_numpy = partial(jax.tree.map, np.asarray)  # whose operations need no compiling


def coefficients_of(hyper):
    return tuple(tuple(number or 0.0 for number in site) for site in hyper.centering)


def plain_loop(draw, hyper, batches, data=DATA, direction=None):
    """Return what descent with decay on kernels gives, in a Python loop.

    ``direction`` makes of (params, grads, x, y, sites, batch means) what is gone along; None
    takes the gradient.
    """
    coefficients = coefficients_of(hyper)
    x, y = data.x_train.astype(np.float64), data.y_train
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), list(draw.params.values()))
    params = [(hyper.init_scale * layer["kernel"], layer["bias"]) for layer in layers]
    gains = [
        c[4] * np.where(c[3], sign, 1.0) for sign, c in zip(draw.signs, coefficients, strict=True)
    ]
    zeros = [np.zeros(len(gain)) for gain in gains]
    plain = ((0.0,) * 5,) * 2, zeros, [np.ones(len(gain)) for gain in gains]
    constants = as_numpy(evaluate(params, x, y, *plain)[1][0])
    for layer, (c_const, c_batch, shift, *_) in enumerate(coefficients):
        kernel, bias = params[layer]
        moved = shift - (c_const + c_batch) * constants[layer]
        params[layer] = (kernel / gains[layer][:, None], bias - moved @ kernel)
    sites, running = (coefficients, constants, gains), list(constants)
    losses, train_losses = [], []
    for rows in batches:
        if len(rows) < len(x):
            train_losses.append(evaluate(params, x, y, *sites, running=running)[0])
        batch = x[rows], y[rows]
        (loss, (means, _)), grads = as_numpy(value_and_grad(params, *batch, *sites))
        if direction is not None:
            grads = direction(params, grads, *batch, sites, means)
        losses.append(loss)
        decay, rate = hyper.weight_decay, hyper.learning_rate
        params = [
            (kernel - rate * (g_kernel + decay * kernel), bias - rate * g_bias)
            for (kernel, bias), (g_kernel, g_bias) in zip(params, grads, strict=True)
        ]
        running = [
            RUNNING_MEAN_DECAY * old + (1 - RUNNING_MEAN_DECAY) * new
            for old, new in zip(running, means, strict=True)
        ]
    final = {}
    for split in ("train", "test"):
        inputs, labels = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        inputs = inputs.astype(np.float64)
        loss, (_, outputs) = as_numpy(evaluate(params, inputs, labels, *sites, running=running))
        final[f"{split}_loss"] = loss
        if labels.dtype == np.int32:
            final[f"{split}_accuracy"] = np.mean(np.argmax(outputs, 1) == labels)
    return SimpleNamespace(loss=losses, train_loss=train_losses, final=final, params=params)


draw_of = jax.jit(
    partial(draw_replica, MODEL, (N, 5), "float64", (BATCH, STEPS)), compiler_options=FAST
)


def structure_of(batch_size, **fields):
    return Structure(MODEL, categorical(), "sgd", STEPS, batch_size, record_every=2, **fields)


@pytest.fixture(scope="module")
def runs():
    """Return batch size -> compiled (draw, hyper) -> Trajectory, in double precision."""
    found = {}
    for batch_size in (None, BATCH):
        train = make_train_fn(structure_of(batch_size), DATA, WATCH)
        found[batch_size] = jax.jit(train.run, compiler_options=FAST)
    return found


def as_batched(draw, batch_size):
    return draw if batch_size else draw._replace(batches=None)


@pytest.fixture(scope="module")
def trained(runs):
    """Return (batch size, variant) -> (trajectory, draw, hyper)."""
    found = {}
    for batch_size, run in runs.items():
        draw = as_batched(draw_of(jax.random.key(3)), batch_size)
        for name, centering in VARIANTS.items():
            hyper = Hyper(0.3, weight_decay=0.05, init_scale=1.5, centering=centering)
            found[batch_size, name] = run(draw, hyper), draw, hyper
    return found


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("batch_size", [None, BATCH])
def test_training_is_what_a_plain_loop_does(trained, batch_size, name):
    trajectory, draw, hyper = trained[batch_size, name]
    batches = [np.arange(N)] * STEPS if batch_size is None else draw.batches
    slow = plain_loop(draw, hyper, batches)
    np.testing.assert_allclose(trajectory.loss, slow.loss, rtol=0, atol=1e-12)
    for metric, value in slow.final.items():
        np.testing.assert_allclose(trajectory.final[metric], value, atol=1e-12, err_msg=metric)
    for layer, (kernel, bias) in zip(trajectory.params.values(), slow.params, strict=True):
        np.testing.assert_allclose(layer["kernel"], kernel, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer["bias"], bias, rtol=0, atol=1e-12)
    assert trajectory.diverged_at == NEVER
    # Recorded before steps 0, 2, 4. With all examples in the batch it is the step's own loss.
    recorded = slow.loss if batch_size is None else slow.train_loss
    np.testing.assert_allclose(trajectory.train_loss, recorded[::2], rtol=0, atol=1e-12)


def test_with_all_examples_in_the_batch_the_training_loss_is_the_steps_loss(trained):
    for name in VARIANTS:
        trajectory, *_ = trained[None, name]
        np.testing.assert_array_equal(trajectory.train_loss, trajectory.loss[::2])


@pytest.mark.parametrize("batch_size", [None, BATCH])
def test_all_variants_of_a_seed_start_at_one_loss_and_then_part(trained, batch_size):
    runs = [trained[batch_size, name][0] for name in VARIANTS]
    np.testing.assert_allclose([run.train_loss[0] for run in runs], runs[0].train_loss[0])
    assert len({round(float(run.train_loss[-1]), 6) for run in runs}) == len(VARIANTS)


def test_evaluation_of_batch_centering_uses_running_means_not_the_test_batchs_own(trained):
    trajectory, _, hyper = trained[None, "batch"]
    params = [(layer["kernel"], layer["bias"]) for layer in trajectory.params.values()]
    coefficients = coefficients_of(hyper)
    ones = [np.ones(5), np.ones(4)]
    own, _ = evaluate(params, DATA.x_test, DATA.y_test, coefficients, [0.0, 0.0], ones)
    assert abs(own - trajectory.final["test_loss"]) > 1e-3


# --- flips, exactly ---------------------------------------------------------------------------

FLIPS = [
    CENTERINGS["none"],
    CENTERINGS["flip"],
    CENTERINGS["flip_input"],
    CENTERINGS["flip_hidden"],
]


@pytest.fixture(scope="module")
def single():
    """Return a draw in single precision, and (optimizer, batch size, mapped) -> program."""
    draw = jax.tree.map(
        lambda leaf: leaf.astype(np.float32) if leaf.dtype == np.float64 else leaf,
        draw_of(jax.random.key(4)),
    )
    programs = {}

    def program(optimizer, batch_size, map_one=lax.map):
        if (optimizer, batch_size, map_one) not in programs:
            structure = structure_of(batch_size)
            train = make_train_fn(replace(structure, optimizer=optimizer), DATA32)
            run = partial(train.run, as_batched(draw, batch_size))
            programs[optimizer, batch_size, map_one] = jax.jit(partial(map_one, run))
        return programs[optimizer, batch_size, map_one]

    return draw, program


@pytest.mark.parametrize("optimizer", DIRECTIONS)
def test_flipped_replicas_train_bitwise_alike_unless_gradients_are_centralized(single, optimizer):
    draw, program = single
    hypers = stack_hypers([Hyper(0.05, weight_decay=0.1, centering=flip) for flip in FLIPS])
    run = program(optimizer, BATCH if optimizer in ("sgd", "centralized_sgd") else None)
    result = jax.tree.map(np.asarray, run(hypers))
    assert result.loss.dtype == np.float32
    assert all((sign < 0).any() for sign in draw.signs)  # something is flipped
    for flipped in range(1, len(FLIPS)):
        if optimizer == "centralized_sgd":
            assert np.abs(result.loss[flipped] - result.loss[0]).max() > 1e-3
            continue
        np.testing.assert_array_equal(result.loss[flipped], result.loss[0])
        np.testing.assert_array_equal(result.train_loss[flipped], result.train_loss[0])
        for metric in result.final.values():
            assert metric[flipped] == metric[0]
        for leaf in jax.tree.leaves(result.params):
            np.testing.assert_array_equal(np.abs(leaf[flipped]), np.abs(leaf[0]))
    kernel = result.params["dense_1"]["kernel"]
    assert (np.sign(kernel[1]) != np.sign(kernel[0])).any()


# --- natural gradients ------------------------------------------------------------------------


def problem_of(kind, dtype):
    """Return data with 24 training examples of 2 features, and labels as ``kind`` takes them."""
    rng = np.random.default_rng(6)
    x = rng.normal(0.7, 1.0, size=(31, 2)).astype(dtype)
    y = {
        "gaussian": rng.normal(size=(31, 2)).astype(dtype),
        "categorical": (np.arange(31) % 2).astype(np.int32),
        "bernoulli": (np.arange(31) % 2).astype(dtype),
    }[kind]
    return SimpleNamespace(
        x_train=x[:24], y_train=y[:24], x_test=x[24:], y_test=y[24:], num_classes=2
    )


class Case(NamedTuple):
    optimizer: str
    kind: str
    batch_size: int | None = None
    damping: str = "scheduled"
    frame: str = "own"
    dtype: type = np.float64


# Each optimizer once, each kind of label, full batches and parts, both rules, both precisions.
CASES = {
    "natural": Case("natural", "gaussian"),
    "natural_cg": Case("natural_cg", "gaussian"),
    "natural_kfac": Case("natural_kfac", "categorical", 8, damping="adaptive"),
    "natural_unit": Case("natural_unit", "bernoulli", 8, dtype=np.float32),
    "natural_diagonal": Case("natural_diagonal", "categorical"),
}
SEEDS = 2
NATURAL_VARIANTS = {name: VARIANTS[name] for name in ("batch", "everything")}


class Compiled:
    """The program of a case, vmapped over seeds, and how often it was traced."""

    def __init__(self, case):
        self.data = problem_of(case.kind, case.dtype)
        likelihood = {"gaussian": gaussian, "categorical": categorical, "bernoulli": bernoulli}
        self.train = make_train_fn(
            Structure(
                MLP((3,), 1 if case.kind == "bernoulli" else 2, "tanh"),
                likelihood[case.kind](),
                case.optimizer,
                steps=6,
                batch_size=case.batch_size,
                record_every=2,
                damping=case.damping,
                damping_frame=case.frame,
            ),
            self.data,
        )
        self.traces = 0
        keys = jax.random.split(jax.random.key(0), SEEDS)
        self.draws = as_numpy(jax.jit(jax.vmap(self.train.draw), compiler_options=FAST)(keys))
        self.jitted = jax.jit(jax.vmap(self.counted, in_axes=(0, None)), compiler_options=FAST)

    def counted(self, draw, hyper):
        self.traces += 1
        return self.train.run(draw, hyper)

    def __call__(self, hyper):
        return as_numpy(self.jitted(self.draws, hyper))


@pytest.fixture(scope="module")
def compiled():
    return lru_cache(Compiled)


@partial(jax.jit, compiler_options=FAST)
def slow_pieces(params, x, sites, means):
    """Return outputs, their Jacobian by layer [N, K, fan_in + 1, units], and inputs (h, 1)."""
    theta, unravel = ravel_pytree(params)  # a layer's kernel and then its bias
    outputs, _, inputs = forward(params, x, *sites, running=means)
    jacobian = jax.jacobian(lambda theta: forward(unravel(theta), x, *sites, running=means)[0])
    return outputs, jacobian(theta), [jnp.append(h, jnp.ones((len(h), 1)), 1) for h in inputs]


def explicit_fishers(params, x, y, sites, means):
    """Return the Fisher with the batch's means as constants, and what each name makes of it."""
    outputs, jacobian, inputs = as_numpy(slow_pieces(params, x, sites, means))
    if np.issubdtype(y.dtype, np.integer):
        p = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
        of_outputs = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    elif y.ndim == 1:
        p = 1 / (1 + np.exp(-outputs))
        of_outputs = (p * (1 - p))[..., None]
    else:
        of_outputs = np.broadcast_to(np.eye(2), (len(x), 2, 2))
    full = np.einsum("nkp,nkl,nlq->pq", jacobian, of_outputs, jacobian) / len(x)
    kronecker, by_unit, start = np.zeros_like(full), np.zeros_like(full), 0
    for h, (_, bias) in zip(inputs, params, strict=True):
        units, size = len(bias), h.shape[1] * len(bias)
        own = slice(start, start + size)
        start += size
        to_outputs = jacobian[:, :, own][:, :, -units:]  # d outputs / d bias = d outputs / d z
        G = np.einsum("nku,nkl,nlv->uv", to_outputs, of_outputs, to_outputs) / len(x)
        kronecker[own, own] = np.kron(h.T @ h / len(x), G)
        by_unit[own, own] = full[own, own] * np.tile(np.eye(units), (h.shape[1],) * 2)
    diagonal = np.diag(np.diag(full))
    return full, dict(zip(SOLVES, (full, full, kronecker, by_unit, diagonal), strict=True))


def by_explicit_matrix(name, hyper, rule):
    """Return the direction of `plain_loop` that solves with a matrix, damped by the rule."""
    damping = hyper.damping

    def direction(params, grads, x, y, sites, means):
        nonlocal damping
        full, of_name = explicit_fishers(params, x, y, sites, means)
        g = np.concatenate([leaf.ravel() for layer in grads for leaf in layer])
        d = np.linalg.solve(of_name[name] + damping * np.eye(len(g)), g)
        parts = np.split(d, np.cumsum([leaf.size for layer in grads for leaf in layer])[:-1])
        kernels, biases = parts[0::2], parts[1::2]
        step = [(k.reshape(-1, len(b)), b) for k, b in zip(kernels, biases, strict=True)]
        if rule == "scheduled":
            damping = damping * hyper.damping_decay
        else:
            u = -hyper.learning_rate * d
            moved = jax.tree.map(lambda p, d: p - hyper.learning_rate * d, params, step)
            before, after = (evaluate(p, x, y, *sites)[0] for p in (params, moved))
            ratio = (after - before) / (g @ u + 0.5 * u @ full @ u)
            damping *= 1 / 1.5 if ratio > 0.75 else 1.0 if ratio >= 0.25 else 1.5
        return step

    return direction


def test_every_natural_gradient_by_a_solve_is_trained_with():
    assert tuple(CASES) == tuple(SOLVES) == tuple(case.optimizer for case in CASES.values())


@pytest.mark.parametrize("name", CASES)
def test_natural_training_is_what_a_plain_loop_with_explicit_matrices_does(compiled, name):
    case, run = CASES[name], compiled(CASES[name])
    # Double: rounding times a condition number; CG: as far as it is solved for.
    atol = 2e-4 if name == "natural_cg" else 1e-3 if case.dtype == np.float32 else 1e-8
    paths = []
    for number, centering in enumerate(NATURAL_VARIANTS.values()):
        damping = 1.0 + number
        hyper = Hyper(0.5, 0.05, centering=centering, damping=damping, damping_decay=0.8)
        found = run(hyper)
        assert found.loss.dtype == case.dtype
        paths.append(found.loss[0])
        for seed in range(SEEDS):
            draw, one = jax.tree.map(lambda a, seed=seed: a[seed], (run.draws, found))
            batches = [np.arange(24)] * 6 if case.batch_size is None else draw.batches
            direction = by_explicit_matrix(name, hyper, case.damping)
            slow = plain_loop(draw, hyper, batches, run.data, direction)
            np.testing.assert_allclose(one.loss, slow.loss, rtol=0, atol=atol)
            for metric, value in slow.final.items():
                np.testing.assert_allclose(one.final[metric], value, atol=atol, err_msg=metric)
            for layer, (kernel, bias) in zip(one.params.values(), slow.params, strict=True):
                np.testing.assert_allclose(layer["kernel"], kernel, rtol=0, atol=10 * atol)
                np.testing.assert_allclose(layer["bias"], bias, rtol=0, atol=10 * atol)
    assert run.traces == 1  # for all dampings
    assert np.abs(paths[0] - paths[1]).max() > 10 * atol


SIGMOID = Centering(hidden=SiteCentering(offset=1.0, scale=0.5))
AFFINE = {
    "raw": CENTERINGS["none"],
    "centered": CENTERINGS["both"],
    "sigmoid": SIGMOID,
    "flipped": CENTERINGS["flip"],
    "offset": offset(1.5, input=-1.0),
    "scaled": Centering(SiteCentering(scale=3.0), SiteCentering(scale=0.2)),
    "all": combine(CENTERINGS["both"], CENTERINGS["flip"], SIGMOID),
}


@pytest.fixture(scope="module")
def loss_of(compiled):
    def loss_of(case, **numbers):
        """Return variant -> losses [seeds, steps]."""
        return {
            name: compiled(case)(Hyper(0.1, centering=centering, **numbers)).loss
            for name, centering in AFFINE.items()
        }

    return loss_of


def largest_difference(losses):
    return max(np.abs(loss - losses["raw"]).max() for loss in losses.values())


def test_without_damping_natural_gradient_does_not_see_centering_but_sgd_does(loss_of, compiled):
    losses = loss_of(CASES["natural"], damping=0.0)
    assert largest_difference(losses) < 1e-9
    assert np.ptp(losses["raw"], axis=1).min() > 0.05
    run = compiled(CASES["natural"])
    draw = jax.tree.map(lambda a: a[0], run.draws)
    raw, centered, sigmoid = (
        plain_loop(draw, Hyper(0.1, centering=AFFINE[name]), [np.arange(24)] * 6, run.data).loss
        for name in ("raw", "centered", "sigmoid")
    )
    assert np.abs(np.subtract(raw, centered)).max() > 1e-3
    assert np.abs(np.subtract(raw, sigmoid)).max() > 1e-3


@pytest.mark.parametrize("rule", ["scheduled", "adaptive"])
def test_damping_sees_centering_in_its_own_frame_and_not_in_the_raw_one(loss_of, rule):
    raw_frame = Case("natural", "gaussian", damping=rule, frame="raw")
    losses = loss_of(raw_frame, damping=0.3, damping_decay=0.8)
    assert largest_difference(losses) < 1e-10
    if rule == "scheduled":
        own = loss_of(CASES["natural"], damping=0.3, damping_decay=0.8)
        assert largest_difference(own) > 1e-3
        # Without centering the two frames are one.
        np.testing.assert_allclose(own["raw"], losses["raw"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(own["flipped"], own["raw"], rtol=0, atol=1e-12)


def test_without_a_damping_nothing_is_trained_and_no_number_is_made_up(compiled):
    found = compiled(CASES["natural"])(Hyper(0.5))
    # The loss is that of before the step, so the first one is the start's.
    assert np.isfinite(found.loss[:, 0]).all()
    assert np.isnan(found.loss[:, 1:]).all()
    assert found.diverged_at.tolist() == [1] * SEEDS
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(found.params))


def test_labels_that_are_numbers_are_redrawn_from_the_examples(compiled):
    run = compiled(CASES["natural"])
    clean, noisy = (run(Hyper(0.0, label_noise=noise, damping=1.0)) for noise in (0.0, 1.0))
    assert (clean.loss[:, 0] != noisy.loss[:, 0]).all()
    np.testing.assert_array_equal(clean.final["test_loss"], noisy.final["test_loss"])
    for seed in range(SEEDS):
        rows = np.floor(24 * run.draws.label_noise[seed, 1]).astype(int)
        data = SimpleNamespace(**{**vars(run.data), "y_train": run.data.y_train[rows]})
        draw = jax.tree.map(lambda a, seed=seed: a[seed], run.draws)
        slow = plain_loop(draw, Hyper(0.0), [np.arange(24)], data)
        np.testing.assert_allclose(noisy.loss[seed, 0], slow.loss[0], rtol=1e-13)


# --- what a replica depends on ----------------------------------------------------------------


def test_at_learning_rate_zero_all_variants_of_a_seed_see_the_same_losses(runs):
    # The same draw, the same batches, the same noisy labels, the same function.
    centerings = [CENTERINGS["none"], CENTERINGS["both"], CENTERINGS["flip"], offset(2.0)]
    losses = {}
    for seed in (0, 1):
        draw = draw_of(jax.random.key(seed))
        hypers = [Hyper(0.0, label_noise=0.4, centering=c) for c in centerings]
        losses[seed] = loss = np.stack([runs[BATCH](draw, hyper).loss for hyper in hypers])
        np.testing.assert_allclose(loss, np.tile(loss[0], (4, 1)), atol=1e-12)
        # Three batches are an epoch, and the second epoch has other batches of the same examples.
        np.testing.assert_allclose(loss[0, :3].mean(), loss[0, 3:].mean(), atol=1e-12)
        assert np.ptp(loss[0]) > 1e-3
    # Seed 0 is a seed like any other: its own draw, not a default.
    assert np.abs(losses[0][0] - losses[1][0]).min() > 1e-4


def test_label_noise_changes_the_labels_that_are_trained_on_but_not_those_of_the_test(runs):
    draw = as_batched(draw_of(jax.random.key(5)), None)
    clean, noisy = (runs[None](draw, Hyper(0.0, label_noise=noise)) for noise in (0.0, 1.0))
    assert clean.loss[0] != noisy.loss[0]
    assert clean.final["train_loss"] != noisy.final["train_loss"]
    assert clean.final["test_loss"] == noisy.final["test_loss"]


def test_the_draw_of_a_train_function_is_the_replicas():
    train = make_train_fn(structure_of(None), DATA)
    shapes = jax.eval_shape(train.draw, jax.random.key(0))
    assert shapes.batches is None
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(
        jnp.shape, as_batched(draw_of(jax.random.key(0)), None)
    )


# --- divergence -------------------------------------------------------------------------------


def vmapped(function, rows):
    return jax.vmap(function)(rows)


@pytest.mark.parametrize(("optimizer", "map_one"), [("momentum", lax.map), ("sgd", vmapped)])
def test_a_replica_that_diverges_leaves_its_neighbors_bitwise_alone(single, optimizer, map_one):
    _, program = single
    run = program(optimizer, None, map_one)
    results = []
    for rate in (0.1, 1e38):
        four = [
            Hyper(0.1),
            Hyper(rate, weight_decay=0.1),
            Hyper(0.2),
            Hyper(0.1, centering=FLIPS[1]),
        ]
        results.append(jax.tree.map(np.asarray, run(stack_hypers(four))))
    calm, wild = results
    assert calm.diverged_at.tolist() == [NEVER] * 4
    step = int(wild.diverged_at[1])
    assert 0 < step < STEPS
    assert np.isfinite(wild.loss[1, :step]).all()
    assert not np.isfinite(wild.loss[1, step])
    assert np.isnan(wild.final["train_loss"][1])
    for one, other in zip(jax.tree.leaves(calm), jax.tree.leaves(wild), strict=True):
        np.testing.assert_array_equal(one[[0, 2, 3]], other[[0, 2, 3]])


@pytest.mark.parametrize("batch_size", [None, BATCH])
def test_a_probe_is_folded_over_the_steps_and_read_after_each_record(trained, batch_size):
    result, *_ = trained[batch_size, "batch"]
    seen = result.probe
    assert seen["count"].tolist() == [2, 4, 6]
    assert seen["double"].tolist() == [4, 8, 12]
    assert seen["step"].tolist() == [1, 3, 5]
    assert seen["chained"].all()  # each step starts where the last one ended
    np.testing.assert_array_equal(seen["next"][-1], result.params["dense_1"]["kernel"])
    np.testing.assert_array_equal(seen["loss"], result.loss[1::2])
    np.testing.assert_allclose(seen["gradient"], np.zeros((3, 4, 3)), atol=1e-14)
    # The training loss that it sees is of the step, or else as old as the record.
    expected = result.loss[1::2] if batch_size is None else result.train_loss
    np.testing.assert_array_equal(seen["train_loss"], expected)


@pytest.mark.parametrize("batch_size", [None, BATCH])
def test_a_probe_with_a_period_sees_the_last_steps_of_each_as_a_probe_of_every_step_does(
    batch_size,
):
    def init(params):
        return jnp.zeros(()), jnp.zeros((STEPS, 4, 3))

    def observe(state, seen):
        count, kept = state
        kernel = seen.updates["dense_1"]["kernel"]
        return count + 1, kept.at[seen.step].set(kernel * (1 + seen.train_loss))

    def observe_two(state, one, two):
        count, kept = observe(observe(state, one), two)
        return count - 1, kept  # once a period

    structure = replace(structure_of(batch_size), record_every=STEPS)
    draw = as_batched(draw_of(jax.random.key(3)), batch_size)
    every, third = (
        jax.jit(make_train_fn(structure, DATA, probe).run, compiler_options=FAST)(draw, Hyper(0.3))
        for probe in (Probe(init, observe), Probe(init, observe_two, period=3, window=2))
    )
    np.testing.assert_allclose(third.loss, every.loss, rtol=1e-12)
    (count, kept), expected = (
        jax.tree.map(lambda leaf: leaf[0], r) for r in (third.probe, every.probe)
    )
    assert count == STEPS // 3
    seen = np.arange(STEPS) % 3 > 0
    np.testing.assert_allclose(kept[seen], expected[1][seen], rtol=1e-12, atol=1e-15)
    assert not kept[~seen].any()
    assert expected[1].all(axis=(1, 2)).all()


@pytest.mark.parametrize(("period", "window"), [(0, 1), (4, 1), (2, 3), (2, 0), (12, 1)])
def test_a_probe_whose_period_does_not_fit_is_refused(period, window):
    with pytest.raises(ValueError, match=r"period, which divides\s+record_every"):
        make_train_fn(replace(structure_of(None), record_every=6), DATA,
                      WATCH._replace(period=period, window=window))  # fmt: skip


# --- decay without data -----------------------------------------------------------------------


def test_decay_alone_shrinks_every_kernel_by_one_factor_and_flips_no_sign():
    indifferent = Likelihood(
        "indifferent",
        nll=lambda outputs, labels: 0.0 * outputs.sum(-1),
        fisher_factor=lambda outputs: outputs[..., None],
    )
    structure = Structure(MODEL, indifferent, steps=50, record_every=50)
    train = make_train_fn(structure, DATA)
    hyper = Hyper(0.3, weight_decay=0.5, centering=CENTERINGS["both"])
    draw = as_batched(draw_of(jax.random.key(0)), None)
    start = start_replica(structure, DATA, draw, hyper)
    result = jax.jit(train, compiler_options=FAST)(jax.random.key(0), hyper)
    for name, layer in start.params.items():
        after = result.params[name]
        np.testing.assert_allclose(after["kernel"], (1 - 0.15) ** 50 * layer["kernel"], rtol=1e-13)
        np.testing.assert_array_equal(np.sign(after["kernel"]), np.sign(layer["kernel"]))
        np.testing.assert_allclose(after["bias"], layer["bias"], rtol=1e-13)  # two programs
        assert np.abs(layer["bias"]).max() > 0.01


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 10, "record_every": 3}, "record_every must divide steps.*3.*10"),
        ({"record_every": 0}, "record_every must divide steps"),
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
    ],
)
def test_a_structure_that_cannot_be_trained_is_refused(fields, message):
    with pytest.raises(ValueError, match=f"Structure: {message}"):
        Structure(MODEL, categorical(), **fields)


def test_what_cannot_be_run_is_refused_before_tracing():
    with pytest.raises(ValueError, match="at most the 12 training examples, got 13"):
        make_train_fn(Structure(MODEL, categorical(), batch_size=13), DATA)
    with pytest.raises(ValueError, match="nearest: momentum"):
        make_train_fn(Structure(MODEL, categorical(), "momentun"), DATA)
    with pytest.raises(ValueError, match="nearest: adaptive"):
        make_train_fn(Structure(MODEL, categorical(), "natural", damping="adaptve"), DATA)
    with pytest.raises(ValueError, match="natural_kfac is defined in the layers' own coordinates"):
        make_train_fn(Structure(MODEL, categorical(), "natural_kfac", damping_frame="raw"), DATA)


@pytest.mark.parametrize("split", ["train", "test"])
def test_data_with_a_wrong_number_of_labels_is_refused(split):
    labels = getattr(DATA, f"y_{split}")
    for wrong in (labels[:-1], np.append(labels, labels[:1])):
        data = SimpleNamespace(**{**vars(DATA), f"y_{split}": wrong})
        with pytest.raises(ValueError, match=r"label for every example, got .*shape"):
            make_train_fn(structure_of(None), data)


def test_equal_structures_are_equal_so_that_they_can_share_a_program():
    one, other = (Structure(MLP((4,), 3), categorical(), batch_size=4) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Structure(MLP((5,), 3), categorical(), batch_size=4)


def test_a_model_of_maps_steps_by_the_fisher_of_its_own_parameters_not_of_its_layers():
    random = np.random.default_rng(0)
    units = (DATA.x_train.shape[1], *MODEL.widths)
    maps = {
        f"dense_{i}": jnp.asarray(np.eye(n) + 0.3 * random.normal(size=(n, n)))
        for i, n in enumerate(units)
    }
    mapped = Mapped(MODEL, maps)
    structure = Structure(mapped, categorical(), "natural", steps=1)
    train = make_train_fn(structure, DATA)
    draw = make_train_fn(replace(structure, model=MODEL), DATA).draw(jax.random.key(0))
    trajectory = train.run(draw, Hyper(1.0, damping=0.1))

    def apply_fn(params, x):
        return mapped.apply({"params": params}, x)

    def mean_loss(params):
        outputs = apply_fn(params, jnp.asarray(DATA.x_train))
        return jnp.mean(categorical().nll(outputs, jnp.asarray(DATA.y_train)))

    A = fisher_factor(apply_fn, categorical(), draw.params, jnp.asarray(DATA.x_train))
    theta, _ = ravel_pytree(draw.params)
    grad, _ = ravel_pytree(jax.grad(mean_loss)(draw.params))
    expected = theta - jnp.linalg.solve(A.T @ A + 0.1 * jnp.eye(len(theta)), grad)
    np.testing.assert_allclose(ravel_pytree(trajectory.params)[0], expected, rtol=1e-7, atol=1e-9)
    by_layers = make_train_fn(replace(structure, optimizer="natural_kfac"), DATA)
    with pytest.raises(ValueError, match="whose layers read its own parameters"):
        by_layers.run(draw, Hyper(1.0, damping=0.1))


@pytest.mark.parametrize(
    ("likelihood", "outputs", "classes", "said"),
    [
        (categorical(), 1, 2, "a model with 2 outputs, one a class, got 1"),
        (categorical(), 3, 2, "a model with 2 outputs, one a class, got 3"),
        (
            bernoulli(),
            1,
            3,
            r"two classes for the bernoulli.*got 3; use categorical\(\)",
        ),
        (bernoulli(), 2, 2, "bernoulli: expected one logit an example"),
    ],
)
def test_classes_that_would_have_no_loss_are_refused_while_tracing(
    likelihood, outputs, classes, said
):
    data = load("xor")._replace(num_classes=classes)
    train = make_train_fn(Structure(MLP((3,), outputs), likelihood, steps=1), data)
    with pytest.raises(ValueError, match=said):
        jax.eval_shape(train, jax.random.key(0), Hyper(0.1))
