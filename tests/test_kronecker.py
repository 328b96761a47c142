"""K-FAC as a transform: its step against explicit factors, its inverses kept and renewed."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis.kfac import kfac_factored_natural_gradient
from signdyn.analysis.layers import Layer, layer_matrix
from signdyn.data import load
from signdyn.kronecker import KRONECKER, scale_by_kfac
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.optimizers import make_optimizer
from signdyn.preconditioning import Curvature, adaptive_damping, fixed_damping
from signdyn.training import Hyper, Structure, make_train_fn

jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
STEPS = 5


def draw(seed):
    random = np.random.default_rng(seed)
    layers = {
        "first": Layer(random.normal(size=(9, 1, 3)), random.normal(size=(9, 2, 1, 2))),
        "last": Layer(random.normal(size=(9, 4, 2)), random.normal(size=(9, 2, 4, 2))),
    }
    grads = {
        "first": {"kernel": random.normal(size=(3, 2)), "bias": random.normal(size=2)},
        "last": {"kernel": random.normal(size=(2, 2))},
    }
    return jax.tree.map(jnp.asarray, (layers, grads))


def curvature_of(layers):
    return Curvature(
        None, None, lambda: layers, jnp.array(1.0), None, sampled_layers=lambda step: layers
    )


STEPS_LAYERS = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(draw, range(STEPS)))


def descend(name, damping, period):
    """Return the directions of steps with layers and gradients of their own, inside scan."""
    transform = scale_by_kfac(name, fixed_damping(damping), inverse_period=period)

    def step(state, given):
        layers, grads = given
        direction, state = transform.update(grads, state, curvature=curvature_of(layers))
        return state, direction

    return jax.lax.scan(step, transform.init(draw(0)[1]), STEPS_LAYERS)[1]


@pytest.mark.parametrize("name", KRONECKER)
@pytest.mark.parametrize("period", [1, 2, 3])
def test_every_layer_is_solved_for_with_the_factors_of_the_last_inversion(name, period):
    found = jit(partial(descend, name, period=period))(0.3)
    for step in range(STEPS):
        layers, _ = draw(step - step % period)
        _, grads = draw(step)
        for path, layer in layers.items():
            expected = kfac_factored_natural_gradient(
                *layer, layer_matrix(grads[path]), damping=0.3
            )
            own = layer_matrix(jax.tree.map(lambda leaf, s=step: leaf[s], found[path]))
            np.testing.assert_allclose(own, expected, atol=1e-12)


@pytest.mark.parametrize("period", [1, 2])
def test_under_vmap_every_replica_keeps_its_own_inverses(period):
    dampings = jnp.array([0.01, 1.0])
    run = partial(descend, "natural_kfac_factored", period=period)
    together = jit(jax.vmap(run))(dampings)
    for replica, damping in enumerate(dampings):
        alone = jit(run)(damping)
        jax.tree.map(
            lambda a, b, r=replica: np.testing.assert_allclose(a[r], b, atol=1e-12),
            together,
            alone,
        )


def test_in_a_training_both_fishers_train_and_the_sampled_one_draws_by_seed_and_step():
    data = load("two_gaussians")

    def train(optimizer, seed, **static):
        structure = Structure(
            MLP((4,), 2), categorical(), optimizer=optimizer, steps=4, batch_size=16, **static
        )
        hyper = Hyper(learning_rate=0.1, damping=0.1)
        return jit(make_train_fn(structure, data))(jax.random.key(seed), hyper).loss

    losses = {name: train(name, 0) for name in KRONECKER}
    assert all(np.all(np.isfinite(loss)) for loss in losses.values())
    exact, sampled = losses["natural_kfac_factored"], losses["natural_kfac_sampled"]
    assert exact[0] == sampled[0]
    assert np.all(exact[1:] != sampled[1:])
    np.testing.assert_array_equal(sampled, train("natural_kfac_sampled", 0))
    kept = train("natural_kfac_factored", 0, inverse_period=4)
    np.testing.assert_array_equal(kept[:2], exact[:2])  # the first inverses are one
    assert np.all(kept[2:] != exact[2:])


def test_adaptive_damping_is_that_of_other_natural_gradients():
    layers, grads = draw(0)
    curvature = curvature_of(layers)._replace(
        product=lambda: lambda v: v, loss_after=lambda displacement: jnp.array(2.0)
    )
    transform = scale_by_kfac("natural_kfac_factored", adaptive_damping(0.5, 0.1, 2.0))
    _, state = transform.update(grads, transform.init(grads), curvature=curvature)
    assert state.natural.damping == 1.0  # the loss has risen
    assert state.natural.step == 1


@pytest.mark.parametrize("name", KRONECKER)
def test_what_it_cannot_do_is_refused(name):
    layers, grads = draw(0)
    outside = {**grads, "norm": {"scale": jnp.ones(2)}}
    transform = scale_by_kfac(name, fixed_damping(1.0))
    with pytest.raises(ValueError, match=f"{name}: .* norm/scale do not"):
        transform.update(outside, transform.init(outside), curvature=curvature_of(layers))
    with pytest.raises(ValueError, match="inverse_period >= 1, got 0"):
        scale_by_kfac(name, fixed_damping(1.0), inverse_period=0)


def test_a_period_without_inverses_and_samples_without_a_sampler_are_refused():
    numbers = SimpleNamespace(
        learning_rate=0.1, momentum=0.0, weight_decay=0.0, damping=1.0, damping_decay=1.0
    )
    with pytest.raises(ValueError, match="sgd keeps no inverses, got inverse_period=5; choose one"):
        make_optimizer("sgd", numbers, inverse_period=5)
    layers, grads = draw(0)
    transform = scale_by_kfac("natural_kfac_sampled", fixed_damping(1.0))
    without = curvature_of(layers)._replace(sampled_layers=None)
    with pytest.raises(ValueError, match="expected a curvature with sampled_layers, got None"):
        transform.update(grads, transform.init(grads), curvature=without)
