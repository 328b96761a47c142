r"""Statistics of per-example gradients, under the names that the literature gives them.

g_n is the gradient of the nll of example n with respect to all parameters, not divided by N, and
G = (g_m^T g_n) the Gram matrix [example, example] of the N of them. What depends on inner products
only comes twice: of the gradients, and ``..._from_gram``, for layers whose G is known without any
gradient being formed (dense layers: :func:`signdyn.analysis.layers.gram_of_layers` of the
empirical Fisher's layers is G / N).

======================================  ==================================  ==================
function                                formula                             range
======================================  ==================================  ==================
:func:`m_coherence`                     |sum_n g_n|^2 / sum_n |g_n|^2       [0, N]
:func:`gradient_diversity`              sum_n |g_n|^2 / |sum_n g_n|^2       [1/N, inf]
:func:`gradient_confusion`              max(0, -min_{m != n} g_m^T g_n)     [0, inf)
:func:`stiffness_sign`                  mean_{m != n} sign(g_m^T g_n)       [-1, 1]
:func:`stiffness_cosine`                mean_{m != n} cos(g_m, g_n)         [-1/(N-1), 1]
:func:`gsnr`                            mean_n(g_n)^2 / var_n(g_n)          [0, inf] a parameter
:func:`gradient_density`                (sum_i |v_i|)^2 / (d sum_i v_i^2)   [1/d, 1], one vector
======================================  ==================================  ==================

Rules shared by every function here:

* Gradients are an array [example, param] or a pytree of arrays [example, ...], whose parameters
  count as one vector.
* Squares are taken of scaled gradients, so that no magnitude over- or underflows; a Gram matrix
  has been squared already, and what underflowed in it is lost.
* A NaN gradient makes the result it enters NaN. Undefined is NaN.
* Results are float64 for float64 input and float32 otherwise.

May import: types.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from signdyn.types import Params


def m_coherence(grads: Params) -> Float[Array, ""]:
    r"""Return |sum_n g_n|^2 / sum_n |g_n|^2, to how many examples one gradient is of use.

    The m-coherence of Chatterjee and Zielinski (2020) is m |E g|^2 / E|g|^2 for a sample of m
    examples; here m = N, all that are given. It is N for identical gradients, 1 for orthogonal
    ones and for independent ones without a common mean (in expectation, up to 1/N), and 0 where
    they cancel. It is the inverse of :func:`gradient_diversity`.

    Args:
        grads: Per-example gradients, array [example, param] or pytree of arrays [example, ...].

    Returns:
        Scalar in [0, N]; scales with N, so compare at equal N. NaN if all gradients are zero.

    Raises:
        ValueError: If the leaves are not float arrays of one number of examples.

    Example:
        >>> print(m_coherence(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])))  # (4 + 1) / 3
        1.6666666
    """
    total, energy = _total_and_energy(_matrix("m_coherence", grads))
    return total / energy


def m_coherence_from_gram(gram: Float[Array, "example example"]) -> Float[Array, ""]:
    """Return :func:`m_coherence` as sum(G) / trace(G).

    Args:
        gram: Inner products of the gradients, in any unit.

    Returns:
        Scalar in [0, N], NaN if the trace is zero.

    Raises:
        ValueError: If the matrix is not square.

    Example:
        >>> print(m_coherence_from_gram(jnp.array([[2.0, 1.0], [1.0, 2.0]])))  # 6 / 4
        1.5
    """
    total, energy = _total_and_energy_of_gram("m_coherence_from_gram", gram)
    return total / energy


def gradient_diversity(grads: Params) -> Float[Array, ""]:
    r"""Return sum_n |g_n|^2 / |sum_n g_n|^2, the gradient diversity of Yin et al. (2018).

    N times it is their bound on the batch size up to which minibatches speed SGD up without loss.
    It is 1/N for identical gradients, 1 for orthogonal ones, and infinite where they cancel.

    Args:
        grads: Per-example gradients, array [example, param] or pytree of arrays [example, ...].

    Returns:
        Scalar in [1/N, inf]; inf if the gradients, not all zero, sum to zero. NaN if all are zero.

    Raises:
        ValueError: If the leaves are not float arrays of one number of examples.

    Example:
        >>> print(gradient_diversity(jnp.array([[3.0, 0.0], [1.0, 0.0], [0.0, 2.0]])))  # 14 / 20
        0.7
    """
    total, energy = _total_and_energy(_matrix("gradient_diversity", grads))
    return energy / total


def gradient_diversity_from_gram(gram: Float[Array, "example example"]) -> Float[Array, ""]:
    """Return :func:`gradient_diversity` as trace(G) / sum(G).

    Args:
        gram: Inner products of the gradients, in any unit.

    Returns:
        Scalar in [1/N, inf], NaN if the trace is zero.

    Raises:
        ValueError: If the matrix is not square.

    Example:
        >>> print(gradient_diversity_from_gram(jnp.array([[2.0, 1.0], [1.0, 1.0]])))  # 3 / 5
        0.6
    """
    total, energy = _total_and_energy_of_gram("gradient_diversity_from_gram", gram)
    return energy / total


def gradient_confusion(grads: Params) -> Float[Array, ""]:
    r"""Return the smallest gradient confusion bound eta, after Sankararaman et al. (2020).

    Their definition 2.1: eta >= 0 is a gradient confusion bound at these parameters if

        g_m^T g_n >= -eta    for all examples m != n ,

    so the smallest one is the magnitude of the most negative inner product, and 0 if there is none.
    It is not normalized: it shrinks with the gradients. Their plots show the least *cosine*
    instead, another quantity.

    Args:
        grads: Per-example gradients, array [example, param] or pytree of arrays [example, ...].

    Returns:
        Scalar >= 0 in squared units of the gradients, NaN with fewer than two examples.

    Raises:
        ValueError: If the leaves are not float arrays of one number of examples.

    Example:
        >>> print(gradient_confusion(jnp.array([[1.0, 2.0], [2.0, -4.0], [1.0, 0.0]])))  # 2 - 8
        6.0
    """
    # Each example by its own scale: another's, much larger, would drown it. The larger factor of
    # two first, as a product on the way must not be out of range if the result is not.
    scaled, scale = _scaled(_matrix("gradient_confusion", grads), 1)
    gram = jnp.minimum(scale, scale.T) * (jnp.maximum(scale, scale.T) * _gram(scaled))
    return _confusion(gram)


def gradient_confusion_from_gram(gram: Float[Array, "example example"]) -> Float[Array, ""]:
    """Return :func:`gradient_confusion`, the magnitude of the least entry off the diagonal.

    Args:
        gram: Inner products of the gradients themselves: a G / N must be multiplied by N.

    Returns:
        Scalar >= 0 in the units of ``gram``, NaN with fewer than two examples.

    Raises:
        ValueError: If the matrix is not square.

    Example:
        >>> print(gradient_confusion_from_gram(jnp.array([[5.0, -6.0], [-6.0, 20.0]])))
        6.0
    """
    return _confusion(_square("gradient_confusion_from_gram", gram))


def stiffness_sign(grads: Params) -> Float[Array, ""]:
    r"""Return the mean of sign(g_m^T g_n) over pairs of different examples (Fort et al., 2019).

    The share of pairs in which a small step on one example helps the other, minus the share in
    which it hurts; an inner product of exactly zero counts as 0. This is the sign of one number a
    pair. The share of coordinates whose *signs agree* is another quantity, although it has been
    called stiffness too: :func:`signdyn.diagnostics.signs.sign_agreement`.

    Args:
        grads: Per-example gradients, array [example, param] or pytree of arrays [example, ...].

    Returns:
        Scalar in [-1, 1]. Examples without gradient are left out, as in :func:`stiffness_cosine`;
        NaN if fewer than two remain.

    Raises:
        ValueError: If the leaves are not float arrays of one number of examples.

    Example:
        >>> print(stiffness_sign(jnp.array([[1.0, 2.0], [3.0, -1.0], [0.0, -1.0]])))  # + - +
        0.33333334
    """
    scaled, scale = _scaled(_matrix("stiffness_sign", grads), 1)
    return _mean_of_pairs(jnp.sign(_gram(scaled)), jnp.squeeze(scale, axis=1) != 0)


def stiffness_sign_from_gram(gram: Float[Array, "example example"]) -> Float[Array, ""]:
    """Return :func:`stiffness_sign`, the mean sign of the entries of G off its diagonal.

    Args:
        gram: Inner products of the gradients, in any unit; an example whose diagonal entry is zero
            has no gradient and is left out.

    Returns:
        Scalar in [-1, 1], NaN if fewer than two examples remain.

    Raises:
        ValueError: If the matrix is not square.

    Example:
        >>> print(stiffness_sign_from_gram(jnp.array([[5.0, -6.0], [-6.0, 20.0]])))
        -1.0
    """
    gram = _square("stiffness_sign_from_gram", gram)
    return _mean_of_pairs(jnp.sign(gram), jnp.diag(gram) != 0)


def stiffness_cosine(grads: Params) -> Float[Array, ""]:
    r"""Return the mean cosine between the gradients of two different examples (Fort et al., 2019).

    With u_n = g_n / |g_n| over the M examples that have a gradient,

        stiffness = (|sum_n u_n|^2 - M) / (M (M - 1)) ,

    which costs one pass instead of M^2 pairs.

    Args:
        grads: Per-example gradients, array [example, param] or pytree of arrays [example, ...].

    Returns:
        Scalar in [-1/(M-1), 1]. Examples without gradient have no direction and are left out; NaN
        if fewer than two remain.

    Raises:
        ValueError: If the leaves are not float arrays of one number of examples.

    Example:
        >>> print(stiffness_cosine(jnp.array([[3.0, 0.0], [0.0, 2.0], [3.0, 4.0]])))  # 0, .6, .8
        0.4666667
    """
    scaled, scale = _scaled(_matrix("stiffness_cosine", grads), 1)
    has_direction = scale != 0  # also true for NaN, which must not be left out
    norm = jnp.sqrt(jnp.sum(scaled**2, axis=1, keepdims=True))
    directions = scaled / jnp.where(has_direction, norm, 1.0)
    count = jnp.count_nonzero(has_direction).astype(scaled.dtype)
    of_pairs = jnp.sum(jnp.sum(directions, axis=0) ** 2) - count
    return jnp.where(count > 1, jnp.minimum(of_pairs / (count * (count - 1)), 1.0), jnp.nan)


def stiffness_cosine_from_gram(gram: Float[Array, "example example"]) -> Float[Array, ""]:
    """Return :func:`stiffness_cosine`, the mean of G_mn / sqrt(G_mm G_nn) off the diagonal.

    Args:
        gram: Inner products of the gradients, in any unit; an example whose diagonal entry is zero
            has no gradient and is left out.

    Returns:
        Scalar in [-1/(M-1), 1], NaN if fewer than two examples remain.

    Raises:
        ValueError: If the matrix is not square.

    Example:
        >>> print(stiffness_cosine_from_gram(jnp.array([[4.0, 3.0], [3.0, 9.0]])))  # 3 / (2 * 3)
        0.5
    """
    gram = _square("stiffness_cosine_from_gram", gram)
    norms = jnp.sqrt(jnp.diag(gram))
    has_direction = norms != 0
    norms = jnp.where(has_direction, norms, 1.0)
    cosines = gram / norms[:, None] / norms[None, :]
    return jnp.minimum(_mean_of_pairs(cosines, has_direction), 1.0)


def gsnr(grads: Params) -> Params:
    r"""Return every parameter's gradient signal to noise ratio, mean^2 / variance over examples.

    The GSNR of Liu et al. (2020), a property of the data distribution, with the moments of the N
    examples given; the variance is their mean squared deviation (1/N, not 1/(N-1)). Chance level
    is not 0: for Gaussian gradients (N - 1) gsnr has the noncentral F distribution with (1, N - 1)
    degrees of freedom and noncentrality N r, r being the true ratio, hence

        E[gsnr] = (1 + N r) / (N - 3) .

    Args:
        grads: Per-example gradients, array [example, param] or pytree of arrays [example, ...].

    Returns:
        The same pytree without the axis of examples, entries in [0, inf]: inf if a parameter's
        gradients are equal, NaN if all are zero. All NaN with fewer than two examples, from which
        no variance can be told.

    Raises:
        ValueError: If the leaves are not float arrays of one number of examples.

    Example:
        >>> print(gsnr(jnp.array([[1.0, 1.0, 2.0, 0.0], [3.0, -1.0, 2.0, 0.0]])))  # 2^2 / 1
        [ 4.  0. inf nan]
    """
    dtype = _checked("gsnr", grads)

    def of_leaf(leaf: Array) -> Array:
        scaled, _ = _scaled(leaf, 0)
        if len(leaf) < 2:
            return jnp.full(leaf.shape[1:], jnp.nan, dtype)
        mean = jnp.mean(scaled, axis=0)
        variance = jnp.mean((scaled - mean[None]) ** 2, axis=0)
        equal = jnp.all(leaf == leaf[:1], axis=0)  # of these the mean is rounded, the noise is not
        return mean**2 / jnp.where(equal, 0.0, variance)

    return jax.tree.map(lambda leaf: of_leaf(jnp.asarray(leaf).astype(dtype)), grads)


def mean_gsnr(grads: Params) -> Float[Array, ""]:
    """Return the plain average of :func:`gsnr` over all parameters that have a gradient.

    The average that Liu et al. (2020) follow during training. Parameters whose gradient is zero
    on every example (dead units, constant pixels) have no ratio and are left out. One parameter
    without noise makes it infinite, where tools that add an epsilon show 1 / epsilon.

    Args:
        grads: Per-example gradients, array [example, param] or pytree of arrays [example, ...].

    Returns:
        Scalar in [0, inf], NaN if all gradients are zero or there are fewer than two examples.

    Raises:
        ValueError: If the leaves are not float arrays of one number of examples.

    Example:
        >>> print(mean_gsnr(jnp.array([[1.0, 1.0, 0.0], [3.0, -1.0, 0.0]])))  # (4 + 0) / 2
        2.0
    """
    grads = _matrix("mean_gsnr", grads)
    has_gradient = jnp.any(grads != 0, axis=0)  # also true for NaN
    ratios = jnp.where(has_gradient, gsnr(grads), 0.0)
    return jnp.sum(ratios) / jnp.count_nonzero(has_gradient).astype(ratios.dtype)


def gradient_density(vector: Params) -> Float[Array, ""]:
    r"""Return (sum_i |v_i|)^2 / (d sum_i v_i^2), the density of one vector of d entries.

    phi(v) = ||v||_1^2 / (d ||v||_2^2) of Bernstein et al. (2018): 1 if all magnitudes are equal,
    1/d if one entry is nonzero, 2/pi for many independent Gaussian entries. Their theory lets sign
    descent match gradient descent where the gradient is dense, in comparison with its noise and
    with the curvature.

    Args:
        vector: One gradient (or noise, or update), an array or a pytree whose leaves together are
            the vector. Unlike elsewhere in this module no axis is one of examples.

    Returns:
        Scalar in [1/d, 1], NaN if all entries are zero.

    Raises:
        ValueError: If the leaves are not float arrays.

    Example:
        >>> print(gradient_density({"kernel": jnp.array([[3.0], [-1.0]]), "bias": jnp.zeros(2)}))
        0.4
    """
    grads = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], vector)
    scaled, _ = _scaled(_matrix("gradient_density", grads), None)
    magnitudes = jnp.abs(scaled)
    density = jnp.sum(magnitudes) ** 2 / (float(scaled.size) * jnp.sum(magnitudes**2))
    return jnp.minimum(density, 1.0)  # the inequality of Cauchy and Schwarz, against rounding


def _checked(name: str, grads: Params) -> jnp.dtype:
    """Raise unless the leaves are float arrays of as many examples; return the result's dtype."""
    odd = [leaf for leaf in jax.tree.leaves(grads) if not hasattr(leaf, "dtype")]
    if odd and not all(isinstance(leaf, float) for leaf in odd):
        raise ValueError(f"{name}: expected float arrays, got a {type(odd[0]).__name__}.")
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(grads)]
    shapes = [leaf.shape for leaf in leaves]
    if not leaves or () in shapes or len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            f"{name}: expected an array [example, param] or a pytree of arrays [example, ...] with "
            f"one number of examples, got shapes {shapes}; jax.vmap(jax.grad(...), in_axes=(None, "
            "0, 0)) returns gradients of this form."
        )
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise ValueError(
            f"{name}: expected float arrays, got {[str(leaf.dtype) for leaf in leaves]}; leave out "
            "what is not trained."
        )
    return jnp.dtype("float64" if any(leaf.dtype == "float64" for leaf in leaves) else "float32")


def _matrix(name: str, grads: Params) -> Float[Array, "example param"]:
    """Return all gradients as rows of one matrix of the result's dtype."""
    dtype = _checked(name, grads)
    leaves = [jnp.asarray(leaf).astype(dtype) for leaf in jax.tree.leaves(grads)]
    return jnp.concatenate([x.reshape(x.shape[0], math.prod(x.shape[1:])) for x in leaves], axis=1)


def _scaled(x: Array, axis: int | None) -> tuple[Array, Array]:
    """Return x divided by its largest magnitude along ``axis``, or as it is where that is zero."""
    scale = jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0.0)
    return x / jnp.where(scale == 0, 1.0, scale), scale


def _gram(x: Float[Array, "example param"]) -> Float[Array, "example example"]:
    return jnp.matmul(x, x.T, precision="highest")


def _square(name: str, gram: Array) -> Float[Array, "example example"]:
    """Return ``gram`` in the result's dtype, or raise unless it is square."""
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(
            f"{name}: expected a Gram matrix [example, example], got {gram.shape=}; pass "
            "gradients @ gradients.T, or the gradients to the function without _from_gram."
        )
    return gram.astype("float64" if gram.dtype == "float64" else "float32")


def _total_and_energy(grads: Float[Array, "example param"]) -> tuple[Array, Array]:
    """Return |sum_n g_n|^2 and sum_n |g_n|^2, up to one common factor."""
    scaled, _ = _scaled(grads, None)
    energy = jnp.sum(scaled**2)
    return _at_most(jnp.sum(jnp.sum(scaled, axis=0) ** 2), energy, len(grads)), energy


def _total_and_energy_of_gram(name: str, gram: Array) -> tuple[Array, Array]:
    """Return sum(G) and trace(G), up to one common factor."""
    scaled, _ = _scaled(_square(name, gram), None)
    energy = jnp.trace(scaled)
    return _at_most(jnp.maximum(jnp.sum(scaled), 0.0), energy, len(gram)), energy


def _at_most(total: Array, energy: Array, num_examples: int) -> Array:
    """Return ``total`` within |sum g|^2 <= N sum|g|^2 (Cauchy and Schwarz), against rounding."""
    return jnp.minimum(total, float(num_examples) * energy)


def _confusion(gram: Float[Array, "example example"]) -> Float[Array, ""]:
    """Return max(0, -least entry off the diagonal), NaN if there is no such entry."""
    if len(gram) < 2:
        return jnp.full((), jnp.nan, gram.dtype)
    lowest = jnp.min(jnp.where(jnp.eye(len(gram), dtype=bool), jnp.inf, gram))
    return jnp.where(lowest >= 0, 0.0, -lowest)  # NaN is not >= 0, and stays NaN


def _mean_of_pairs(
    values: Float[Array, "example example"], included: Bool[Array, " example"]
) -> Float[Array, ""]:
    """Return the mean of the entries off the diagonal whose two examples are both included."""
    pairs = included[:, None] & included[None, :] & ~jnp.eye(len(values), dtype=bool)
    count = jnp.count_nonzero(pairs).astype(values.dtype)
    return jnp.sum(jnp.where(pairs, values, 0.0)) / count  # 0/0, that is NaN, without pairs
