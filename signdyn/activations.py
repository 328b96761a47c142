r"""Activations by name, and what each does to a standard normal pre-activation.

An :class:`Activation` is a hashable pair of a name and an elementwise function, so that it can
be a static argument of ``jax.jit``. Its Gaussian moments say how far from zero-centered it is:
``mean_over_sd`` is 0 for tanh, .68 for ReLU and 2.4 for the sigmoid.

A user adds an activation with one call of :func:`register_activation`, or hands any elementwise
callable to :func:`get_activation`. May import JAX, NumPy and nothing of signdyn above types.
"""

import dataclasses
import difflib
import functools
import types
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signdyn.checks import checked

ElementwiseFn = Callable[[Array], Array]
"""From an array to one of the same shape, entry by entry."""
_Nodes = Float[np.ndarray, " node"]
_Sample = tuple[_Nodes, _Nodes, _Nodes]

# The standard normal has 2e-33 of its mass beyond 12, so that even exp(z)^2 loses nothing there.
_CUTOFF = 12.0
_NODES_PER_PANEL = 40


@dataclasses.dataclass(frozen=True)
class Activation:
    r"""An elementwise function with its moments under z ~ N(0, 1).

    The moments are computed at first use, by Gauss-Legendre quadrature on panels of width at most
    one that end at every kink, in float64 whatever ``jax_enable_x64`` says. The error is below
    1e-10 for functions that are smooth between their kinks and do not oscillate faster than
    sin(50 z).

    Args:
        name: What figures, tables and command lines call it.
        fn: Elementwise, differentiable in reverse mode, and keeping the dtype of its argument.
        kinks: Points where ``fn`` or its derivative is not smooth. A missing one costs accuracy
            of the moments and nothing else.

    Example:
        >>> relu = get_activation("relu")
        >>> print(relu(jnp.array([-1.0, 2.0])))
        [0. 2.]
        >>> print(f"{relu.gaussian_mean:.6f}")  # 1 / sqrt(2 pi)
        0.398942
        >>> print(f"{relu.gaussian_second_moment:.6f}")  # half of E[z^2]
        0.500000
    """

    name: str
    fn: ElementwiseFn
    kinks: tuple[float, ...] = (0.0,)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return ``fn(z)``, so that an activation can stand where a function is expected."""
        return self.fn(z)

    @functools.cached_property
    def _on_gaussian(self) -> _Sample:
        return _sample(self)

    @functools.cached_property
    def gaussian_mean(self) -> float:
        """E[phi(z)]."""
        weights, values, _ = self._on_gaussian
        return float(weights @ values)

    @functools.cached_property
    def gaussian_second_moment(self) -> float:
        """E[phi(z)^2]: what the layer hands on in mean square, q-hat of mean-field theory."""
        weights, values, _ = self._on_gaussian
        return float(weights @ values**2)

    @functools.cached_property
    def gaussian_derivative_second_moment(self) -> float:
        """E[phi'(z)^2]: the factor by which the layer scales squared deltas backward."""
        weights, _, slopes = self._on_gaussian
        return float(weights @ slopes**2)

    @functools.cached_property
    def gaussian_sd(self) -> float:
        """Standard deviation of phi(z); exactly 0 for a constant."""
        weights, values, _ = self._on_gaussian
        if np.ptp(values) == 0:
            return 0.0
        # Not E[phi^2] - E[phi]^2, which cancels when the mean is large.
        return float(np.sqrt(weights @ (values - self.gaussian_mean) ** 2))

    @property
    def mean_over_sd(self) -> float:
        """E[phi] / sd[phi], how far off center the outputs are; NaN for a constant."""
        if self.gaussian_sd == 0:
            return float("nan")
        return self.gaussian_mean / self.gaussian_sd


@functools.cache
def _quadrature(kinks: tuple[float, ...]) -> tuple[_Nodes, _Nodes]:
    """Return nodes and weights with sum(weights * f(nodes)) = E[f(z)], z ~ N(0, 1)."""
    # Symmetric about 0, so that the mean of an odd function cancels pair by pair.
    grid = np.arange(-_CUTOFF, _CUTOFF + 1)
    inside = [kink for kink in kinks if abs(kink) < _CUTOFF]
    edges = np.unique(np.concatenate([grid, inside]))
    points, lengths = np.polynomial.legendre.leggauss(_NODES_PER_PANEL)
    half = np.diff(edges)[:, None] / 2
    nodes = (edges[:-1, None] + half + half * points).ravel()
    density = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return nodes, (half * lengths).ravel() * density


def _sample(activation: Activation) -> _Sample:
    """Return weights, phi and phi' at the nodes in float64, also while JAX is tracing."""
    nodes, weights = _quadrature(activation.kinks)
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        z = jnp.asarray(nodes)
        shape = jax.eval_shape(activation.fn, z).shape
        if shape != z.shape:
            raise ValueError(
                f"Activation {activation.name!r}: its function must be elementwise and keep the "
                f"shape, but takes {z.shape} to {shape}."
            )
        values, slopes = jax.jit(jax.vmap(jax.value_and_grad(activation.fn)))(z)
        return weights, np.asarray(values, np.float64), np.asarray(slopes, np.float64)


@checked
def lecun_tanh(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return 1.7159 tanh(2 z / 3), close to the identity at +-1 (Efficient BackProp, sec. 4.4)."""
    return 1.7159 * jnp.tanh(2 / 3 * z)


@checked
def squared_relu(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return max(z, 0)^2 (So et al., 2021)."""
    return jnp.square(jax.nn.relu(z))


@checked
def gelu(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return z P(Z <= z), the exact GELU by erf, not JAX's default approximation by tanh."""
    return jax.nn.gelu(z, approximate=False)


@checked
def sigmoid_shifted(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return sigmoid(z) - 1/2: the sigmoid centered, its slope left alone."""
    return jax.nn.sigmoid(z) - 0.5


@checked
def sigmoid_as_tanh(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return 2 sigmoid(2 z) - 1, which is tanh(z): centered, four times the slope."""
    return 2 * jax.nn.sigmoid(2 * z) - 1


_REGISTRY: dict[str, Activation] = {}

ACTIVATIONS: Mapping[str, Activation] = types.MappingProxyType(_REGISTRY)
"""Every registered activation by name, read-only; see :func:`register_activation`."""


@checked
def register_activation(
    name: str, fn: ElementwiseFn, *, kinks: tuple[float, ...] = (0.0,)
) -> Activation:
    """Add an activation to :data:`ACTIVATIONS`, so that it can be chosen by name.

    Args:
        name: Its name from now on.
        fn: Elementwise function, see :class:`Activation`.
        kinks: Points where ``fn`` or its derivative is not smooth.

    Returns:
        The registered activation; registering the same once more returns it again.

    Raises:
        ValueError: If the name is empty or taken by another function or other kinks.

    Example:
        >>> square = register_activation("square", jnp.square, kinks=())
        >>> print(f"{square.gaussian_mean:.6f}")  # E[z^2]
        1.000000
    """
    new = Activation(name, fn, tuple(float(kink) for kink in kinks))
    if not name:
        raise ValueError("register_activation: the name is empty; give it one.")
    if _REGISTRY.setdefault(name, new) != new:
        raise ValueError(
            f"register_activation: {name!r} is already the name of another function, or of this "
            "one with other kinks; choose another name."
        )
    return new


@checked
def get_activation(activation: str | ElementwiseFn | Activation) -> Activation:
    """Return the activation that a name, a function or an activation stands for.

    Args:
        activation: A name in :data:`ACTIVATIONS`; or an elementwise callable, taken to have a
            kink at 0 at most; or an :class:`Activation`, returned as it is.

    Returns:
        The activation. A function that is registered comes back under its registered name, any
        other under its own ``__name__``.

    Raises:
        ValueError: If no activation has that name.

    Example:
        >>> get_activation(jnp.tanh).name
        'tanh'
        >>> get_activation("rleu")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: get_activation: no activation is called 'rleu' (did you mean 'relu'?); ...
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        if activation in _REGISTRY:
            return _REGISTRY[activation]
        near = difflib.get_close_matches(activation, _REGISTRY, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"get_activation: no activation is called {activation!r}{hint}; known are "
            f"{', '.join(sorted(_REGISTRY))}, and register_activation adds one."
        )
    if not callable(activation):
        raise ValueError(
            "get_activation: expected a name, an elementwise callable or an Activation, got "
            f"{activation!r}."
        )
    for known in _REGISTRY.values():
        if known.fn is activation:
            return known
    return Activation(getattr(activation, "__name__", repr(activation)), activation)


@functools.cache  # The same slope must give the same function, else it is compiled again.
@checked
def leaky_relu(slope: float) -> Activation:
    """Return the leaky ReLU max(z, 0) + slope * min(z, 0), not registered.

    Args:
        slope: Slope for negative z; the registered ``leaky_relu`` has .01.

    Returns:
        The activation, named after its slope.

    Example:
        >>> leaky_relu(0.1).name
        'leaky_relu_0.1'
        >>> print(leaky_relu(0.1)(jnp.array([-2.0, 2.0])))
        [-0.2  2. ]
    """

    def fn(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jax.nn.leaky_relu(z, slope)

    return Activation(f"leaky_relu_{slope}", fn)


def _register_all() -> None:
    smooth = {
        "identity": jax.nn.identity,
        "gelu": gelu,
        "silu": jax.nn.silu,
        "softplus": jax.nn.softplus,
        "mish": jax.nn.mish,
        "sigmoid": jax.nn.sigmoid,
        "sigmoid_shifted": sigmoid_shifted,
        "sigmoid_as_tanh": sigmoid_as_tanh,
        "tanh": jnp.tanh,
        "lecun_tanh": lecun_tanh,
        "sin": jnp.sin,
    }
    kinked_at_zero = {
        "relu": jax.nn.relu,
        "leaky_relu": jax.nn.leaky_relu,
        "elu": jax.nn.elu,
        "selu": jax.nn.selu,
        "softsign": jax.nn.soft_sign,
        "abs": jnp.abs,
        "squared_relu": squared_relu,
    }
    for name, fn in smooth.items():
        register_activation(name, fn, kinks=())
    for name, fn in kinked_at_zero.items():
        register_activation(name, fn)
    register_activation("hard_sigmoid", jax.nn.hard_sigmoid, kinks=(-3.0, 3.0))
    register_activation("hard_tanh", jax.nn.hard_tanh, kinks=(-1.0, 1.0))


_register_all()
