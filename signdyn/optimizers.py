"""Optimizers by name, built inside the traced function so that every number in them is data.

Each is an optax chain: a direction, decoupled weight decay on kernels, the learning rate. Natural
gradients (`NATURAL`) ask for the batch's curvature, see `signdyn.preconditioning`.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from signdyn.checks import checked
from signdyn.kronecker import KRONECKER, scale_by_kfac
from signdyn.preconditioning import (
    SOLVES,
    Damping,
    adaptive_damping,
    in_frame,
    scale_by_natural_gradient,
    scheduled_damping,
)
from signdyn.types import Params

Scalar = Float[Array, ""] | float
"""A number, or a traced one."""


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

    @property
    def damping(self) -> Scalar:
        """What natural gradients add to the Fisher's diagonal at the first step."""

    @property
    def damping_decay(self) -> Scalar:
        """Factor on the damping a step."""


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


NATURAL = (*SOLVES, *KRONECKER)
"""Names of the natural gradients."""

DAMPINGS: Mapping[str, Callable[[OptimizerHyper], Damping]] = MappingProxyType(
    {
        "scheduled": lambda hyper: scheduled_damping(
            lambda step: hyper.damping * jnp.asarray(hyper.damping_decay) ** step
        ),
        "adaptive": lambda hyper: adaptive_damping(hyper.damping, hyper.learning_rate),
    }
)
"""Name -> rule. ``scheduled`` is damping * damping_decay^step, and so fixed at a decay of 1;
``adaptive`` starts at ``damping`` and follows the reduction ratio."""

FRAMES = ("own", "raw")
"""Coordinates in which damping is a multiple of the identity: those that are trained, or those of
the network without centering, of which the trained ones are a linear map."""


@checked
def check_optimizer(name: str, damping: str = "scheduled", frame: str = "own") -> None:
    """Check that there is such an optimizer, damping rule and frame.

    Args:
        name: In `DIRECTIONS` or `NATURAL`.
        damping: In `DAMPINGS`; of natural gradients only.
        frame: In `FRAMES`; of natural gradients only.

    Raises:
        ValueError: If there is not, with the nearest name.

    Example:
        >>> check_optimizer("natural", damping="adaptive", frame="raw")
    """
    names = (*DIRECTIONS, *NATURAL)
    for what, given, choices in (
        ("optimizer", name, names),
        ("damping rule", damping, tuple(DAMPINGS)),
        ("damping frame", frame, FRAMES),
    ):
        if given not in choices:
            near = difflib.get_close_matches(given, choices, n=1)
            raise ValueError(
                f"make_optimizer: there is no {what} {given!r}; choose one of "
                f"{', '.join(choices)}" + (f" (nearest: {near[0]})" if near else "") + "."
            )
    if name not in NATURAL and (damping, frame) != ("scheduled", "own"):
        raise ValueError(
            f"make_optimizer: {name} has no damping; leave its rule and frame alone, or choose "
            f"one of {', '.join(NATURAL)}."
        )
    if frame == "raw" and (name in ("natural_kfac", "natural_unit") or name in KRONECKER):
        raise ValueError(
            f"make_optimizer: {name} is defined in the layers' own coordinates; use frame='own', "
            "or natural, natural_cg or natural_diagonal."
        )


def make_optimizer(
    name: str,
    hyper: OptimizerHyper,
    *,
    damping: str = "scheduled",
    frame: str = "own",
    nonnegative: Sequence[str] = (),
    inverse_period: int = 1,
) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer ``name`` with the numbers in ``hyper``.

    The update is ``-learning_rate * (direction + weight_decay * weight)``; biases do not decay.
    Call it inside the function that is traced: then one program serves all numbers.

    Args:
        name: In `DIRECTIONS` or `NATURAL`; those of the latter need the keyword ``curvature`` in
            ``update``, the others ignore it.
        hyper: The numbers.
        damping: Rule in `DAMPINGS`, for natural gradients.
        frame: In `FRAMES`; "raw" needs the keyword ``frame`` in ``update``, see
            `signdyn.preconditioning.in_frame`.
        nonnegative: Top-level names of the parameters whose kernels are projected to zero or
            above after every update; they must start there. Unknown ones are refused by ``init``.
        inverse_period: Steps between inversions, of those in `signdyn.kronecker.KRONECKER`.

    Raises:
        ValueError: If there is no optimizer, rule or frame of that name, they do not go
            together, or there is a period where nothing is kept.

    Example:
        >>> from types import SimpleNamespace
        >>> numbers = {"learning_rate": 0.5, "momentum": 0.9, "weight_decay": 0.1}
        >>> hyper = SimpleNamespace(**numbers, damping=jnp.nan, damping_decay=1.0)
        >>> params = {"kernel": jnp.array([[2.0]]), "bias": jnp.array([2.0])}
        >>> optimizer = make_optimizer("sgd", hyper)
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> print(updates["kernel"], updates["bias"])
        [[-1.1]] [-1.]
    """
    check_optimizer(name, damping, frame)

    def add_decay(updates: Params, params: Params) -> Params:
        return jax.tree.map(
            lambda u, p: u + hyper.weight_decay * p if p.ndim > 1 else u, updates, params
        )

    if inverse_period != 1 and name not in KRONECKER:
        raise ValueError(
            f"make_optimizer: {name} keeps no inverses, got {inverse_period=}; choose one of "
            f"{', '.join(KRONECKER)}."
        )
    if name in KRONECKER:
        direction = scale_by_kfac(name, DAMPINGS[damping](hyper), inverse_period=inverse_period)
    elif name in NATURAL:
        direction = scale_by_natural_gradient(SOLVES[name], DAMPINGS[damping](hyper))
        direction = in_frame(direction) if frame == "raw" else direction
    else:
        direction = DIRECTIONS[name](hyper)
    return optax.with_extra_args_support(
        optax.chain(
            direction,
            optax.stateless(add_decay),
            optax.scale(-hyper.learning_rate),  # type: ignore[arg-type]
            *([_project(nonnegative)] if nonnegative else []),
        )
    )


def _project(nonnegative: Sequence[str]) -> optax.GradientTransformation:
    """Cut updates so that the kernels of the named layers do not fall below zero."""

    def kernels(params: Params) -> Params:
        for name in nonnegative:
            if name not in params:
                near = difflib.get_close_matches(name, params, n=1)
                raise ValueError(
                    f"make_optimizer: nonnegative names {name!r}, which is no layer; choose among "
                    f"{', '.join(params)}" + (f" (nearest: {near[0]})" if near else "") + "."
                )
        return {
            name: jax.tree.map(lambda p, held=name in nonnegative: held and p.ndim > 1, layer)
            for name, layer in params.items()
        }

    return optax.masked(optax.keep_params_nonnegative(), kernels)
