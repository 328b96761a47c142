"""K-FAC steps of kfac-jax, in its own environment: sampled Fisher, no momentum, fixed damping.

A run is ``steps`` calls of its optimizer's ``step``, each on a batch of its own. Its estimates are
of other sampled labels than signdyn's, so its answer is another.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import kfac_jax
import numpy as np
from kfac_jax._src import tag_graph_matcher

from scripts.bench import tasks

Run = Callable[[], dict[str, np.ndarray]]


def _evaluate(eqn, values):
    """Return an equation's outputs: kfac-jax 0.0.8 unpacks two values where this JAX has one."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)
    found = eqn.primitive.bind(*functions, *values, **params)
    return found if isinstance(found, list) else [found]


tag_graph_matcher.eval_jaxpr_eqn = _evaluate


def descend(
    widths: Sequence[int], batch: int, steps: int, damping: float, inverse_period: int
) -> Run:
    """Return the run."""
    x, y = map(jnp.asarray, tasks.digits())
    order = tasks.batch_orders(1, len(x), batch, steps)[0]
    batches = [(x[rows], jax.nn.one_hot(y[rows], widths[-1])) for rows in order]
    start = [
        {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
        for kernel, bias in tasks.dense_network(widths)
    ]

    def loss(params, batch):
        a, targets = batch
        for number, layer in enumerate(params):
            a = jnp.tanh(a) if number else a
            a = a @ layer["kernel"] + layer["bias"]
        kfac_jax.register_softmax_cross_entropy_loss(a, targets)
        # its matching of graphs does not get through jax.nn.log_softmax
        log_total = jnp.log(jnp.sum(jnp.exp(a), axis=1))
        return jnp.mean(log_total - jnp.sum(targets * a, axis=1))

    optimizer = kfac_jax.Optimizer(
        jax.value_and_grad(loss),
        l2_reg=0.0,
        learning_rate_schedule=lambda step: 0.01,
        momentum_schedule=lambda step: 0.0,
        damping_schedule=lambda step: damping,
        inverse_update_period=inverse_period,
        num_burnin_steps=0,
        curvature_ema=0.0,
        estimation_mode="fisher_gradients",
        multi_device=False,
    )
    key = jax.random.key(0)

    def run() -> dict[str, np.ndarray]:
        params = jax.tree.map(jnp.copy, start)
        state = optimizer.init(params, key, batches[0])
        for number, batch in enumerate(batches):
            params, state, _ = optimizer.step(
                params, state, key, batch=batch, global_step_int=number
            )
        jax.block_until_ready(params)
        return {"direction": np.zeros(1)}

    return run
