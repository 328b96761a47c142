"""Models that mix examples are refused by name; those that do not are accepted."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from signdyn.analysis._independence import check_independent
from signdyn.centering import Site
from signdyn.models.mlp import MLP

W = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4)))
X = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)))


def check(apply_fn, params=W, x=X):
    check_independent("f", apply_fn, params, x)


def refuses(apply_fn, params=W, x=X):
    try:
        check(apply_fn, params, x)
    except ValueError:
        return True
    return False


def conv(x, kernel, **options):
    """Return a convolution of x [N, features] along its features."""
    out = jax.lax.conv_general_dilated(x[:, None], kernel, (1,), "SAME", **options)
    return out.reshape(len(x), -1)


@jax.custom_vjp
def tanh_by_hand(x):
    return jnp.tanh(x)


tanh_by_hand.defvjp(lambda x: (jnp.tanh(x), x), lambda x, g: (g / jnp.cosh(x) ** 2,))


def recurrent(step):
    """Return a scan over the features of all examples at once."""

    def apply(w, x):
        carry, _ = jax.lax.scan(lambda h, column: (step(h, column), None), 0 * x[:, :1], x.T)
        return carry @ w[:1]

    return apply


def counting(w, x):
    total, rows = jax.lax.scan(lambda n, row: (n + 1.0, row @ w), 0.0, x)
    return rows + total  # the carry counts, it does not depend on x


INDEPENDENT = {
    "dense": lambda w, x: jnp.tanh(x @ w) @ w,
    "relu, jitted twice": lambda w, x: jax.jit(lambda x: jax.jit(jax.nn.relu)(x @ w))(x),
    "softmax over features": lambda w, x: jax.nn.softmax(x @ w, axis=1),
    "layer norm": lambda w, x: jax.nn.standardize(x @ w, axis=-1),
    "group norm": lambda w, x: jax.nn.standardize(x.reshape(-1, 2, 2), axis=2).reshape(x.shape),
    "convolution": lambda w, x: conv(x, w[:2, None, :3]),
    "pooling": lambda w, x: jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2), (1, 2), "VALID"
    ),
    "attention": lambda w, x: (
        nn.dot_product_attention(*[x.reshape(-1, 2, 1, 2)] * 3)[:, 0, 0] @ w[:2]
    ),
    "sorted features": lambda w, x: jnp.cumsum(jnp.sort(x, axis=1), axis=1)[:, ::-1],
    "merged and split positions": lambda w, x: (x.reshape(-1, 2) @ w[:2]).reshape(len(x), -1),
    "features first": lambda w, x: (w @ x.T).T,
    "vmap of a loop": lambda w, x: jax.vmap(
        lambda row: jax.lax.while_loop(lambda r: r[0] < 9, lambda r: r + 1, row)
    )(x),
    "vmap of a choice": lambda w, x: jax.vmap(
        lambda row: jax.lax.cond(row[0] > 0, lambda r: r @ w, jnp.sin, row)
    )(x),
    "map over examples": lambda w, x: jax.lax.map(lambda row: row @ w, x),
    "scan over examples that counts": counting,
    "scan over features": recurrent(lambda h, column: jnp.tanh(h + column[:, None])),
    "fori_loop": lambda w, x: jax.lax.fori_loop(0, 2, lambda i, h: h @ w, x),
    "remat": lambda w, x: jax.checkpoint(lambda h: jnp.sin(h @ w))(x),
    "custom_vjp": lambda w, x: tanh_by_hand(x @ w),
    "choice of features": lambda w, x: jnp.take_along_axis(x, jnp.argmax(x, 1, keepdims=True), 1),
    "vmap of an index": lambda w, x: jax.vmap(lambda row: row[jnp.argmax(row)] * w[0])(x),
    "embedding": lambda w, x: w[jnp.argmax(x, axis=1)],
    "write to a feature": lambda w, x: x.at[:, 0].set(1.0),
    "fft of features": lambda w, x: jnp.abs(jnp.fft.fft(x)),
    "top features": lambda w, x: jax.lax.top_k(x, 2)[0],
    "solve, an example a column": lambda w, x: jnp.linalg.solve(w, x.T).T,
    "solve, an example a matrix": lambda w, x: jnp.linalg.solve(
        w[None] + x[:, :, None] ** 2, x[..., None]
    )[..., 0],
    "triangular solve, an example a column": lambda w, x: (
        jax.scipy.linalg.solve_triangular(3 * jnp.eye(4) + w, x.T).T
    ),
    "conjugate gradients, each example its own": lambda w, x: jax.vmap(
        lambda row: jax.scipy.sparse.linalg.cg(lambda v: 9 * v + (w + w.T) @ v, row)[0]
    )(x),
    "factorizations, each of an example": lambda w, x: jax.vmap(
        lambda row: jnp.linalg.qr(jnp.outer(row, row) + w)[1]
    )(x),
    "padded features": lambda w, x: jnp.pad(x, ((0, 0), (1, 0)))[:, :-1],
    "hypernetwork": lambda w, x: jax.vmap(lambda r: conv(r[None], r[None, None, :3])[0])(x),
    "unused batch mean": lambda w, x: jax.jit(lambda x, unused: x @ w)(x, jnp.mean(x, axis=0)),
    "recorded batch mean": lambda w, x: jax.jit(lambda x: (x @ w, jnp.mean(x, 0)))(x)[0],
    "a dimension that is a trial batch size": lambda w, x: jnp.tanh(x @ jnp.ones((4, 2018))),
    "a sum over a trial batch size": lambda w, x: jnp.sum(x[:, :, None] * jnp.ones(1009), axis=2),
}

MIXING = {
    "batch mean": lambda w, x: x @ w - jnp.mean(x @ w, axis=0, keepdims=True),
    "stopped batch mean": lambda w, x: (
        x - jax.lax.stop_gradient(jnp.mean(x, axis=0, keepdims=True))
    ),
    "softmax over the batch": lambda w, x: jax.nn.softmax(x @ w, axis=0),
    "Gram matrix of features": lambda w, x: x @ (x.T @ x),
    "centered by a matrix": lambda w, x: x @ w - jnp.full((len(x), len(x)), 1 / len(x)) @ (x @ w),
    "cumulated by a matrix": lambda w, x: jnp.tril(jnp.ones((len(x), len(x)))) @ x,
    "a matrix from the right": lambda w, x: (x.T @ jnp.tril(jnp.ones((len(x), len(x))))).T,
    "solve over examples": lambda w, x: jnp.linalg.solve(jnp.eye(len(x)) + 1, x),
    "triangular solve over examples": lambda w, x: jax.scipy.linalg.solve_triangular(
        jnp.tril(jnp.ones((len(x), len(x)))), x, lower=True
    ),
    "tridiagonal solve over examples": lambda w, x: jax.lax.linalg.tridiagonal_solve(
        jnp.ones(len(x)).at[0].set(0.0), jnp.full(len(x), 9.0), jnp.ones(len(x)).at[-1].set(0.0), x
    ),
    "shifted by padding": lambda w, x: jax.lax.pad(x, 0.0, ((1, -1, 0), (0, 0, 0))),
    "nearest neighbor": lambda w, x: jnp.max(x @ x.T, axis=1, keepdims=True) * x,
    "distances": lambda w, x: jnp.sum(jnp.abs(x[:, None] - x[None]), axis=1),
    "attention over examples": lambda w, x: jax.nn.softmax(x @ x.T) @ x,
    "sorted examples": lambda w, x: jnp.sort(x, axis=0),
    "cumulated examples": lambda w, x: jnp.cumsum(x, axis=0),
    "reversed examples": lambda w, x: x[::-1],
    "shuffled examples": lambda w, x: x[jnp.argsort(jnp.arange(len(x)) % 2)],
    "rolled examples": lambda w, x: x + jnp.roll(x, 1, axis=0),
    "first example": lambda w, x: x - x[:1],
    "last example by index": lambda w, x: x - x[-1],
    "scaled first example": lambda w, x: x.at[0].multiply(2.0) * jnp.sum(x.at[0].add(1.0)),
    "pooling over examples": lambda w, x: jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (2, 1), (1, 1), "SAME"
    ),
    "convolution over examples": lambda w, x: conv(x.T, w[:1, None, :3]).T,
    "examples as channels": lambda w, x: (
        jax.lax.conv_general_dilated(x[None], jnp.ones((4, len(x), 3)), (1,), "SAME")[0, :1] + x
    ),
    "fft over examples": lambda w, x: jnp.abs(jnp.fft.fft(x, axis=0)),
    "reshape for a transpose": lambda w, x: x.T.reshape(x.shape),
    "standardized, jitted": lambda w, x: jax.jit(lambda h: jax.nn.standardize(h, axis=0))(x @ w),
    "norm of the batch": lambda w, x: x / jnp.linalg.norm(x),
    "recurrence over examples": lambda w, x: jax.lax.scan(
        lambda h, row: (h + row, h + row), jnp.zeros(4), x
    )[1],
    "mean in a scan over features": recurrent(lambda h, c: h + c[:, None] - jnp.mean(c)),
    "mean in a loop": lambda w, x: jax.lax.fori_loop(0, 2, lambda i, h: h - jnp.mean(h), x),
    "mean in a while loop": lambda w, x: jax.lax.while_loop(
        lambda h: h[0, 0] < 0, lambda h: h + jnp.sum(jnp.abs(h)), x - 9.0
    ),
    "mean in a branch": lambda w, x: jax.lax.cond(
        w[0, 0] < 9, lambda h: h - jnp.mean(h), jnp.sin, x
    ),
    "mean in remat": lambda w, x: jax.checkpoint(lambda h: jnp.sin(h - jnp.mean(h)))(x),
    "mean in custom_vjp": lambda w, x: tanh_by_hand(x - jnp.mean(x)),
    "collective mean": lambda w, x: jax.vmap(
        lambda row: row - jax.lax.pmean(row, "batch"), axis_name="batch"
    )(x),
    "determinant of all": lambda w, x: x * jnp.linalg.qr(x @ w)[1][0, 0],
}


@pytest.mark.parametrize("model", INDEPENDENT)
def test_a_model_that_keeps_examples_apart_is_accepted(model):
    check(INDEPENDENT[model])


@pytest.mark.parametrize("model", MIXING)
def test_a_model_that_mixes_examples_is_refused(model):
    with pytest.raises(ValueError, match="f: expected apply_fn to treat examples independently"):
        check(MIXING[model])


def test_the_two_lists_of_models_are_what_they_claim_to_be():
    models = {**INDEPENDENT, **MIXING}
    everything = jax.jit(lambda x: {name: apply_fn(W, x) for name, apply_fn in models.items()})
    before, noticed = everything(X), set()
    for n in range(len(X)):
        after, others = everything(X.at[n].set(jnp.array([3.0, -2.0, 0.5, 7.0]))), np.arange(3) != n
        noticed |= {k for k in models if not np.array_equal(before[k][others], after[k][others])}
    assert noticed == set(MIXING)


def test_noise_that_depends_on_an_examples_place_is_refused():
    noise = jax.random.normal(jax.random.key(0), (4,))
    check(lambda w, x: x + noise)
    with pytest.raises(ValueError, match=r"random_bits.*draws other random numbers"):
        check(lambda w, x: x + jax.random.normal(jax.random.key(0), x.shape))


def test_the_message_names_the_scope_the_deed_and_the_remedy():
    def model(w, x):
        with jax.named_scope("standardize"):
            return jax.jit(lambda h: h - jnp.mean(h, axis=0, keepdims=True))(x @ w)

    message = (
        r"f: expected.*independently, got reduce_sum in layer 'standardize', which reduces over "
        r"the batch axis.*use_running_average=True.*constants"
    )
    with pytest.raises(ValueError, match=message):
        check(model)


class DeepNet(nn.Module):
    frozen: bool

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(2, (2, 2))(x)))
        x = nn.GroupNorm(2)(nn.avg_pool(x, (2, 2)))
        x = nn.relu(nn.BatchNorm(use_running_average=self.frozen, name="late")(nn.Conv(2, (1,))(x)))
        x = nn.Dropout(0.5, deterministic=True)(nn.LayerNorm()(x.reshape(len(x), -1)))
        return nn.Dense(3)(x)


def linen(frozen):
    x = jnp.zeros((2, 4, 4, 1))
    net = DeepNet(frozen)
    shapes = jax.eval_shape(net.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    rest = {"batch_stats": variables["batch_stats"]}

    def apply_fn(params, x):
        return net.apply({"params": params, **rest}, x, mutable=["batch_stats"])[0]

    return apply_fn, variables["params"], x


def test_batch_norm_in_a_linen_network_is_named_in_training_and_accepted_when_frozen():
    check(*linen(frozen=True))
    with pytest.raises(ValueError, match=r"in layer 'DeepNet/late', which"):
        check(*linen(frozen=False))


def test_batch_norm_in_an_nnx_network_is_named_in_training_and_accepted_in_evaluation():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.dense, self.norm = nnx.Linear(4, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)

        def __call__(self, x):
            return self.norm(self.dense(x))

    net, x = Net(nnx.Rngs(0)), X.astype(jnp.float32)
    state = {}

    def apply_fn(params, x):  # one function throughout: what JAX caches of it must not be asked
        return nnx.merge(state["graph"], params, state["rest"], copy=True)(x)

    state["graph"], params, state["rest"] = nnx.split(net, nnx.Param, ...)
    with pytest.raises(ValueError, match=r"in BatchNorm\.__call__ \(normalization\.py:\d+\)"):
        check(apply_fn, params, x)
    net.eval()
    state["graph"], params, state["rest"] = nnx.split(net, nnx.Param, ...)
    check(apply_fn, params, x)


def test_batch_norm_in_an_equinox_network_is_named_in_training_and_accepted_in_inference():
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(4, axis_name="batch", mode="batch")
    fresh = jax.tree.flatten(state)[::-1]
    net = (eqx.nn.Linear(4, 4, key=jax.random.key(0)), norm)

    def split(net):
        params, static = eqx.partition(net, eqx.is_inexact_array)

        def apply_fn(params, x):
            linear, norm = eqx.combine(params, static)
            state = jax.tree.unflatten(*fresh)  # Equinox lets nobody use one state twice
            return jax.vmap(lambda row: norm(linear(row), state)[0], axis_name="batch")(x)

        return apply_fn, params

    with pytest.raises(ValueError, match=r"psum in layer '.*eqx\.nn\.BatchNorm"):
        check(*split(net))
    check(*split(eqx.nn.inference_mode(net)))


def test_the_projects_network_is_accepted_unless_its_sites_take_the_batch_mean():
    model = MLP(widths=(3,), num_outputs=2)
    params = jax.eval_shape(model.init, jax.random.key(0), X)["params"]
    units = (4, 3)
    sites = [Site(jnp.ones(n), jnp.zeros(n), jnp.array(1.0)) for n in units]
    means = [jnp.zeros(n) for n in units]
    check(lambda p, x: model.apply({"params": p}, x), params)
    check(lambda p, x: model.apply({"params": p}, x, sites, means), params)
    with pytest.raises(ValueError, match="got reduce_sum in layer 'MLP'"):
        check(lambda p, x: model.apply({"params": p}, x, sites), params)


def test_tracers_of_jit_and_vmap_may_be_parameters_or_closed_over():
    def verdicts(w, shift):
        check(lambda p, x: x @ p + shift, w)
        with pytest.raises(ValueError, match="independently"):
            check(lambda p, x: (x - jnp.mean(x)) @ p + shift, w)
        return w

    jax.jit(jax.vmap(verdicts))(jnp.zeros((2, 4, 4)), jnp.zeros((2, 4)))
    jax.eval_shape(jax.grad(lambda w: jnp.sum(verdicts(w, 1.0))), W)


def test_a_model_of_one_batch_size_is_judged_there_if_no_other_dimension_misleads():
    rows = jnp.ones((3, 1))  # closed over, one an example
    check(lambda w, x: x @ w + rows)
    with pytest.raises(ValueError, match="independently"):
        check(lambda w, x: x @ w + rows - jnp.mean(x))
    # Four examples of four features: nothing can be told, and nothing is.
    four = jnp.ones((4, 1))
    check(lambda w, x: x @ w + four - jnp.mean(x), x=jnp.zeros((4, 4)))


def test_inputs_may_be_scalars_or_integers():
    check(lambda w, x: x[:, None] * w[:1], x=jnp.zeros(3))
    check(lambda w, x: w[x], x=jnp.zeros(3, int))
    assert refuses(lambda w, x: w[x] + jnp.sum(x), x=jnp.zeros(3, int))
