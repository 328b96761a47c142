"""Fishers and their spectra in JAX: signdyn, the explicit factor, laplax and matfree.

Tanh networks on digits, softmax outputs; networks and data are those of `scripts.bench.tasks`.
Answers do not depend on the order of the parameters, which differs between the tools.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from experiments._cli import configure_jax, num_cores
from scripts.bench import tasks
from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.layers import fisher_layers, gram_of_layers
from signdyn.analysis.matrix import fisher_matrix
from signdyn.analysis.spectrum import fisher_spectrum, spectral_density, top_eigenpairs
from signdyn.likelihoods import categorical
from signdyn.types import Tap, Tapped

Run = Callable[[], dict[str, np.ndarray]]
Params = list[dict[str, jax.Array]]
TOP, PROBES, STEPS = 10, 10, 80
COMPARED = 2
"""Probes of a density that every contender takes, and that are compared one by one."""
DAMPING = 1e-2
DEPTH = 24
"""Of a Krylov space that holds the ten pairs to 2e-6 on both networks; at 16 a value is 1% off."""


def tapped(params: Params, x: jax.Array, tap: Tap) -> jax.Array:
    """Return the logits of a tanh network."""
    for layer, own in enumerate(params):
        x = jnp.tanh(x) if layer else x
        x = tap(str(layer), x, x @ own["kernel"] + own["bias"])
    return x


MODEL = Tapped(tapped)


def apply(params: Params, x: jax.Array) -> jax.Array:
    """Return the logits, of a model that shows no layers."""
    return MODEL(params, x)


def task(widths: Sequence[int], examples: int, seed: int = 0) -> tuple[Params, jax.Array]:
    """Return parameters and inputs."""
    x, _ = tasks.digits()
    network = tasks.dense_network(widths, seed)
    params = [{"kernel": jnp.asarray(k), "bias": jnp.asarray(b)} for k, b in network]
    return params, jnp.asarray(x[:examples])


def matrix(widths: Sequence[int], examples: int, way: str = "layers") -> Run:
    """Return a run that forms the Fisher, by "layers" or from the explicit "factor"."""
    params, x = task(widths, examples)
    model = MODEL if way == "layers" else apply
    find = jax.jit(lambda p, x: fisher_matrix(model, categorical(), p, x).matrix)
    return lambda: of_matrix(np.asarray(find(params, x)))


def of_matrix(F: np.ndarray) -> dict[str, np.ndarray]:
    """Return what of a symmetric matrix does not depend on the order of its columns."""
    return {"diagonal": np.sort(F.diagonal()), "sums": np.sort(F @ np.ones(len(F), F.dtype))}


def gram(widths: Sequence[int], examples: int, way: str = "layers") -> Run:
    """Return a run that forms A A^T, by "layers" or from the explicit "factor"."""
    params, x = task(widths, examples)

    def by_layers(p: Params, x: jax.Array) -> jax.Array:
        return gram_of_layers(fisher_layers(MODEL, categorical(), p, x))

    def by_factor(p: Params, x: jax.Array) -> jax.Array:
        A = fisher_factor(apply, categorical(), p, x)
        return A @ A.T

    find = jax.jit(by_layers if way == "layers" else by_factor)
    return lambda: of_gram(np.asarray(find(params, x)))


def of_gram(gram: np.ndarray) -> dict[str, np.ndarray]:
    """Return a Gram matrix's trace and norm, which any factor of the outputs' Fisher agrees on."""
    return tasks.trace_and_norm(gram)


def spectrum(widths: Sequence[int], examples: int) -> Run:
    """Return a run that finds all eigenvalues of the Fisher."""
    params, x = task(widths, examples)
    find = jax.jit(lambda p, x: fisher_spectrum(MODEL, categorical(), p, x).eigenvalues)
    return lambda: of_eigenvalues(np.asarray(find(params, x)))


def of_eigenvalues(eigenvalues: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a float32 matrix can tell, and what takes the accuracy of a factor."""
    found = np.sort(np.maximum(eigenvalues, 0.0))[::-1].astype(np.float64)
    kept = found[: np.sum(found > 1e-10 * found[0])]
    return {"eigenvalues": found[:1000], "number_above_1e-10": np.array(len(kept), np.float64)}


def spectra_of_seeds(widths: Sequence[int], examples: int, seeds: int) -> Run:
    """Return a run that finds the spectra of many networks in one call, a device a core."""
    configure_jax(num_cores())
    _, x = task(widths, examples)
    networks = [task(widths, examples, seed)[0] for seed in range(seeds)]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)

    def one(p: Params) -> jax.Array:
        return fisher_spectrum(MODEL, categorical(), p, x).eigenvalues

    mesh, seed = Mesh(np.asarray(jax.local_devices()), ("seed",)), PartitionSpec("seed")
    find = jax.jit(
        jax.shard_map(
            lambda p: jax.lax.map(one, p),
            mesh=mesh,
            in_specs=seed,
            out_specs=seed,
            check_vma=False,
        )
    )
    params = jax.device_put(params, jax.sharding.NamedSharding(mesh, seed))
    return lambda: {"eigenvalues": np.asarray(find(params))[:, :100]}


def top(widths: Sequence[int], examples: int) -> Run:
    """Return a run that finds the ten largest eigenpairs."""
    params, x = task(widths, examples)
    dim, key = tasks.num_params(widths), jax.random.key(0)

    @jax.jit
    def find(p: Params, x: jax.Array) -> jax.Array:
        product = fisher_vector_product(MODEL, categorical(), p, x)
        return top_eigenpairs(product, dim, TOP, key, num_iterations=DEPTH).eigenvalues

    return lambda: {"eigenvalues": np.asarray(find(params, x))}


def density(widths: Sequence[int], examples: int, way: str) -> Run:
    """Return a run of Lanczos quadrature, all probes at once, by "products" or the "matrix"."""
    params, x = task(widths, examples)
    dim, key = tasks.num_params(widths), jax.random.key(0)

    @jax.jit
    def find(p: Params, x: jax.Array) -> jax.Array:
        if way == "matrix":
            F = fisher_matrix(MODEL, categorical(), p, x).matrix
            product: Callable[[jax.Array], jax.Array] = lambda v: F @ v  # noqa: E731
        else:
            product = fisher_vector_product(MODEL, categorical(), p, x)
        found = spectral_density(
            product, dim, key, num_probes=PROBES, num_steps=STEPS, batch_size=PROBES
        )
        return dim * jnp.sum(found.weights * effective(found.nodes), axis=1)

    return lambda: {"effective": np.asarray(find(params, x))[:COMPARED]}


def effective(eigenvalues: jax.Array) -> jax.Array:
    """Return what each adds to the number of parameters that count beside `DAMPING`."""
    return eigenvalues / (eigenvalues + DAMPING)


def probes(dim: int) -> jax.Array:
    """Return the directions [probe, dim] of a density as signdyn draws them, of length sqrt dim."""
    keys = jax.random.split(jax.random.key(0), PROBES)
    normal = jax.vmap(lambda key: jax.random.normal(key, (dim,)))(keys)
    return normal * (dim**0.5 / jnp.linalg.norm(normal, axis=1, keepdims=True))


def laplax_product(params: Params, x: jax.Array) -> Callable[[Any], Any]:
    """Return laplax's product with the Fisher, for a pytree of parameters."""
    from laplax.curv.ggn import create_ggn_mv

    data = {"input": x, "target": jnp.zeros(len(x), jnp.int32)}

    def model(input: jax.Array, params: Params) -> jax.Array:
        return apply(params, input[None])[0]

    return create_ggn_mv(model, params, data, "cross_entropy", num_total_samples=1)


def laplax_matrix(widths: Sequence[int], examples: int) -> Run:
    """Return a run in which laplax forms the Fisher, a column after the other."""
    from laplax.util.mv import to_dense

    params, x = task(widths, examples)
    flat, unravel = ravel_pytree(params)

    @jax.jit
    def find(p: Params, x: jax.Array) -> jax.Array:
        product = laplax_product(p, x)
        return to_dense(lambda v: ravel_pytree(product(unravel(v)))[0], layout=flat.size)

    return lambda: of_matrix(np.asarray(find(params, x)))


def laplax_top(widths: Sequence[int], examples: int) -> Run:
    """Return a run with laplax's product in SciPy's Lanczos, which is faster than its LOBPCG."""
    params, x = task(widths, examples)
    flat, unravel = ravel_pytree(params)
    product = laplax_product(params, x)
    jitted = jax.jit(lambda v: ravel_pytree(product(unravel(v)))[0])
    return lambda: {"eigenvalues": arpack(lambda v: np.asarray(jitted(v)), flat.size)}


def arpack(product: Callable[[np.ndarray], np.ndarray], dim: int) -> np.ndarray:
    """Return the ten largest eigenvalues by SciPy's ARPACK, descending."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    class Operator(LinearOperator):
        def __init__(self):
            super().__init__(np.float32, (dim, dim))

        def _matvec(self, x: np.ndarray) -> np.ndarray:
            return product(x.ravel())

    operator = Operator()
    start = np.random.default_rng(0).normal(size=dim).astype(np.float32)
    return np.sort(eigsh(operator, k=TOP, v0=start, tol=1e-4)[0])[::-1]


def matfree_top(widths: Sequence[int], examples: int) -> Run:
    """Return a run with matfree's Lanczos."""
    from matfree import decomp, eig

    params, x = task(widths, examples)
    start = jax.random.normal(jax.random.key(0), (tasks.num_params(widths),))

    @jax.jit
    def find(p: Params, x: jax.Array) -> jax.Array:
        product = fisher_vector_product(apply, categorical(), p, x)
        values, _ = eig.eigh_partial(decomp.tridiag_sym(DEPTH, materialize=True))(product, start)
        return jnp.sort(values)[::-1][:TOP]

    return lambda: {"eigenvalues": np.asarray(find(params, x))}


def matfree_density(widths: Sequence[int], examples: int) -> Run:
    """Return a run with matfree's stochastic Lanczos quadrature, all probes at once."""
    from matfree import decomp, funm

    params, x = task(widths, examples)
    directions = probes(tasks.num_params(widths))

    @jax.jit
    def find(p: Params, x: jax.Array) -> jax.Array:
        product = fisher_vector_product(apply, categorical(), p, x)
        dense = funm.dense_funm_sym_eigh(effective)
        integrand = funm.monte_carlo_funm_sym(dense, decomp.tridiag_sym(STEPS))
        return jax.vmap(lambda probe: integrand(product, probe))(directions)

    return lambda: {"effective": np.asarray(find(params, x))[:COMPARED]}
