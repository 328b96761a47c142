r"""Mean-field theory of the Fisher at initialization, for any activation, by quadrature.

A wide random network is described by two numbers a layer: the second moment of a unit, and its
overlap between two examples, which is the squared mean of a unit over examples. The overlap is
what makes the largest eigenvalue of the Fisher grow with the width. Public in
:mod:`signdyn.analysis.theory`. May import JAX, NumPy and signdyn.activations.

The predictions are numbers about a configuration: they are computed in NumPy's float64, whatever
``jax_enable_x64`` says, and are constants inside a ``jit``.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signdyn.activations import Activation, ElementwiseFn, get_activation

_Values = Float[np.ndarray, "..."]
_Moments = tuple[float, float]

# The standard normal has 2e-23 of its mass beyond 10.
_CUTOFF = 10
_POINTS, _LENGTHS = np.polynomial.legendre.leggauss(20)
_MAX_EVALUATIONS = 2**21  # at once: 16 MiB an array
_BLOCK = 2**16


class MeanFieldLayers(NamedTuple):
    """Second moments and overlaps, index l - 1 for the weights of layer l = 1, ..., L.

    Attributes:
        input_second_moments: E[h_i^2] of the activations h that the layer's weights read.
        input_overlaps: E[h_i h'_i] of the same unit on two different examples. Over many examples
            it is the square of the unit's mean, averaged over units.
        second_moments: E[u_i^2] of the layer's pre-activations u; last, the outputs'.
        overlaps: E[u_i u'_i] between two examples.
        delta_second_moments: |delta|^2, the sum over the layer's units of the squared derivative
            of one output with respect to u.
        delta_overlaps: delta . delta' between two examples.
    """

    input_second_moments: Float[np.ndarray, " layer"]
    input_overlaps: Float[np.ndarray, " layer"]
    second_moments: Float[np.ndarray, " layer"]
    overlaps: Float[np.ndarray, " layer"]
    delta_second_moments: Float[np.ndarray, " layer"]
    delta_overlaps: Float[np.ndarray, " layer"]


class FisherStatistics(NamedTuple):
    """Moments of the Fisher's P eigenvalues.

    Attributes:
        mean: Their mean, trace / P.
        second_moment: The mean of their squares.
        lambda_max: The largest.
    """

    mean: float
    second_moment: float
    lambda_max: float


class MeanFieldFisher(NamedTuple):
    """Predicted eigenvalue statistics of a random network's Fisher.

    Attributes:
        kappa1: Leading coefficient of an example's tangent kernel with itself.
        kappa2: The same between two examples; 0 means that lambda_max does not grow with width.
        mean: m, the mean of the P eigenvalues, trace / P.
        second_moment: s, the mean of their squares.
        lambda_max: The largest eigenvalue.
        leading_order: The three statistics to leading order in the width, as in the paper.
    """

    kappa1: float
    kappa2: float
    mean: float
    second_moment: float
    lambda_max: float
    leading_order: FisherStatistics


def mean_field_fisher(
    activation: str | ElementwiseFn | Activation,
    widths: Sequence[int],
    num_samples: int,
    sigma_w2: float,
    sigma_b2: float,
    *,
    input_second_moment: float = 1.0,
    input_overlap: float = 0.0,
    centered: bool = False,
) -> MeanFieldFisher:
    r"""Return mean, mean square and maximum of the Fisher's eigenvalues at random weights.

    The network is u^l = W^l h^{l-1} + b^l, h^l = phi(u^l), with outputs u^L, weights of variance
    sigma_w2 / fan_in, biases of variance sigma_b2, all of them parameters. Its Fisher under
    :func:`signdyn.likelihoods.gaussian` is F = (1/T) sum_t J_t^T J_t over T examples, and the
    kernel J_s J_t^T is about K1 for s = t and K2 for s != t, for each of the C outputs alone:

        K1 = sum_l (M_{l-1} q_{l-1} + 1) d_l ,    K2 = sum_l (M_{l-1} q*_{l-1} + 1) d*_l

    with second moments q, d and overlaps q*, d* of activations and deltas, see
    :func:`mean_field_layers`. With P parameters, exactly counted, the finite-size forms are

        mean = C K1 / P ,    second_moment = C ((T-1)/T K2^2 + K1^2 / T) / P ,
        lambda_max = (T-1)/T K2 + K1 / T .

    ``leading_order`` leaves out the biases' 1 and the output weights among P, which is the form of
    Karakida, Akaho & Amari (2019, "Universal statistics of Fisher information"); kappa1 and kappa2
    are its coefficients. With M the mean width of the hidden layers,

        kappa1 = M sum_l M_{l-1} q_{l-1} d_l / sum_{l<L} M_l M_{l-1} ,    kappa2 with q* d* .

    lambda_max is the Rayleigh quotient of the direction that moves one output on all examples
    alike. It is the top eigenvalue while K2 dominates K1 / T, that is while kappa2 > 0 and the net
    is wide. Otherwise it is only a lower bound, which measured values exceed by two times and
    more, and all that is safe to conclude from kappa2 = 0 is that lambda_max does not grow with
    the width at constant M / T. The rest is good to order 1 / sqrt(M) for one network, and to order
    1 / M on average over networks; ``second_moment`` comes out too small by order
    1 / (M kappa2^2), for it leaves out that K2 varies from pair to pair.

    Args:
        activation: Name, elementwise function or activation, see :mod:`signdyn.activations`.
        widths: (M_0, ..., M_{L-1}, C): inputs, one or more hidden layers, outputs.
        num_samples: T, the number of examples in F.
        sigma_w2: Variance of the weights times fan_in.
        sigma_b2: Variance of the biases.
        input_second_moment: |x|^2 / M_0, averaged over examples; 1 for standard normal inputs.
        input_overlap: x . x' / M_0, averaged over pairs of different examples; 0 for independent
            inputs of zero mean. Over many examples it is |E x|^2 / M_0.
        centered: Whether the hidden activations are centered, see :func:`mean_field_layers`.

    Returns:
        The statistics as floats, in units of output^2 / parameter^2 (gaussian variance 1), mean
        over the T examples, sum over the C outputs.

    Raises:
        ValueError: If there is no hidden layer, a width or number is not positive, or the overlap
            exceeds the second moment.

    Example:
        >>> from signdyn.activations import get_activation
        >>> linear = mean_field_fisher("identity", (10, 10, 1), 10, 1.0, 0.0)
        >>> print(f"{linear.mean:.6f}")  # K1 = 2 (10 + 1) over P = 10 * 11 + 11 parameters
        0.181818
        >>> print(f"{linear.lambda_max:.6f}")  # K2 = 2, of the biases: 9/10 * 2 + 22/10
        4.000000
    """
    _check_network(widths, num_samples)
    layers = mean_field_layers(
        activation,
        len(widths) - 1,
        sigma_w2,
        sigma_b2,
        input_second_moment=input_second_moment,
        input_overlap=input_overlap,
        centered=centered,
    )
    fan_ins, units = np.array(widths[:-1], float), np.array(widths[1:], float)
    same = layers.input_second_moments * layers.delta_second_moments
    different = layers.input_overlaps * layers.delta_overlaps
    weights = float(fan_ins @ same), float(fan_ins @ different)
    biases = float(layers.delta_second_moments.sum()), float(layers.delta_overlaps.sum())
    kernel = weights[0] + biases[0], weights[1] + biases[1]
    hidden_weights = float(fan_ins[:-1] @ units[:-1])
    num_params = float((fan_ins + 1) @ units)
    per_width = float(units[:-1].mean()) / hidden_weights
    finite = _statistics(kernel, widths[-1], num_samples, num_params)
    return MeanFieldFisher(
        kappa1=per_width * weights[0],
        kappa2=per_width * weights[1],
        mean=finite.mean,
        second_moment=finite.second_moment,
        lambda_max=finite.lambda_max,
        leading_order=_statistics(weights, widths[-1], num_samples, hidden_weights),
    )


def mean_field_layers(
    activation: str | ElementwiseFn | Activation,
    depth: int,
    sigma_w2: float,
    sigma_b2: float,
    *,
    input_second_moment: float = 1.0,
    input_overlap: float = 0.0,
    centered: bool = False,
) -> MeanFieldLayers:
    r"""Return second moments and overlaps of activations and deltas in a wide random network.

    Forward, from q_0 and q*_0 of the inputs, with (u, u') jointly Gaussian,

        E[u^2] = sigma_w2 q_{l-1} + sigma_b2 ,    E[u u'] = sigma_w2 q*_{l-1} + sigma_b2 ,
        q_l = E[phi(u)^2] ,    q*_l = E[phi(u) phi(u')] ;

    backward, from d_L = d*_L = 1,

        d_l = sigma_w2 d_{l+1} E[phi'(u)^2] ,    d*_l = sigma_w2 d*_{l+1} E[phi'(u) phi'(u')]

    (Poole et al., 2016; Schoenholz et al., 2017). Biases alone make two examples overlap: with
    sigma_b2 > 0 even an odd activation has units whose mean over examples is not 0.

    ``centered`` subtracts from every hidden unit its mean over many examples, and adds what that
    takes away to the next bias, so that the network stays the same function. Pre-activations and
    deltas are then untouched. A unit's mean over examples has the second moment q*, so that what
    the weights read keeps q - q* of its second moment, and no overlap. The inputs are left as they
    are: center them by ``input_overlap``.

    Args:
        activation: Name, elementwise function or activation, see :mod:`signdyn.activations`.
        depth: L, the number of layers of weights, outputs included.
        sigma_w2: Variance of the weights times fan_in.
        sigma_b2: Variance of the biases.
        input_second_moment: |x|^2 / M_0, averaged over examples.
        input_overlap: x . x' / M_0, averaged over pairs of different examples.
        centered: Whether the hidden activations are centered per unit over examples.

    Returns:
        Arrays [L] in float64. The expectations are exact to about 1e-10 for pre-activations of
        second moment up to 100 and functions smooth between their kinks.

    Raises:
        ValueError: If depth is below 1, a variance is negative or the overlap exceeds the second
            moment.

    Example:
        >>> layers = mean_field_layers("relu", 2, 2.0, 0.0)
        >>> print(layers.input_second_moments)  # E[relu(u)^2] is half of E[u^2] = 2
        [1. 1.]
        >>> print(layers.input_overlaps * np.pi)  # E[relu(u)]^2 = 2 / (2 pi)
        [0. 1.]
        >>> print(layers.delta_overlaps)  # 2 P(u > 0) P(u' > 0)
        [0.5 1. ]
    """
    _check_moments(depth, sigma_w2, sigma_b2, input_second_moment, input_overlap)
    phi = get_activation(activation)
    inputs, preactivations = [(input_second_moment, input_overlap)], []
    factors = []  # on the deltas, from the layer above
    for layer in range(1, depth + 1):
        moment, overlap = (float(sigma_w2 * q + sigma_b2) for q in inputs[-1])
        preactivations.append((moment, overlap))
        if layer < depth:
            alone = gaussian_pair_moments(phi, moment, moment)
            pair = gaussian_pair_moments(phi, moment, overlap)
            inputs.append((alone[0], pair[0]))
            factors.append((sigma_w2 * alone[1], sigma_w2 * pair[1]))
    deltas = [(1.0, 1.0)]
    for factor in reversed(factors):
        deltas.insert(0, (deltas[0][0] * factor[0], deltas[0][1] * factor[1]))
    seen = np.array(inputs)
    if centered:
        seen[1:] = np.stack([seen[1:, 0] - seen[1:, 1], np.zeros(depth - 1)], axis=1)
    return MeanFieldLayers(*seen.T, *np.array(preactivations).T, *np.array(deltas).T)


def gaussian_pair_moments(activation: Activation, moment: float, overlap: float) -> _Moments:
    r"""Return E[phi(u) phi(u')] and E[phi'(u) phi'(u')], E[u^2] = E[u'^2] = moment, E[u u'] given.

    With u = a z + b x and u' = +-a z + b x' for independent standard normals and a^2 = |overlap|,
    b^2 = moment - |overlap|, the pair is independent given z, so that two integrals over one
    variable do:

        E[phi(u) phi(u')] = E_z[g(z) g(+-z)] ,    g(z) = E_x[phi(a z + b x)] .

    Both are Gauss-Legendre sums on panels that end at the kinks. As the overlap nears the moment
    g turns within b / a of a kink; panels of that width are added there.

    Args:
        activation: The function, its derivative and its kinks.
        moment: Second moment of both arguments, 0 or more.
        overlap: Their covariance, at most ``moment`` in size but for rounding.

    Returns:
        The two expectations.
    """
    shared = math.sqrt(min(abs(overlap), moment))
    own = math.sqrt(moment - min(abs(overlap), moment))
    z, weights = _panels(_outer_edges(activation.kinks, shared, own))
    weights = weights * _normal_density(z)
    values, slopes = _smoothed(activation, shared * z, own)
    if overlap >= 0:
        other_values, other_slopes = values, slopes
    else:
        other_values, other_slopes = _smoothed(activation, -shared * z, own)
    return float(weights @ (values * other_values)), float(weights @ (slopes * other_slopes))


def _outer_edges(kinks: tuple[float, ...], shared: float, own: float) -> _Values:
    edges = [_grid(shared)]
    if shared > 0:
        around = own / shared * np.arange(-_CUTOFF, _CUTOFF + 1)
        edges += [sign * kink / shared + around for kink in kinks for sign in (1, -1)]
    return np.unique(np.clip(np.concatenate(edges), -_CUTOFF, _CUTOFF))


def _grid(scale: float) -> _Values:
    """Return edges for an integrand phi(scale * x): panels at most 1 wide in x and in phi."""
    return np.linspace(-_CUTOFF, _CUTOFF, 2 * _CUTOFF * max(1, math.ceil(scale)) + 1)


def _panels(edges: _Values) -> tuple[_Values, _Values]:
    """Return the nodes between sorted edges [..., edge] and their weights, each [..., node]."""
    half = np.diff(edges)[..., None] / 2
    nodes = edges[..., :-1, None] + half * (1 + _POINTS)
    shape = (*edges.shape[:-1], -1)
    return nodes.reshape(shape), (half * _LENGTHS).reshape(shape)


def _normal_density(x: _Values) -> _Values:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _smoothed(activation: Activation, centers: _Values, sd: float) -> tuple[_Values, _Values]:
    """Return E[phi(c + sd x)] and E[phi'(c + sd x)], x ~ N(0, 1), for every center c."""
    if sd == 0:
        return _evaluate(activation, centers)
    grid = _grid(sd)
    evaluations = centers.size * _POINTS.size * (grid.size - 1 + len(activation.kinks))
    chunks = np.array_split(centers, math.ceil(evaluations / _MAX_EVALUATIONS))
    values, slopes = zip(*(_smoothed_chunk(activation, c, sd, grid) for c in chunks), strict=True)
    return np.concatenate(values), np.concatenate(slopes)


def _smoothed_chunk(
    activation: Activation, centers: _Values, sd: float, grid: _Values
) -> tuple[_Values, _Values]:
    kinks = (np.array(activation.kinks, float) - centers[:, None]) / sd
    edges = np.concatenate(
        [np.broadcast_to(grid, (centers.size, grid.size)), np.clip(kinks, -_CUTOFF, _CUTOFF)],
        axis=1,
    )
    x, weights = _panels(np.sort(edges, axis=1))
    weights = weights * _normal_density(x)
    values, slopes = _evaluate(activation, centers[:, None] + sd * x)
    # An empty panel has its nodes on the kink, where the slope may be infinite.
    values, slopes = (np.where(weights > 0, f, 0.0) for f in (values, slopes))
    return (weights * values).sum(axis=1), (weights * slopes).sum(axis=1)


def _evaluate(activation: Activation, u: _Values) -> tuple[_Values, _Values]:
    """Return phi(u) and phi'(u) in float64, also while JAX is tracing."""
    # In blocks of one size, so that XLA compiles an activation once.
    blocks = np.resize(u, (math.ceil(u.size / _BLOCK), _BLOCK))
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        pairs = [_value_and_slope(activation.fn, jnp.asarray(block)) for block in blocks]
    values, slopes = (np.concatenate(f)[: u.size] for f in zip(*pairs, strict=True))
    return values.reshape(u.shape), slopes.reshape(u.shape)


def _value_and_slope(fn: ElementwiseFn, u: Array) -> tuple[_Values, _Values]:
    values, pull = jax.vjp(fn, u)
    (slopes,) = pull(jnp.ones_like(values))
    return np.asarray(values, np.float64), np.asarray(slopes, np.float64)


def _statistics(
    kernel: _Moments, num_outputs: int, num_samples: int, num_params: float
) -> FisherStatistics:
    """Return the statistics of the kernel with these two values on and off its diagonal."""
    same, different = kernel
    pairs = (num_samples - 1) / num_samples
    square = pairs * different**2 + same**2 / num_samples
    return FisherStatistics(
        mean=float(num_outputs * same / num_params),
        second_moment=float(num_outputs * square / num_params),
        lambda_max=float(pairs * different + same / num_samples),
    )


def _check_network(widths: Sequence[int], num_samples: int) -> None:
    if len(widths) < 3 or min(widths) < 1:
        raise ValueError(
            "mean_field_fisher: expected widths (inputs, hidden, ..., outputs), all positive, got "
            f"{tuple(widths)}; for a linear model use spiked_covariance or bias_conditioning."
        )
    if num_samples < 1:
        raise ValueError(
            f"mean_field_fisher: expected num_samples >= 1, got {num_samples}; the Fisher is a "
            "mean over examples."
        )


def _check_moments(
    depth: int, sigma_w2: float, sigma_b2: float, moment: float, overlap: float
) -> None:
    if depth < 1:
        raise ValueError(
            f"mean_field_layers: expected depth >= 1, got {depth}; it counts layers of weights."
        )
    if min(sigma_w2, sigma_b2) < 0:
        raise ValueError(
            "mean_field_layers: expected variances of 0 or more, got "
            f"{sigma_w2=} and {sigma_b2=}; pass squares of the standard deviations."
        )
    if not abs(overlap) <= moment:
        raise ValueError(
            "mean_field_layers: expected |input_overlap| <= input_second_moment, got "
            f"{overlap} and {moment}; pass x . x' / M_0 and |x|^2 / M_0, both averaged."
        )
