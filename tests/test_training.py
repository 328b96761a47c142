"""Training: a plain loop as the slow twin, exactness of flips, and what a replica may depend on."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from signdyn.centering import CENTERINGS, Centering, SiteCentering, offset
from signdyn.likelihoods import Likelihood, categorical
from signdyn.models.mlp import MLP
from signdyn.optimizers import DIRECTIONS
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
EVERYTHING = Centering(SiteCentering(0.5, 0.3, 0.2), SiteCentering(0.1, 0.6, -0.4, flip=1.0))
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


def forward(params, x, coefficients, constants, signs, running=None):
    """Return outputs and each site's batch mean: the formula of a site, layer by layer."""
    a, batch_means = x, []
    for index, layer in enumerate(params):
        c_const, c_batch, shift, _ = coefficients[min(index, 1)]
        batch_means.append(a.mean(0))
        mean = batch_means[-1] if running is None else running[index]
        h = signs[index] * (a + shift - c_const * constants[index] - c_batch * mean)
        z = h @ layer[0] + layer[1]
        a = jnp.tanh(z)
    return z, batch_means


def mean_nll(params, x, y, *sites, running=None):
    outputs, batch_means = forward(params, x, *sites, running=running)
    log_p = outputs - jax.scipy.special.logsumexp(outputs, axis=1, keepdims=True)
    return -log_p[jnp.arange(len(y)), y].mean(), (batch_means, outputs)


value_and_grad = jax.jit(jax.value_and_grad(mean_nll, has_aux=True), compiler_options=FAST)
evaluate = jax.jit(mean_nll, compiler_options=FAST)


def plain_loop(draw, hyper, batches):
    """Return what gradient descent with decay on kernels gives, in a Python loop."""
    coefficients = (tuple(hyper.centering.input), tuple(hyper.centering.hidden))
    x, y = DATA.x_train, DATA.y_train
    params = [(hyper.init_scale * p["kernel"], p["bias"]) for p in draw.params.values()]
    zeros, ones = [0.0, 0.0], [1.0, 1.0]
    constants = forward(params, x, ((0, 0, 0, 0),) * 2, zeros, ones)[1]
    signs = [s if c[3] else 1.0 for s, c in zip(draw.signs, coefficients, strict=True)]
    for layer, (c_const, c_batch, shift, _) in enumerate(coefficients):
        kernel, bias = params[layer]
        moved = shift - (c_const + c_batch) * constants[layer]
        params[layer] = (np.reshape(signs[layer], (-1, 1)) * kernel, bias - moved @ kernel)
    sites, running = (coefficients, constants, signs), list(constants)
    losses, train_losses = [], []
    for rows in batches:
        train_losses.append(evaluate(params, x, y, *sites, running=running)[0])
        (loss, (means, _)), grads = value_and_grad(params, x[rows], y[rows], *sites)
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
        inputs, labels = getattr(DATA, f"x_{split}"), getattr(DATA, f"y_{split}")
        loss, (_, outputs) = evaluate(params, inputs, labels, *sites, running=running)
        final[f"{split}_loss"] = loss
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
    coefficients = (tuple(hyper.centering.input), tuple(hyper.centering.hidden))
    own, _ = evaluate(params, DATA.x_test, DATA.y_test, coefficients, [0.0, 0.0], [1.0, 1.0])
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


def test_equal_structures_are_equal_so_that_they_can_share_a_program():
    one, other = (Structure(MLP((4,), 3), categorical(), batch_size=4) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Structure(MLP((5,), 3), categorical(), batch_size=4)
