"""The same functions on a Linen, an NNX, an Equinox and a bare model: equal to 1e-10."""

import functools

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree

from signdyn.analysis import fisher, layers, natural, spectrum
from signdyn.likelihoods import categorical, gaussian
from signdyn.models.taps import linen_tapped

N, FAN_IN, WIDTH, CLASSES = 12, 3, 4, 3
SHAPES = {
    "first": {"bias": (WIDTH,), "kernel": (FAN_IN, WIDTH)},
    "last": {"bias": (CLASSES,), "kernel": (WIDTH, CLASSES)},
}
TOLERANCE = 1e-10  # of a result's largest entry


def without_tap(name, inputs, preactivations):
    return preactivations


def bare(params, x, tap=without_tap):
    first, last = params["first"], params["last"]
    hidden = jnp.tanh(tap("first", x, x @ first["kernel"] + first["bias"]))
    return tap("last", hidden, hidden @ last["kernel"] + last["bias"])


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        hidden = jnp.tanh(nn.Dense(WIDTH, name="first", param_dtype=float)(x))
        return nn.Dense(CLASSES, name="last", param_dtype=float)(hidden)


class NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(FAN_IN, WIDTH, param_dtype=float, rngs=rngs)
        self.last = nnx.Linear(WIDTH, CLASSES, param_dtype=float, rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


class EquinoxNet(eqx.Module):
    first: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, key):
        self.first = eqx.nn.Linear(FAN_IN, WIDTH, key=key)
        self.last = eqx.nn.Linear(WIDTH, CLASSES, key=key)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


def bare_model():
    shapes = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s, float), SHAPES, is_leaf=_is_shape)
    return bare, shapes


def linen_model():
    net = LinenNet()
    return net.apply, jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, FAN_IN)))


def nnx_model():
    graph, params = nnx.split(nnx.eval_shape(lambda: NNXNet(nnx.Rngs(0))))
    return (lambda params, x: nnx.merge(graph, params, copy=True)(x)), params


def equinox_model():
    net = eqx.filter_eval_shape(EquinoxNet, jax.random.key(0))
    params, static = eqx.partition(net, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    return (lambda params, x: jax.vmap(eqx.combine(params, static))(x)), params


MODELS = {"linen": linen_model, "nnx": nnx_model, "equinox": equinox_model}


def _is_shape(node):
    return isinstance(node, tuple)


def values(seed=0):
    normal = np.random.default_rng(seed).normal
    return jax.tree.map(lambda shape: normal(size=shape), SHAPES, is_leaf=_is_shape)


def fill(shapes, weights):
    """Return parameters of a framework's form that hold ``weights``, the bare model's."""

    def leaf_of(path, shape):
        parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        layer = next(part for part in parts if part in SHAPES)
        weight = weights[layer]["bias" if "bias" in parts else "kernel"]
        weight = weight.T if "weight" in parts else weight  # Equinox keeps [units, fan_in]
        assert weight.shape == shape.shape
        return jnp.asarray(weight)

    return jax.tree_util.tree_map_with_path(leaf_of, shapes)


def columns_of(shapes):
    """Return the bare model's column for every column of a framework's."""
    flat, unravel = ravel_pytree(values())
    order = unravel(jnp.arange(flat.size, dtype=float))
    return np.asarray(ravel_pytree(fill(shapes, order))[0], int)


X = np.random.default_rng(1).normal(0.5, size=(N, FAN_IN))
Y = np.random.default_rng(2).integers(CLASSES, size=N)
DAMPING = 0.1


@functools.partial(jax.jit, static_argnums=0)
def of_model(apply_fn, params, x, y):
    """Return all that needs the model, matrices with a column for every parameter."""
    point = (apply_fn, categorical(), params, x)
    product = fisher.fisher_vector_product(*point)
    nll = lambda params: jnp.mean(categorical().nll(apply_fn(params, x), y))  # noqa: E731
    return {
        "factor": fisher.fisher_factor(*point),
        "empirical factor": fisher.empirical_fisher_factor(*point, y),
        "Monte Carlo factor": fisher.monte_carlo_fisher_factor(*point, jax.random.key(0), 2),
        "products": jax.vmap(product)(jnp.eye(ravel_pytree(params)[0].size)),
        "gradient": ravel_pytree(jax.grad(nll)(params))[0],
        "spectrum": spectrum.fisher_spectrum(*point).eigenvalues,
    }


@jax.jit  # compiled once for all frameworks: a factor knows of none
def of_factor(A, products, grad):
    top = spectrum.top_eigenpairs(lambda v: products @ v, grad.size, 3, jax.random.key(0))
    return {
        "natural gradient": natural.natural_gradient(A, grad, damping=DAMPING),
        "top eigenvectors": top.eigenvectors * jnp.sign(top.eigenvectors @ grad)[:, None],
        "top eigenvalues": top.eigenvalues,
        "split": jnp.stack(fisher.mean_covariance_split(A, rank=len(A) // N)),
    }


WITHOUT_COLUMNS = ("spectrum", "top eigenvalues", "split")


@functools.cache
def results(name):
    """Return the analysis of a framework's model, columns in the order of the bare one's."""
    apply_fn, shapes = bare_model() if name == "bare" else MODELS[name]()
    params = fill(shapes, values())
    found = of_model(apply_fn, params, X, Y)
    found |= of_factor(found["factor"], found["products"], found["gradient"])
    blocks = fisher.fisher_blocks(found["factor"], params, by="leaf")
    back = np.argsort(columns_of(shapes))
    found = {
        key: np.asarray(value if key in WITHOUT_COLUMNS else value[..., back])
        for key, value in found.items()
    }
    return found | {"products": found["products"][back]}, blocks


def assert_close(found, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.max(np.abs(expected)), rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_every_framework_gives_the_results_of_the_bare_function(name):
    expected, found = results("bare")[0], results(name)[0]
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert_close(found[key], value)


def test_frameworks_order_parameters_differently():
    orders = {tuple(columns_of(model()[1])) for model in MODELS.values()}
    assert len(orders) == 2  # Equinox puts the kernel first, and transposes it


@pytest.mark.parametrize("name", MODELS)
def test_the_blocks_of_leaves_are_the_same_under_the_frameworks_own_paths(name):
    expected, found = results("bare")[1], results(name)[1]
    assert len(found) == len(expected) == 4
    for path, block in found.items():
        layer = next(layer for layer in SHAPES if layer in path)
        twin = expected[f"{layer}/{'bias' if 'bias' in path else 'kernel'}"]
        assert_close(block @ block.T, twin @ twin.T)  # blind to the order of columns


def test_the_results_that_agree_across_frameworks_agree_with_each_other():
    found, _ = results("bare")
    A, grad = found["factor"], found["gradient"]
    F = A.T @ A
    assert_close(found["products"], F)
    assert_close(found["spectrum"], np.linalg.eigvalsh(F)[::-1])
    assert_close(found["top eigenvalues"], found["spectrum"][:3])
    assert_close(F @ found["natural gradient"] + DAMPING * found["natural gradient"], grad)
    assert_close(np.sqrt(N) * found["empirical factor"].mean(0), grad)


def test_the_layers_of_the_tapped_bare_function_are_the_columns_of_its_factor():
    @jax.jit
    def both(params, x):
        bare_layers = layers.fisher_layers(bare, categorical(), params, x)
        linen_layers = layers.fisher_layers(linen_tapped(LinenNet()), categorical(), params, x)
        factors = {name: layers.layer_factor(layer) for name, layer in bare_layers.items()}
        return bare_layers, linen_layers, factors

    params = jax.tree.map(jnp.asarray, values())
    bare_layers, linen_layers, factors = both(params, jnp.asarray(X))
    assert_close(
        np.concatenate([layer.deltas.ravel() for layer in bare_layers.values()]),
        np.concatenate([layer.deltas.ravel() for layer in linen_layers.values()]),
    )
    assert_close(bare_layers["last"].inputs, linen_layers["last"].inputs)
    A = jnp.asarray(results("bare")[0]["factor"])
    blocks = fisher.fisher_blocks(A, params, by="layer")
    assert list(factors) == list(blocks) == list(SHAPES)
    for name, factor in factors.items():
        units = SHAPES[name]["bias"][0]
        assert_close(np.roll(factor, units, axis=1), blocks[name])  # there the bias comes first


def test_nnx_variables_made_pure_give_layers_their_names():
    _, shapes = nnx_model()
    params = nnx.as_pure(fill(shapes, values()))
    A = jnp.asarray(results("bare")[0]["factor"])
    assert list(fisher.fisher_blocks(A, params, by="layer")) == list(SHAPES)


def linen_with_norm(frozen):
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(WIDTH, name="first")(x)
            return nn.BatchNorm(use_running_average=frozen, name="norm")(x)

    net = Net()
    variables = jax.eval_shape(net.init, jax.random.key(0), X)
    variables = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), variables)

    def apply_fn(params, x):
        stats = {"batch_stats": variables["batch_stats"]}
        return net.apply({"params": params, **stats}, x, mutable=["batch_stats"])[0]

    return apply_fn, variables["params"]


def nnx_with_norm(frozen):
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(FAN_IN, WIDTH, rngs=rngs)
            self.norm = nnx.BatchNorm(WIDTH, rngs=rngs)

        def __call__(self, x):
            return self.norm(self.first(x))

    net = nnx.eval_shape(lambda: Net(nnx.Rngs(0)))
    if frozen:
        net.eval()
    graph, *state = nnx.split(net, nnx.Param, ...)
    params, rest = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), state)
    return (lambda params, x: nnx.merge(graph, params, rest, copy=True)(x)), params


def equinox_with_norm(frozen):
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(WIDTH, axis_name="batch", mode="ema")
    leaves, treedef = jax.tree.flatten(state)
    net = (eqx.nn.Linear(FAN_IN, WIDTH, key=jax.random.key(0)), norm)
    net = eqx.nn.inference_mode(net) if frozen else net
    params, static = eqx.partition(net, eqx.is_inexact_array)

    def apply_fn(params, x):
        linear, norm = eqx.combine(params, static)
        state = jax.tree.unflatten(treedef, leaves)  # Equinox lets nobody use one state twice
        return jax.vmap(lambda row: norm(linear(row), state)[0], axis_name="batch")(x)

    return apply_fn, params


# what a framework puts on JAX's name stack differs: a path, a source line, a class
NORMS = {
    "linen": (linen_with_norm, "layer 'Net/norm'"),
    "nnx": (nnx_with_norm, r"BatchNorm\.__call__ \(normalization\.py"),
    "equinox": (equinox_with_norm, r"layer '.*eqx\.nn\.BatchNorm"),
}


@pytest.mark.parametrize(("build", "layer"), NORMS.values(), ids=NORMS.keys())
def test_a_batch_norm_in_training_mode_is_refused_by_its_name_and_accepted_when_frozen(
    build, layer
):
    def shape(frozen):
        apply_fn, params = build(frozen)
        factor = functools.partial(fisher.fisher_factor, apply_fn, gaussian())
        return jax.eval_shape(factor, params, X.astype(np.float32)).shape

    with pytest.raises(ValueError, match=f"fisher_factor: expected.*independently.*in {layer}"):
        shape(frozen=False)
    num_params = FAN_IN * WIDTH + WIDTH + 2 * WIDTH
    assert shape(frozen=True) == (N * WIDTH, num_params)
