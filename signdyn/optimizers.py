"""Optimizers by name, built inside the traced function so that every number in them is data.

Each is an optax chain: a direction, decoupled weight decay on kernels, the learning rate.
"""

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from signdyn.types import Params

Scalar = Float[Array, ""] | float


@runtime_checkable
class OptimizerHyper(Protocol):
    """The fields of a hyperparameter tuple that optimizers read."""

    @property
    def learning_rate(self) -> Scalar:
        """Step size."""

    @property
    def momentum(self) -> Scalar:
        """Decay of the velocity, or of Adam's first moment."""

    @property
    def weight_decay(self) -> Scalar:
        """Decoupled, on kernels only."""


def centralize_per_unit() -> optax.GradientTransformation:
    """Subtract from every unit's kernel gradient its mean over the unit's incoming weights.

    Gradient centralization (Yong et al., 2020) for kernels [fan_in, units] and
    [height, width, fan_in, units]: all axes but the last are averaged. On such kernels
    ``optax.centralize`` averages over the units instead.

    Example:
        >>> transform = centralize_per_unit()
        >>> grads = {"kernel": jnp.array([[1.0, 5.0], [3.0, 5.0]]), "bias": jnp.array([7.0, 7.0])}
        >>> centralized, _ = transform.update(grads, transform.init(grads))
        >>> print(centralized["kernel"].tolist(), centralized["bias"].tolist())
        [[-1.0, 0.0], [1.0, 0.0]] [7.0, 7.0]
    """

    def centralize(grad: Array) -> Array:
        if grad.ndim < 2:
            return grad
        return grad - jnp.mean(grad, axis=tuple(range(grad.ndim - 1)), keepdims=True)

    return optax.stateless(lambda updates, params: jax.tree.map(centralize, updates))


def _adam(hyper: OptimizerHyper) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=hyper.momentum)  # pyrefly: ignore[bad-argument-type]


DIRECTIONS: Mapping[str, Callable[[OptimizerHyper], optax.GradientTransformation]] = (
    MappingProxyType(
        {
            "sgd": lambda hyper: optax.identity(),
            "momentum": lambda hyper: optax.trace(decay=hyper.momentum),  # type: ignore[arg-type]
            "adam": _adam,
            "sign_descent": lambda hyper: optax.scale_by_sign(),
            "centralized_sgd": lambda hyper: centralize_per_unit(),
        }
    )
)
"""Name -> direction. ``momentum`` is the decay of the velocity, or of Adam's first moment."""


def make_optimizer(name: str, hyper: OptimizerHyper) -> optax.GradientTransformation:
    """Return the optimizer ``name`` with the numbers in ``hyper``.

    The update is ``-learning_rate * (direction + weight_decay * weight)``; biases do not decay.
    Call it inside the function that is traced: then one program serves all numbers.

    Raises:
        ValueError: If there is no optimizer of that name.

    Example:
        >>> from types import SimpleNamespace
        >>> hyper = SimpleNamespace(learning_rate=0.5, momentum=0.9, weight_decay=0.1)
        >>> params = {"kernel": jnp.array([[2.0]]), "bias": jnp.array([2.0])}
        >>> optimizer = make_optimizer("sgd", hyper)
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> print(updates["kernel"], updates["bias"])
        [[-1.1]] [-1.]
    """
    if name not in DIRECTIONS:
        near = difflib.get_close_matches(name, DIRECTIONS, n=1)
        raise ValueError(
            f"make_optimizer: there is no optimizer {name!r}; choose one of "
            f"{', '.join(DIRECTIONS)}" + (f" (nearest: {near[0]})" if near else "") + "."
        )

    def add_decay(updates: Params, params: Params) -> Params:
        return jax.tree.map(
            lambda u, p: u + hyper.weight_decay * p if p.ndim > 1 else u, updates, params
        )

    return optax.chain(
        DIRECTIONS[name](hyper),
        optax.stateless(add_decay),
        optax.scale(-hyper.learning_rate),  # type: ignore[arg-type]
    )
