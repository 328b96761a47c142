"""Natural-gradient and K-FAC steps of signdyn, and the plain training step they are counted in.

Tanh networks on digits, categorical likelihood. A run is ``steps`` calls of one compiled step from
Python, as every tool's optimizer is called, on a batch of its own each: the loss, the gradient, the
curvature and the solve. The answer is the first step's direction, layer after layer the kernel and
the bias.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from scripts.bench import tasks
from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.layers import fisher_layers, monte_carlo_fisher_layers
from signdyn.kronecker import KRONECKER, scale_by_kfac
from signdyn.likelihoods import categorical
from signdyn.optimizers import make_optimizer
from signdyn.preconditioning import SOLVES, Curvature, fixed_damping, scale_by_natural_gradient
from signdyn.types import Params, Tap

Run = Callable[[], dict[str, np.ndarray]]

RATE = 0.01


def descend(
    widths: Sequence[int],
    batch: int,
    steps: int,
    damping: float,
    way: str,
    inverse_period: int = 1,
) -> Run:
    """Return the run; ``way`` is "sgd" or the name of a natural gradient."""
    x, y = map(jnp.asarray, tasks.digits())
    order = jnp.asarray(tasks.batch_orders(1, len(x), batch, steps)[0])
    start = {
        f"dense_{number}": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
        for number, (kernel, bias) in enumerate(tasks.dense_network(widths))
    }
    transform = _transform(way, damping, inverse_period)

    @jax.jit
    def step(params: Params, state, rows: jax.Array):
        grads, curvature = _of_batch(params, x[rows], y[rows])
        direction, state = transform.update(grads, state, params, curvature=curvature)
        return jax.tree.map(lambda p, d: p - RATE * d, params, direction), state

    batches = list(order)
    state = jax.jit(transform.init)(start)
    after, _ = step(start, state, batches[0])
    first = jax.tree.map(lambda p, q: (p - q) / RATE, start, after)
    leaves = [layer[name].ravel() for layer in first.values() for name in ("kernel", "bias")]
    answer = {"direction": np.concatenate([np.asarray(leaf) for leaf in leaves])}

    def work() -> dict[str, np.ndarray]:
        params, carried = start, state
        for rows in batches:
            params, carried = step(params, carried, rows)
        jax.block_until_ready(params)
        return answer

    return work


def _transform(way: str, damping: float, period: int):
    if way == "sgd":
        none = {"momentum": 0.0, "weight_decay": 0.0, "damping": 0.0, "damping_decay": 1.0}
        numbers = SimpleNamespace(learning_rate=-1.0, **none)
        return make_optimizer("sgd", numbers)
    if way in KRONECKER:
        return scale_by_kfac(way, fixed_damping(damping), inverse_period=period)
    return scale_by_natural_gradient(SOLVES[way], fixed_damping(damping))


def _network(params: Params, x: jax.Array, tap: Tap) -> jax.Array:
    for number, (name, layer) in enumerate(params.items()):
        x = jnp.tanh(x) if number else x
        x = tap(name, x, x @ layer["kernel"] + layer["bias"])
    return x


def _of_batch(params: Params, x: jax.Array, y: jax.Array) -> tuple[Params, Curvature]:
    likelihood = categorical()

    def apply_fn(params: Params, x: jax.Array) -> jax.Array:
        return _network(params, x, lambda name, inputs, z: z)

    def loss_of(params: Params) -> jax.Array:
        return jnp.mean(likelihood.nll(apply_fn(params, x), y))

    def sampled_layers(step: jax.Array):
        key = jax.random.fold_in(jax.random.key(0), step)
        return monte_carlo_fisher_layers(_network, likelihood, params, x, key, 1)

    loss, grads = jax.value_and_grad(loss_of)(params)
    return grads, Curvature(
        factor=lambda: fisher_factor(apply_fn, likelihood, params, x),
        product=lambda: fisher_vector_product(apply_fn, likelihood, params, x),
        layers=lambda: fisher_layers(_network, likelihood.thin(), params, x),
        loss=loss,
        loss_after=lambda displacement: loss_of(jax.tree.map(jnp.add, params, displacement)),
        layered=True,
        sampled_layers=sampled_layers,
    )
