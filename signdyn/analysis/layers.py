r"""What every layer of any model reads and receives: inputs and deltas, example by example.

The score of a layer's weights is an outer product, delta (x) (a, 1), so two small arrays hold what
a [batch, fan_in, units] array of per-example gradients would: the Fisher's blocks, its units' own
blocks, its Gram matrix and the K-FAC approximation all follow from them. A model shows its layers
by calling ``z = tap(name, h, h @ W + b)`` in each, see :data:`signdyn.types.TappedFn`;
`signdyn.models.taps` does it for Flax modules. Knows no framework. May import JAX, signdyn.types
and signdyn.likelihoods.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from signdyn.analysis._independence import check_independent
from signdyn.analysis._labels import check_labels, draw_labels, label_factor, sampler_of
from signdyn.analysis._params import check_outputs
from signdyn.analysis._units import layer_arrays
from signdyn.likelihoods import Likelihood
from signdyn.types import Params, TappedFn


class Layer(NamedTuple):
    """Inputs and deltas of one layer on N examples.

    Attributes:
        inputs: [N, T, fan_in]; T positions share the weights, T = 1 in a dense layer. For a
            convolution a row is a patch, flattened as the kernel is.
        deltas: [N, R, T, units], derivatives with respect to the pre-activations, one for each of
            the R columns of the output factor; not divided by N. Their sum of outer products over
            R is E over labels, so R is summed, and only examples are averaged.
    """

    inputs: Float[Array, "batch position fan_in"]
    deltas: Float[Array, "batch rank position unit"]


class Coverage(NamedTuple):
    """Which parameters the layers hold; ``str()`` of it is a report.

    Attributes:
        covered: Paths of the leaves that belong to a layer, "path/to/leaf".
        missing: Paths of those that do not, a batch norm's scale say.
        num_covered: Number of parameters in ``covered``.
        num_params: Number of all parameters.
    """

    covered: tuple[str, ...]
    missing: tuple[str, ...]
    num_covered: int
    num_params: int

    def __str__(self) -> str:
        """Return the report, one line for what is in and one for what is not."""
        lines = [f"{self.num_covered} of {self.num_params} parameters are in the layers"]
        lines.append(f"  in:      {', '.join(self.covered) or 'none'}")
        lines.append(f"  missing: {', '.join(self.missing) or 'none'}")
        return "\n".join(lines)


def fisher_layers(
    tapped_fn: TappedFn, likelihood: Likelihood, params: Params, x: Shaped[Array, "batch ..."]
) -> dict[str, Layer]:
    r"""Return every tapped layer's inputs and the deltas of the Fisher, labels the model's own.

    With B_n [K, R] the factor of example n's output Fisher, delta_nr = (d outputs_n / d z_n)^T B_nr
    for the pre-activations z: the exact expectation over labels, in R backward passes through the
    whole batch.

    Args:
        tapped_fn: Pure ``(params, x, tap) -> outputs`` that calls ``z = tap(name, inputs, z)`` once
            in every layer that is to be seen, and goes on with what it gets back; outside of
            ``jit``, ``scan`` and ``remat`` of its own. Must treat examples independently.
        likelihood: Observation model, see :mod:`signdyn.likelihoods`.
        params: Point at which to evaluate; any pytree of float arrays.
        x: The N inputs over which the Fisher's expectation is taken.

    Returns:
        A `Layer` for every name, in the order of the calls, R the rank of the output factor.
        Positions, that is all axes between the first and the last, are flattened to one.

    Raises:
        ValueError: If no tap is called, a name is used twice, a tap's arrays do not fit each
            other, ``x`` holds no examples, examples are mixed, or outputs are not floats [N, K].

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x, w = jnp.array([[1.0, 2.0]]), jnp.ones((2, 1))
        >>> model = lambda w, x, tap: 3.0 * tap("dense", x, x @ w)
        >>> layer = fisher_layers(model, gaussian(), w, x)["dense"]
        >>> print(layer.inputs[0], layer.deltas[0, 0])  # d output / d z = 3, and B = 1
        [[1. 2.]] [[3.]]
    """
    return _pull_back("fisher_layers", tapped_fn, params, x, likelihood.fisher_factor)


def empirical_fisher_layers(
    tapped_fn: TappedFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    y: Shaped[Array, "batch ..."],
) -> dict[str, Layer]:
    r"""Return every tapped layer's inputs and the deltas of the data's nll, R = 1.

    The mean over examples of delta (x) (a, 1) is the gradient of the mean nll; its second moment
    is the empirical Fisher, which is not the Fisher (Kunstner et al., 2019).

    Args:
        tapped_fn: As in :func:`fisher_layers`.
        likelihood: Gives the nll.
        params: Point at which to evaluate; any pytree of float arrays.
        x: The N inputs.
        y: The N labels, as the likelihood wants them.

    Returns:
        A `Layer` for every name, with R = 1; delta = d nll_n / d z_n in nats, NaN for an example
        whose nll is.

    Raises:
        ValueError: As :func:`fisher_layers`; or if there are not N labels.

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x, y, w = jnp.array([[1.0, 2.0]]), jnp.array([[1.0]]), jnp.ones((2, 1))
        >>> model = lambda w, x, tap: tap("dense", x, x @ w)
        >>> layer = empirical_fisher_layers(model, gaussian(), w, x, y)["dense"]
        >>> print(layer.deltas[0, 0])  # residual 3 - 1
        [[2.]]
    """
    name = "empirical_fisher_layers"
    check_labels(name, x, y)

    def score(outputs: Array) -> Array:
        return label_factor(likelihood, outputs, y[:, None])

    return _pull_back(name, tapped_fn, params, x, score)


def monte_carlo_fisher_layers(
    tapped_fn: TappedFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    key: PRNGKeyArray,
    num_samples: int,
) -> dict[str, Layer]:
    r"""Return every tapped layer's inputs and the deltas of labels drawn from the model.

    Column r is the score of the r-th label an example, divided by sqrt(num_samples): an unbiased
    estimate of what :func:`fisher_layers` computes, with an error of order 1 / sqrt(N num_samples).

    Args:
        tapped_fn: As in :func:`fisher_layers`.
        likelihood: Observation model; its ``sample`` draws the labels.
        params: Point at which to evaluate; any pytree of float arrays.
        x: The N inputs.
        key: Decides the labels; the same key gives
            :func:`signdyn.analysis.fisher.monte_carlo_fisher_factor` the same labels.
        num_samples: Labels an example, at least 1; static.

    Returns:
        A `Layer` for every name, with R = num_samples.

    Raises:
        ValueError: As :func:`fisher_layers`; or if the likelihood cannot sample, or
            ``num_samples`` is below 1.

    Example:
        >>> from signdyn.likelihoods import bernoulli
        >>> x, w = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> model = lambda w, x, tap: tap("dense", x, x @ w)
        >>> key = jax.random.key(0)
        >>> layer = monte_carlo_fisher_layers(model, bernoulli(), w, x, key, 4)["dense"]
        >>> print(jnp.abs(layer.deltas[0, :, 0, 0]))  # |p - y| = 1/2 for both labels; / sqrt 4
        [0.25 0.25 0.25 0.25]
    """
    name = "monte_carlo_fisher_layers"
    sample = sampler_of(name, likelihood, num_samples)

    def scores(outputs: Array) -> Array:
        labels = draw_labels(sample, outputs, key, num_samples)
        return label_factor(likelihood, outputs, labels)

    return _pull_back(name, tapped_fn, params, x, scores)


def layer_factor(layer: Layer, *, bias: bool = True) -> Float[Array, "rows param"]:
    r"""Return A with A^T A = the layer's block of the Fisher, mean over examples.

    Exact also where positions share weights: row (n, r) is the ravel of
    N^{-1/2} sum_t (a_nt, 1) (x) delta_nrt.

    Args:
        layer: Of :func:`fisher_layers` or one of its siblings, which decide whose block it is.
        bias: Whether the layer has one.

    Returns:
        Array [N * R, (fan_in + bias) * units], rows example-major, columns the ravel of a matrix
        [fan_in + bias, units] whose last row is the bias, see :func:`layer_matrix`.

    Raises:
        ValueError: If the layer's shapes disagree.

    Example:
        >>> layer = Layer(jnp.array([[[1.0, 2.0]]]), jnp.array([[[[3.0]]]]))
        >>> print(layer_factor(layer))  # delta (a, 1)
        [[3. 6. 3.]]
    """
    inputs, deltas = layer_arrays("layer_factor", *layer)
    inputs = _with_ones(inputs) if bias else inputs
    with jax.default_matmul_precision("highest"):
        scores = jnp.einsum("ntf,nrtu->nrfu", inputs, deltas)
    num_examples, rank = deltas.shape[:2]
    return scores.reshape(num_examples * rank, -1) / math.sqrt(num_examples)


def gram_of_layers(layers: Mapping[str, Layer], *, bias: bool = True) -> Float[Array, "rows rows"]:
    r"""Return A A^T, for A the factor of all layers' parameters together, without forming A.

    The nonzero eigenvalues of F = A^T A from a matrix of the size of the data. With one position,

        (A A^T)_{(n,r),(m,s)} = (1/N) sum_layers (a_n . a_m + 1) (delta_nr . delta_ms) ,

    and with weights shared over positions both products stand under sum_{t,t'}; each layer takes
    the cheaper of that sum and of its per-example matrices.

    Args:
        layers: Of :func:`fisher_layers` or a sibling; equal N and R.
        bias: Whether the layers have one. A network with both kinds is the sum of two calls.

    Returns:
        Array [N * R, N * R], rows example-major, symmetric and positive semidefinite up to
        rounding. Its eigenvalues lose half the digits of a factor's squared singular values.

    Raises:
        ValueError: If there is no layer, or shapes disagree.

    Example:
        >>> layer = Layer(jnp.array([[[2.0]], [[0.0]]]), jnp.array([[[[1.0]]], [[[3.0]]]]))
        >>> print(gram_of_layers({"dense": layer}))  # (a_n a_m + 1) delta_n delta_m / 2
        [[2.5 1.5]
         [1.5 4.5]]
    """
    arrays = [layer_arrays("gram_of_layers", *layer) for layer in layers.values()]
    if len({deltas.shape[:2] for _, deltas in arrays}) != 1:
        shapes = {name: layer.deltas.shape for name, layer in layers.items()}
        raise ValueError(
            f"gram_of_layers: expected at least one layer, all of equal N and R, got deltas of "
            f"shapes {shapes}; pass the layers of one model on one batch."
        )
    with jax.default_matmul_precision("highest"):
        grams = [_gram(_with_ones(a) if bias else a, d) for a, d in arrays]
    return sum(grams[1:], start=grams[0])


def layer_matrix(layer_params: Mapping[str, Array]) -> Float[Array, "parameter unit"]:
    r"""Return a layer's parameters, or their gradient, as one matrix with the bias last.

    Args:
        layer_params: {"kernel": [..., units], "bias": [units]}; the bias may be missing. A
            convolution's kernel is [*window, channels, units].

    Returns:
        Array [fan_in + 1, units], or [fan_in, units] without bias; its ravel has the order of the
        columns of :func:`layer_factor`.

    Raises:
        ValueError: If there is no kernel, or anything beside kernel and bias.

    Example:
        >>> print(layer_matrix({"kernel": jnp.eye(2), "bias": jnp.array([3.0, 4.0])}))
        [[1. 0.]
         [0. 1.]
         [3. 4.]]
    """
    kernel, bias = _kernel_and_bias("layer_matrix", layer_params)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return matrix if bias is None else jnp.concatenate([matrix, bias[None]])


def layer_params(
    matrix: Float[Array, "parameter unit"], like: Mapping[str, Array]
) -> dict[str, Array]:
    r"""Return the parameters that :func:`layer_matrix` makes ``matrix`` of.

    Args:
        matrix: [fan_in + 1, units], or [fan_in, units] where ``like`` has no bias.
        like: The layer's parameters, for their names, shapes and order.

    Returns:
        A dict like ``like``.

    Raises:
        ValueError: If the matrix does not fit ``like``.

    Example:
        >>> like = {"kernel": jnp.zeros((1, 2, 1)), "bias": jnp.zeros(1)}
        >>> print(layer_params(jnp.array([[1.0], [2.0], [3.0]]), like)["bias"])
        [3.]
    """
    kernel, bias = _kernel_and_bias("layer_params", like)
    fan_in, units = kernel.size // kernel.shape[-1], kernel.shape[-1]
    if matrix.shape != (fan_in + (bias is not None), units):
        raise ValueError(
            f"layer_params: expected a matrix {(fan_in + (bias is not None), units)} for "
            f"{kernel.shape=} {'without' if bias is None else 'with'} bias, got {matrix.shape=}."
        )
    parts = {"kernel": matrix[:fan_in].reshape(kernel.shape), "bias": matrix[-1]}
    return {key: parts[key] for key in like}


def coverage(params: Params, names: Iterable[str]) -> Coverage:
    """Return which of a model's parameters belong to the layers called ``names``.

    Args:
        params: Any pytree of arrays, or of their shapes.
        names: Paths of the layers' sub-trees, such as the keys of :func:`fisher_layers`, parts
            joined by "/"; all leaves under them are covered. "" is the root.

    Returns:
        The report, leaves in the order of ``ravel_pytree``.

    Raises:
        ValueError: If there are no parameters of some name.

    Example:
        >>> params = {"dense": {"kernel": jnp.zeros((2, 3))}, "norm": {"scale": jnp.zeros(3)}}
        >>> print(coverage(params, ["dense"]))
        6 of 9 parameters are in the layers
          in:      dense/kernel
          missing: norm/scale
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    sizes = {
        jax.tree_util.keystr(path, simple=True, separator="/"): math.prod(jnp.shape(leaf))
        for path, leaf in leaves
    }
    names = tuple(names)
    for name in names:
        if not any(_lies_under(path, name) for path in sizes):
            parents = [path.rpartition("/")[0] for path in sizes]
            near = difflib.get_close_matches(name, parents, n=1)
            raise ValueError(
                f"coverage: expected names of sub-trees of params, got {name!r}; "
                + (f"did you mean {near[0]!r}?" if near else f"leaves are {', '.join(sizes)}.")
            )
    covered = tuple(p for p in sizes if any(_lies_under(p, name) for name in names))
    missing = tuple(path for path in sizes if path not in covered)
    return Coverage(covered, missing, sum(sizes[p] for p in covered), sum(sizes.values()))


def _pull_back(
    name: str,
    tapped_fn: TappedFn,
    params: Params,
    x: Array,
    factor_of: Callable[[Array], Float[Array, "batch output rank"]],
) -> dict[str, Layer]:
    """Return each layer's inputs, and the columns of ``factor_of(outputs)`` pulled back to it."""

    def apply_fn(p: Params, x: Array) -> Array:
        return tapped_fn(p, x, lambda _name, _inputs, z: z)

    check_outputs(name, apply_fn, params, x)
    check_independent(name, apply_fn, params, x)
    shapes = _shapes(name, tapped_fn, params, x)

    def perturbed(perturbations: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        seen = {}

        def tap(layer: str, inputs: Array, z: Array) -> Array:
            seen[layer] = inputs
            return z + perturbations[layer]

        return tapped_fn(params, x, tap), seen

    with jax.default_matmul_precision("highest"):
        zeros = {layer: jnp.zeros(z.shape, z.dtype) for layer, (_, z) in shapes.items()}
        outputs, pull, seen = jax.vjp(perturbed, zeros, has_aux=True)
        # Examples are independent: one pass for the batch gives every example its own deltas.
        columns = jnp.moveaxis(factor_of(outputs).astype(outputs.dtype), -1, 0)
        (pulled,) = jax.vmap(pull, out_axes=1)(columns)
    return {
        layer: Layer(
            inputs=seen[layer].reshape(x.shape[0], -1, inputs.shape[-1]),
            deltas=pulled[layer].reshape(x.shape[0], columns.shape[0], -1, z.shape[-1]),
        )
        for layer, (inputs, z) in shapes.items()
    }


def _shapes(
    name: str, tapped_fn: TappedFn, params: Params, x: Array
) -> dict[str, tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]]:
    """Return the shapes of every layer's inputs and pre-activations, in the order of the calls."""
    shapes = {}

    def tap(layer: str, inputs: Array, z: Array) -> Array:
        if layer in shapes:
            raise ValueError(
                f"{name}: expected every tap to have a name of its own, got {layer!r} twice; "
                "a layer that is applied twice in one pass has no single input."
            )
        positions = math.prod(inputs.shape[1:-1])
        fits = min(inputs.ndim, z.ndim) >= 2 and inputs.shape[0] == z.shape[0] == x.shape[0]
        if not fits or positions != math.prod(z.shape[1:-1]):
            raise ValueError(
                f"{name}: expected tap({layer!r}, inputs, z) with inputs [N, ..., fan_in] and z "
                f"[N, ..., units] of equal positions, N={x.shape[0]}, got {inputs.shape=}, "
                f"{z.shape=}; for a convolution the inputs are its patches."
            )
        if not (jnp.issubdtype(z.dtype, jnp.floating) and inputs.dtype == z.dtype):
            raise ValueError(
                f"{name}: expected inputs and pre-activations of one float dtype at tap "
                f"{layer!r}, got {inputs.dtype=}, {z.dtype=}; cast the inputs."
            )
        shapes[layer] = (
            jax.ShapeDtypeStruct(inputs.shape, inputs.dtype),
            jax.ShapeDtypeStruct(z.shape, z.dtype),
        )
        return z

    jax.eval_shape(lambda p, x: tapped_fn(p, x, tap), params, x)
    if not shapes:
        raise ValueError(
            f"{name}: expected tapped_fn to call tap in at least one layer, got none; write "
            "z = tap('dense_0', h, h @ W + b), or use signdyn.models.taps for a Flax module."
        )
    return shapes


def _with_ones(inputs: Array) -> Array:
    return jnp.concatenate([inputs, jnp.ones_like(inputs[..., :1])], axis=-1)


def _gram(
    inputs: Float[Array, "batch position fan_in"], deltas: Float[Array, "batch rank position unit"]
) -> Float[Array, "rows rows"]:
    """Return one layer's part of A A^T, by the cheaper way of the two."""
    num_examples, rank, positions, units = deltas.shape
    fan_in = inputs.shape[2]
    if positions == 1:
        inputs, deltas = inputs[:, 0], deltas[:, :, 0].reshape(-1, units)
        moments = jnp.repeat(jnp.repeat(inputs @ inputs.T, rank, axis=0), rank, axis=1)
        return moments * (deltas @ deltas.T) / num_examples
    # Products a pair of examples: of their R matrices each, or of T x T positions.
    if rank**2 * fan_in * units <= positions**2 * (fan_in + rank**2 * (units + 1)):
        scores = jnp.einsum("ntf,nrtu->nrfu", inputs, deltas).reshape(num_examples * rank, -1)
        return scores @ scores.T / num_examples

    def rows_of(example: tuple[Array, Array]) -> Array:
        a, d = example
        return jnp.einsum(
            "mts,mrqts->rmq",
            jnp.einsum("tf,msf->mts", a, inputs),
            jnp.einsum("rtu,mqsu->mrqts", d, deltas),
        )

    # Example by example: all pairs at once would need N^2 R^2 T^2 numbers.
    rows = jax.lax.map(rows_of, (inputs, deltas))
    return rows.reshape(num_examples * rank, -1) / num_examples


def _lies_under(path: str, name: str) -> bool:
    return name == "" or path == name or path.startswith(name + "/")


def _kernel_and_bias(name: str, params: Mapping[str, Array]) -> tuple[Array, Array | None]:
    kernel, bias = params.get("kernel"), params.get("bias")
    if kernel is None or kernel.ndim < 2 or len(params) != 1 + (bias is not None):
        shapes = {key: jnp.shape(value) for key, value in params.items()}
        raise ValueError(
            f"{name}: expected a layer of a kernel [..., units] and at most a bias [units], got "
            f"{shapes}; a norm or an embedding is no such layer."
        )
    return kernel, bias
