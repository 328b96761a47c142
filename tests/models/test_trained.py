"""Every model and norm in training: it learns, is evaluated frozen, and pairs its variants."""

from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor
from signdyn.centering import CENTERINGS
from signdyn.likelihoods import categorical
from signdyn.models.cnn import CNN
from signdyn.models.mlp import MLP
from signdyn.models.resnet import ResNet
from signdyn.models.traces import apply_frozen, trace_batch
from signdyn.optimizers import make_optimizer
from signdyn.replicas import start_replica
from signdyn.sweeps import stack_hypers
from signdyn.training import RUNNING_MEAN_DECAY, Hyper, Structure, make_train_fn

FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here
N, STEPS, SEEDS = 12, 12, (0, 1)
random = np.random.default_rng(0)
Y = (np.arange(N) % 3).astype(np.int32)
DATA = SimpleNamespace(
    x_train=random.uniform(0, 1, size=(N, 20)) + np.eye(3)[Y].repeat([7, 7, 6], axis=1),
    y_train=Y,
    x_test=random.uniform(0, 2, size=(6, 20)),
    y_test=Y[:6],
    num_classes=3,
)
MODELS = {
    "batch": CNN((5, 4), (3,), 3, kernel_size=2, norm="batch", activation="tanh"),
    "mean_batch": MLP((4,), 3, norm="mean_batch"),
    "layer": MLP((4,), 3, norm="layer"),
    "group": MLP((4,), 3, norm="group", num_groups=2),
}
HYPERS = {
    "trained": Hyper(0.1),
    "flipped": Hyper(0.1, centering=CENTERINGS["flip"]),
    "centered": Hyper(0.1, centering=CENTERINGS["both"]),
    "still": Hyper(0.0, centering=CENTERINGS["batch"]),
}
each_norm = pytest.mark.parametrize("norm", MODELS)


def drawn(train, keys):
    return jax.jit(jax.vmap(train.draw), compiler_options=FAST)(keys)


@cache
def trained(norm):
    """Return the trajectories of all hypers, by name, seeds first, and the draws."""
    train = make_train_fn(Structure(MODELS[norm], categorical(), steps=STEPS), DATA)
    draws = drawn(train, jnp.stack([jax.random.key(seed) for seed in SEEDS]))
    sweep = jax.vmap(jax.vmap(train.run, (0, None)), (None, 0))
    # One program is optimized as ever, since bits are compared.
    compiled = jax.jit(sweep, compiler_options={} if norm == "batch" else FAST)
    found = compiled(draws, stack_hypers(list(HYPERS.values())))
    return {
        name: jax.tree.map(lambda leaf, index=index: leaf[index], jax.device_get(found))
        for index, name in enumerate(HYPERS)
    }, draws


@each_norm
@pytest.mark.parametrize("name", ["trained", "centered"])
def test_training_lowers_the_loss_and_evaluation_is_finite(norm, name):
    trajectory = trained(norm)[0][name]
    assert np.all(trajectory.loss[:, -1] < 0.8 * trajectory.loss[:, 0])
    assert np.all(np.isfinite(list(trajectory.final.values())))
    # Moments that run behind the batch's own cost something, but do not undo what was learned.
    assert np.all(trajectory.final["train_loss"] < trajectory.loss[:, 0])


@each_norm
def test_where_nothing_moves_running_statistics_evaluate_as_the_batchs_own(norm):
    still = trained(norm)[0]["still"]
    expected = still.loss[:, :1]
    np.testing.assert_allclose(still.loss, np.repeat(expected, STEPS, 1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(still.final["train_loss"], expected[:, 0], rtol=0, atol=1e-13)


@each_norm
def test_all_variants_of_a_seed_start_as_one_and_flipped_ones_stay_so_bitwise(norm):
    trajectories, _ = trained(norm)
    first = {name: each.loss[:, 0] for name, each in trajectories.items()}
    for loss in first.values():
        np.testing.assert_allclose(loss, first["trained"], rtol=0, atol=1e-13)
    assert first["trained"][0] != first["trained"][1]
    plain, flipped = trajectories["trained"], trajectories["flipped"]
    np.testing.assert_array_equal(flipped.loss, plain.loss)
    for key, value in plain.final.items():
        np.testing.assert_array_equal(flipped.final[key], value)
    assert np.all(trajectories["centered"].loss[:, -1] != plain.loss[:, -1])


def test_seeds_trained_together_are_seeds_trained_one_by_one():
    together, draws = trained("batch")
    train = make_train_fn(Structure(MODELS["batch"], categorical(), steps=STEPS), DATA)
    alone = jax.jit(train.run, compiler_options=FAST)
    hyper = jax.tree.map(lambda leaf: leaf[0], stack_hypers([HYPERS["centered"]]))
    for seed in SEEDS:
        draw = jax.tree.map(lambda leaf, seed=seed: leaf[seed], draws)
        loss = alone(draw, hyper).loss
        np.testing.assert_allclose(loss, together["centered"].loss[seed], rtol=1e-10)


def test_running_moments_are_decayed_from_those_of_the_whole_training_set():
    structure = Structure(MLP((4,), 3, norm="batch"), categorical(), steps=3, batch_size=4)
    train = make_train_fn(structure, DATA)
    hyper = Hyper(0.3, centering=CENTERINGS["batch"])

    @partial(jax.jit, compiler_options=FAST)
    def both(key):
        draw = train.draw(key)
        start = start_replica(structure, DATA, draw, hyper)
        params, running = start.params, start.statistics
        for rows in draw.batches:  # unrolled
            traces = trace_batch(
                structure.model, categorical(), params, jnp.asarray(DATA.x_train)[rows],
                jnp.asarray(Y)[rows], start.sites,
            )  # fmt: skip
            params = jax.tree.map(lambda p, g: p - 0.3 * g, params, traces.grads)
            running = jax.tree.map(
                lambda old, new: RUNNING_MEAN_DECAY * old + (1 - RUNNING_MEAN_DECAY) * new,
                running,
                traces.statistics,
            )
        x = jnp.asarray(DATA.x_test)
        outputs = apply_frozen(structure.model, params, x, start.sites, running)
        expected = jnp.mean(categorical().nll(outputs, jnp.asarray(DATA.y_test)))
        return train.run(draw, hyper).final["test_loss"], expected, running.norms

    found, expected, norms = both(jax.random.key(0))
    assert set(norms) == {"dense_0"}
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_natural_gradient_takes_the_batchs_moments_as_constants():
    model, damping = MLP((3,), 3, norm="batch"), 0.1
    structure = Structure(model, categorical(), optimizer="natural", steps=1)
    train = make_train_fn(structure, DATA)

    @partial(jax.jit, compiler_options=FAST)
    def both(key):
        draw, hyper = train.draw(key), Hyper(1.0, damping=damping)
        start = start_replica(structure, DATA, draw, hyper)
        x = jnp.asarray(DATA.x_train)
        traces = trace_batch(model, categorical(), start.params, x, jnp.asarray(Y), start.sites)

        def apply_fn(params, x):
            return apply_frozen(model, params, x, start.sites, traces.statistics)

        A = fisher_factor(apply_fn, categorical(), start.params, x)
        theta, grad = ravel_pytree(start.params)[0], ravel_pytree(traces.grads)[0]
        step = jnp.linalg.solve(A.T @ A + damping * jnp.eye(theta.size), grad)
        return ravel_pytree(train.run(draw, hyper).params)[0], theta - step

    found, expected = both(jax.random.key(0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_kfac_trains_convolutions_and_refuses_a_norms_parameters_by_name():
    plain = CNN((5, 4), (2,), 3, kernel_size=2)
    kfac = partial(Structure, likelihood=categorical(), optimizer="natural_kfac", steps=4)
    train = make_train_fn(kfac(plain), DATA)
    run = jax.jit(train, compiler_options=FAST)
    loss = run(jax.random.key(0), Hyper(0.3, damping=0.1)).loss
    assert np.all(np.diff(loss) < 0)
    refused = make_train_fn(kfac(MODELS["batch"]), DATA)
    with pytest.raises(ValueError, match=r"natural_kfac: .* conv_0_norm/bias"):
        jax.eval_shape(refused, jax.random.key(0), Hyper(0.3, damping=0.1))


def test_a_held_convolution_stays_non_negative_and_decay_is_for_kernels_only():
    model = ResNet((5, 4), (2,), 3, kernel_size=2, norm="mean_batch", strides=2)
    held = ("stem", "block_0_shortcut")
    structure = Structure(model, categorical(), steps=3, nonnegative=held)
    train = make_train_fn(structure, DATA)

    @partial(jax.jit, compiler_options=FAST)
    def measure(key):
        draw = train.draw(key)
        positive = start_replica(structure, DATA, draw, Hyper(0.5, positive_init=1.0))
        return draw.params, positive.params, train.run(draw, Hyper(0.5)).params

    drawn_params, positive, final = measure(jax.random.key(0))
    for name, layer in final.items():
        if name.endswith("_norm"):
            jax.tree.map(np.testing.assert_array_equal, positive[name], drawn_params[name])
            continue
        assert np.all(layer["kernel"] >= 0) == (name in held)
        drawn_kernel = drawn_params[name]["kernel"]
        np.testing.assert_array_equal(positive[name]["kernel"], np.abs(drawn_kernel))
        assert np.any(drawn_kernel < 0)
        assert np.any(layer["kernel"] != np.abs(drawn_kernel))  # and it was trained

    numbers = SimpleNamespace(
        learning_rate=1.0, momentum=0.0, weight_decay=0.5, damping=np.nan, damping_decay=1.0
    )
    optimizer = make_optimizer("sgd", numbers)
    still = jax.tree.map(np.zeros_like, final)
    updates, _ = optimizer.update(still, optimizer.init(final), final)
    for layer, update in zip(final.values(), updates.values(), strict=True):
        for key, leaf in layer.items():
            expected = -0.5 * leaf if key == "kernel" else 0.0 * leaf
            np.testing.assert_array_equal(update[key], expected)
