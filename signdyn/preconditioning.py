r"""Natural gradients as optax transforms: what they ask of a batch, how they damp, in which frame.

A transform here is `optax.GradientTransformationExtraArgs`: ``update`` takes the `Curvature` of the
step's batch as the keyword ``curvature``. The result is a direction with the gradient's sign; a
learning rate follows in the chain. Everything runs inside ``scan`` and ``vmap``, with the damping
as data.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from signdyn.analysis.fisher import fisher_diagonal
from signdyn.analysis.kfac import kfac_natural_gradient
from signdyn.analysis.layer_natural import natural_gradient_of_layers
from signdyn.analysis.layers import (
    Layer,
    coverage,
    layer_matrices,
    params_of_matrices,
)
from signdyn.analysis.natural import (
    natural_gradient,
    natural_gradient_cg,
    natural_gradient_diagonal,
    unit_natural_gradient,
)
from signdyn.types import Params

Scalar = Float[Array, ""] | float
"""A number, or a traced one."""

CG_ITERATIONS = 32
"""Products a step of ``natural_cg``: more only where the solution is not there yet."""

CG_TOLERANCE = 1e-5
"""Relative residual at which ``natural_cg`` stops before that."""


class Curvature(NamedTuple):
    """The Fisher of one step's batch at its parameters; only what is called is computed.

    Attributes:
        factor: () -> A [rows, P] with A^T A = F, columns in the order of ``ravel_pytree``.
        product: () -> (v -> F v) on vectors [P].
        layers: () -> every layer's inputs and Fisher deltas, by the path of its parameters.
        loss: Mean nll of the batch, nats.
        loss_after: displacement of the parameters -> mean nll of the batch there.
        layered: Whether ``layers`` may be asked where another way exists; False in a frame.
        sampled_layers: step -> the same as ``layers`` by one label an example drawn from the model.
    """

    factor: Callable[[], Float[Array, "rows param"]]
    product: Callable[[], Callable[[Float[Array, " param"]], Float[Array, " param"]]]
    layers: Callable[[], Mapping[str, Layer]]
    loss: Float[Array, ""]
    loss_after: Callable[[Params], Float[Array, ""]]
    layered: bool = False
    sampled_layers: Callable[[Int[Array, ""]], Mapping[str, Layer]] | None = None


Solve = Callable[[Curvature, Params, Scalar], Params]
"""``(curvature, grads, damping) -> direction``, all pytrees like the parameters."""


def exact_way(params: Params, names: Iterable[str]) -> str:
    """Return how ``natural`` solves: "layers" where they hold all parameters, else "factor".

    Both are the same to rounding; from the layers it is faster.

    Args:
        params: Or anything of their structure.
        names: Paths of the layers that the model shows, none if it shows none.

    Example:
        >>> params = {"dense": {"kernel": jnp.ones((1, 1))}, "norm": {"scale": jnp.ones(1)}}
        >>> exact_way(params, ["dense"]), exact_way(params, ["dense", "norm"])
        ('factor', 'layers')
    """
    return "factor" if coverage(params, names).missing else "layers"


def _exact(curvature: Curvature, grads: Params, damping: Scalar) -> Params:
    layers = curvature.layers() if curvature.layered else {}
    if exact_way(grads, layers) == "layers":
        matrices = layer_matrices(grads, layers)
        directions = natural_gradient_of_layers(layers, matrices, damping=damping)
        return params_of_matrices(directions, grads)
    grad, unravel = ravel_pytree(grads)
    return unravel(natural_gradient(curvature.factor(), grad, damping=damping))


def _conjugate_gradients(curvature: Curvature, grads: Params, damping: Scalar) -> Params:
    grad, unravel = ravel_pytree(grads)
    solution = natural_gradient_cg(
        curvature.product(),
        grad,
        damping=damping,
        num_iterations=CG_ITERATIONS,
        tolerance=CG_TOLERANCE,
    )
    return unravel(solution.direction)


def _diagonal(curvature: Curvature, grads: Params, damping: Scalar) -> Params:
    grad, unravel = ravel_pytree(grads)
    diagonal = fisher_diagonal(curvature.factor())
    return unravel(natural_gradient_diagonal(diagonal, grad, damping=damping))


def _kfac(curvature: Curvature, grads: Params, damping: Scalar) -> Params:
    def of_layer(layer: Layer, grad: Array) -> Array:
        return kfac_natural_gradient(layer.inputs, layer.deltas, grad, damping=damping)

    return _by_layer("natural_kfac", of_layer, curvature, grads)


def _unit(curvature: Curvature, grads: Params, damping: Scalar) -> Params:
    def of_layer(layer: Layer, grad: Array) -> Array:
        return unit_natural_gradient(layer.inputs, layer.deltas, grad, damping=damping)

    return _by_layer("natural_unit", of_layer, curvature, grads)


def check_covered(name: str, params: Params, layers: Iterable[str]) -> None:
    """Check that the layers hold all parameters.

    Args:
        name: Of who asks, for the message.
        params: The parameters.
        layers: Paths of the layers.

    Raises:
        ValueError: If one lies in none of them.
    """
    report = coverage(params, layers)
    if report.missing:
        raise ValueError(
            f"{name}: expected every parameter to lie in a dense or convolutional layer, but "
            f"{', '.join(report.missing)} do not; use natural or natural_cg, which take any model."
        )


def _by_layer(
    name: str, solve: Callable[[Layer, Array], Array], curvature: Curvature, grads: Params
) -> Params:
    """Return ``grads`` with every layer's [fan_in + 1, units] matrix solved for."""
    layers = curvature.layers()
    check_covered(name, grads, layers)
    matrices = layer_matrices(grads, layers)
    directions = {path: solve(layers[path], matrix) for path, matrix in matrices.items()}
    return params_of_matrices(directions, grads)


SOLVES: Mapping[str, Solve] = MappingProxyType(
    {
        "natural": _exact,
        "natural_cg": _conjugate_gradients,
        "natural_kfac": _kfac,
        "natural_unit": _unit,
        "natural_diagonal": _diagonal,
    }
)
"""Name -> natural gradient: exact (in the way that `exact_way` says), by conjugate gradients, by
K-FAC, by unit (the Fisher's block of every unit), by the diagonal."""


class Damping(NamedTuple):
    """How much is added to the Fisher's diagonal, in units of F.

    Attributes:
        initial: At the first step.
        following: (damping, step, reduction ratio) -> the next step's; step counts those done.
        learning_rate: Of the update that the reduction ratio is asked of; None where the rule
            does not ask, and the ratio is NaN.
    """

    initial: Scalar
    following: Callable[[Array, Array, Array], Array]
    learning_rate: Scalar | None = None


def fixed_damping(damping: Scalar) -> Damping:
    """Return the rule that keeps ``damping``.

    Example:
        >>> rule = fixed_damping(0.1)
        >>> print(rule.following(jnp.array(0.1), jnp.array(3), jnp.array(0.0)))
        0.1
    """
    return Damping(damping, lambda damping, step, ratio: damping)


def scheduled_damping(schedule: optax.Schedule) -> Damping:
    """Return the rule that follows a schedule, a function of the step.

    Args:
        schedule: Such as ``optax.exponential_decay(1.0, 1, 0.5)``.

    Example:
        >>> rule = scheduled_damping(lambda step: 0.5**step)
        >>> print(rule.initial, rule.following(jnp.array(1.0), jnp.array(3), jnp.array(0.0)))
        1.0 0.125
    """
    return Damping(
        jnp.asarray(schedule(0)), lambda damping, step, ratio: jnp.asarray(schedule(step))
    )


def adaptive_damping(initial: Scalar, learning_rate: Scalar, factor: Scalar = 1.5) -> Damping:
    """Return the Levenberg-Marquardt rule: damp less where the quadratic model held.

    The reduction ratio is what the update u = -learning_rate * direction took from the batch's
    loss over what the model g.u + u.F u / 2 promised. Above 3/4 the damping is divided by
    ``factor``, below 1/4, or where undefined, multiplied (Martens, 2010, section 4.1). A step is
    taken whatever its ratio; momentum and weight decay, if any, are not in it.

    Args:
        initial: Damping of the first step.
        learning_rate: Of the chain.
        factor: Above 1.

    Example:
        >>> rule = adaptive_damping(1.0, learning_rate=1.0, factor=2.0)
        >>> [float(rule.following(jnp.array(1.0), jnp.array(1), r)) for r in (0.9, 0.5, 0.1)]
        [0.5, 1.0, 2.0]
    """

    def following(damping: Array, step: Array, ratio: Array | float) -> Array:
        del step
        held = jnp.asarray(ratio) > 0.75
        return jnp.where(
            held, damping / factor, jnp.where(ratio >= 0.25, damping, damping * factor)
        )

    return Damping(initial, following, learning_rate)


class NaturalState(NamedTuple):
    """State of `scale_by_natural_gradient`.

    Attributes:
        step: Updates made.
        damping: Of the next update.
    """

    step: Int[Array, ""]
    damping: Float[Array, ""]


def scale_by_natural_gradient(
    solve: Solve, damping: Damping
) -> optax.GradientTransformationExtraArgs:
    """Return the transform grads -> (F + damping I)^{-1} grads, F as ``solve`` takes it.

    Args:
        solve: One of `SOLVES`, or a function like them.
        damping: The rule.

    Example:
        >>> transform = scale_by_natural_gradient(SOLVES["natural"], fixed_damping(1.0))
        >>> curvature = Curvature(lambda: jnp.diag(jnp.array([1.0, 3.0])), *4 * [None])
        >>> grads = jnp.array([2.0, 10.0])  # F = diag(1, 9)
        >>> print(transform.update(grads, transform.init(grads), curvature=curvature)[0])
        [1. 1.]
    """

    def init(params: Params) -> NaturalState:
        dtype = ravel_pytree(params)[0].dtype
        return NaturalState(jnp.zeros((), jnp.int32), jnp.asarray(damping.initial, dtype))

    def update(updates, state, params=None, *, curvature: Curvature, **extra_args):
        del params, extra_args
        direction = solve(curvature, updates, state.damping)
        return direction, next_state(damping, state, curvature, updates, direction)

    return optax.GradientTransformationExtraArgs(init, update)  # pyrefly: ignore[bad-argument-type]


def next_state(
    damping: Damping, state: NaturalState, curvature: Curvature, grads: Params, direction: Params
) -> NaturalState:
    """Return the state after a step, with the damping that the rule says.

    Args:
        damping: The rule.
        state: Before the step.
        curvature: Of the step's batch.
        grads: Its gradient.
        direction: Of the step, which subtracts it times the learning rate.
    """
    ratio = jnp.array(jnp.nan, state.damping.dtype)
    if damping.learning_rate is not None:
        ratio = _reduction_ratio(curvature, grads, direction, damping.learning_rate)
    step = state.step + 1
    following = damping.following(state.damping, step, ratio)
    return NaturalState(step, following.astype(state.damping.dtype))


def _reduction_ratio(
    curvature: Curvature, grads: Params, direction: Params, learning_rate: Scalar
) -> Float[Array, ""]:
    displacement = jax.tree.map(lambda leaf: -learning_rate * leaf, direction)
    u, g = ravel_pytree(displacement)[0], ravel_pytree(grads)[0]
    promised = g @ u + 0.5 * u @ curvature.product()(u)
    # A model that promises a rise, as at twice Newton's rate, holds nothing to be trusted.
    promised = jnp.where(promised < 0.0, promised, jnp.nan)
    return (curvature.loss_after(displacement) - curvature.loss) / promised


def in_frame(
    inner: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    r"""Return ``inner`` at work in other coordinates, given by the keyword ``frame`` of update.

    ``frame`` is the linear map T from those coordinates to the parameters. The gradient there is
    T^T g, the Fisher T^T F T, and the direction comes back through T. An undamped natural gradient
    is the same in every frame; damping D and a diagonal are not, and so this transforms them
    covariantly: damping I in the frame is T^{-T} T^{-1} at the parameters.

    Example:
        >>> transform = in_frame(scale_by_natural_gradient(SOLVES["natural"], fixed_damping(1.0)))
        >>> curvature = Curvature(lambda: jnp.array([[1.0]]), *4 * [None])
        >>> grads = jnp.array([1.0])  # in the frame w = 2 v: F = 4, g = 2, so v moves by 2 / 5
        >>> state = transform.init(grads)
        >>> frame = lambda v: 2.0 * v
        >>> print(transform.update(grads, state, curvature=curvature, frame=frame)[0])
        [0.8]
    """

    def update(updates, state, params=None, *, curvature: Curvature, frame, **extra_args):
        (transposed,) = jax.linear_transpose(frame, updates)(updates)
        seen = _seen_through(curvature, frame, updates)
        direction, state = inner.update(transposed, state, params, curvature=seen, **extra_args)
        return frame(direction), state

    return optax.GradientTransformationExtraArgs(
        inner.init,
        update,  # pyrefly: ignore[bad-argument-type]
    )


def _seen_through(
    curvature: Curvature, frame: Callable[[Params], Params], like: Params
) -> Curvature:
    unravel = ravel_pytree(like)[1]
    transpose = jax.linear_transpose(frame, like)

    def backward(row: Array) -> Array:
        return ravel_pytree(transpose(unravel(row))[0])[0]

    def forward(v: Array) -> Array:
        return ravel_pytree(frame(unravel(v)))[0]

    def product() -> Callable[[Array], Array]:
        of_params = curvature.product()
        return lambda v: backward(of_params(forward(v)))

    def layers() -> Mapping[str, Layer]:
        raise ValueError(
            "in_frame: expected a natural gradient by the whole Fisher, got one by layers, whose "
            "inputs and deltas belong to the parameters' own coordinates; use natural, natural_cg "
            "or natural_diagonal."
        )

    return Curvature(
        factor=lambda: jax.vmap(backward)(curvature.factor()),
        product=product,
        layers=layers,
        loss=curvature.loss,
        loss_after=lambda displacement: curvature.loss_after(frame(displacement)),
    )
