r"""K-FAC as an optax transform, as it is used: factored damping, inverses kept for a few steps.

(A + pi sqrt(damping) I)^{-1} grad (G + sqrt(damping) / pi I)^{-1} in every layer, see
`signdyn.analysis.kfac`. The factors are those of one step's batch, without a moving average. The
solve in `signdyn.preconditioning` called natural_kfac is the other one: undivided damping, exact.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int

from signdyn.analysis.kfac import (
    KfacFactors,
    kfac_factored_inverses,
    kfac_factored_natural_gradient,
    kfac_factors,
)
from signdyn.analysis.layers import Layer, biases, layer_matrices, params_of_matrices
from signdyn.preconditioning import Curvature, Damping, NaturalState, check_covered, next_state
from signdyn.types import Params

Layers = Callable[[Curvature, Int[Array, ""]], Mapping[str, Layer]]
"""(curvature, step) -> layers whose factors are taken."""


def _exact(curvature: Curvature, step: Int[Array, ""]) -> Mapping[str, Layer]:
    del step
    return curvature.layers()


def _sampled(curvature: Curvature, step: Int[Array, ""]) -> Mapping[str, Layer]:
    if curvature.sampled_layers is None:
        raise ValueError(
            "natural_kfac_sampled: expected a curvature with sampled_layers, got None; use "
            "natural_kfac_factored, which needs no labels."
        )
    return curvature.sampled_layers(step)


KRONECKER: Mapping[str, Layers] = MappingProxyType(
    {"natural_kfac_factored": _exact, "natural_kfac_sampled": _sampled}
)
"""Name -> which Fisher: the exact expectation over labels, in as many backward passes as the output
factor has columns; or one label an example, drawn from the model anew at every inversion."""


class KroneckerState(NamedTuple):
    """State of `scale_by_kfac`.

    Attributes:
        natural: Updates made, and the damping of the next.
        inverses: Of every layer's damped factors, as of the last inversion; empty with a period
            of 1, which keeps nothing and solves instead.
    """

    natural: NaturalState
    inverses: dict[str, KfacFactors]


def scale_by_kfac(
    name: str, damping: Damping, *, inverse_period: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Return the transform that preconditions every layer by its damped Kronecker factors.

    Args:
        name: In `KRONECKER`.
        damping: The rule; a damping is read where inverses are computed.
        inverse_period: Steps between inversions, at least 1: those in between cost two small
            products a layer. Under ``vmap`` over replicas with states of their own every step
            inverts, though it keeps what it should.

    Raises:
        ValueError: If the period is below 1; at update, if parameters lie outside of layers.

    Example:
        >>> from signdyn.preconditioning import fixed_damping
        >>> layer = Layer(jnp.array([[[2.0]]]), jnp.array([[[[1.0]]]]))  # A = 4, G = 1: pi = 2
        >>> curvature = Curvature(None, None, lambda: {"dense": layer}, None, None)
        >>> transform = scale_by_kfac("natural_kfac_factored", fixed_damping(1.0))
        >>> grads = {"dense": {"kernel": jnp.array([[9.0]])}}  # / (4 + 2) / (1 + 1 / 2)
        >>> updates, _ = transform.update(grads, transform.init(grads), curvature=curvature)
        >>> print(updates["dense"]["kernel"].round(5))
        [[1.]]
    """
    if inverse_period < 1:
        raise ValueError(f"scale_by_kfac: expected inverse_period >= 1, got {inverse_period}.")
    layers_of = KRONECKER[name]

    def init(params: Params) -> KroneckerState:
        dtype = ravel_pytree(params)[0].dtype
        natural = NaturalState(jnp.zeros((), jnp.int32), jnp.asarray(damping.initial, dtype))
        owners = kernel_owners(params) if inverse_period > 1 else ()
        matrices = layer_matrices(params, owners)
        # Zeros made of the parameters: under shard_map they are each device's own, as these are.
        inverses = {
            path: KfacFactors(
                *(jnp.where(False, matrix[0, 0], jnp.zeros((n, n), dtype)) for n in matrix.shape)
            )
            for path, matrix in matrices.items()
        }
        return KroneckerState(natural, inverses)

    def update(updates, state, params=None, *, curvature: Curvature, **extra_args):
        del params, extra_args

        def covering_layers() -> Mapping[str, Layer]:
            layers = layers_of(curvature, state.natural.step)
            check_covered(name, updates, layers)
            return layers

        def invert(_: dict[str, KfacFactors]) -> dict[str, KfacFactors]:
            layers = covering_layers()
            has_bias = biases(updates, layers)
            return {
                path: kfac_factored_inverses(
                    kfac_factors(*layers[path], bias=has_bias[path]), damping=state.natural.damping
                )
                for path in state.inverses
            }

        inverses = state.inverses
        if inverse_period == 1:
            layers = covering_layers()
            directions = {
                path: kfac_factored_natural_gradient(
                    *layers[path], matrix, damping=state.natural.damping
                )
                for path, matrix in layer_matrices(updates, layers).items()
            }
        else:
            due = state.natural.step % inverse_period == 0
            inverses = jax.lax.cond(due, invert, lambda kept: kept, inverses)
            with jax.default_matmul_precision("highest"):
                directions = {
                    path: inverses[path].inputs @ matrix @ inverses[path].deltas
                    for path, matrix in layer_matrices(updates, inverses).items()
                }
        direction = params_of_matrices(directions, updates)
        natural = next_state(damping, state.natural, curvature, updates, direction)
        return direction, KroneckerState(natural, inverses)

    return optax.GradientTransformationExtraArgs(init, update)  # pyrefly: ignore[bad-argument-type]


def kernel_owners(params: Params) -> list[str]:
    """Return the paths of all sub-trees with a kernel: the layers that a model may show.

    Example:
        >>> kernel_owners({"block": {"dense": {"kernel": jnp.ones((1, 1))}}, "norm": jnp.ones(1)})
        ['block/dense']
    """
    paths = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    return [
        path.removesuffix("kernel").removesuffix("/")
        for path in paths
        if path == "kernel" or path.endswith("/kernel")
    ]
