r"""Layers that read their inputs through a fixed linear map: standardized or whitened at the start.

A kernel W that is written as T W', T fixed, reads h T through W'. The function stays the same, and
descent on W' is descent on the network whose layer reads h T: with T = Cov(h)^{-1/2} behind a
centered site that is whitening by constants, what PRONG does between two of its reparametrizations
(Desjardins et al., 2015). `Mapped` wraps any model that keeps the conventions of
`signdyn.models.mlp`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.centering import Site
from signdyn.types import Params


def standardizing_map(
    covariance: Float[Array, "unit unit"], floor: float | Float[Array, ""]
) -> Float[Array, "unit unit"]:
    r"""Return the diagonal map that makes every unit's variance v into v / (v + floor).

    Args:
        covariance: Of a layer's inputs.
        floor: Added to every variance, in units of it; a unit that hardly varies is not blown up.

    Example:
        >>> print(standardizing_map(jnp.array([[3.0, 1.0], [1.0, 0.0]]), 1.0))
        [[0.5 0. ]
         [0.  1. ]]
    """
    return jnp.diag(1.0 / jnp.sqrt(jnp.diagonal(covariance) + floor))


def whitening_map(
    covariance: Float[Array, "unit unit"], floor: float | Float[Array, ""]
) -> Float[Array, "unit unit"]:
    r"""Return the symmetric T = (C + floor I)^{-1/2}, so that T C T is near the identity.

    Of all maps that whiten, the symmetric one (ZCA) moves the inputs least.

    Args:
        covariance: C, of a layer's inputs.
        floor: Added to every eigenvalue, in units of it; directions that hardly vary are not blown
            up: an eigenvalue c becomes c / (c + floor).

    Example:
        >>> print(whitening_map(jnp.diag(jnp.array([4.0, 0.25])), 0.0))
        [[0.5 0. ]
         [0.  2. ]]
    """
    eigenvalues, vectors = jnp.linalg.eigh(covariance)
    # rounding may leave an eigenvalue of zero a little below it
    scales = 1.0 / jnp.sqrt(jnp.maximum(eigenvalues, 0.0) + floor)
    return (vectors * scales) @ vectors.T


@dataclass(frozen=True, eq=False)  # hashed by identity: maps may be traced
class Mapped:
    """A model whose layers read their inputs through fixed maps; its parameters are the W'.

    Attributes:
        model: Any model with the conventions of `signdyn.models.mlp`, of dense layers.
        maps: T [fan_in, fan_in] of the layers that have one, by name; invertible.

    Example:
        >>> from signdyn.models.mlp import MLP
        >>> model = Mapped(MLP((), 1), {"dense_0": 2.0 * jnp.eye(2)})
        >>> params = {"dense_0": {"kernel": jnp.array([[1.0], [3.0]]), "bias": jnp.zeros(1)}}
        >>> print(model.apply({"params": params}, jnp.ones((1, 2))))
        [[8.]]
    """

    model: Any
    maps: Mapping[str, Float[Array, "_ _"]]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Those of the model."""
        return self.model.layer_names

    def apply(self, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the model returns with kernels T W', as its own ``apply`` would.

        The inputs it sows are h, before the map: the gradient of W' is T^T h^T deltas / N.

        Args:
            variables: Flax's collections, with the W' under ``params``.
            args: What the model's ``apply`` takes.
            kwargs: Likewise.
        """
        params = self.unmapped(variables["params"])
        return self.model.apply({**variables, "params": params}, *args, **kwargs)

    def mapped(self, params: Params) -> Params:
        """Return the W' whose function is that of the model with ``params``."""
        return self._each(params, jnp.linalg.solve)

    def unmapped(self, params: Params) -> Params:
        """Return the model's parameters, with kernels T W'."""
        return self._each(params, jnp.matmul)

    def matched(
        self, params: Params, sites: Sequence[Site], means: Sequence[Float[Array, " _"]]
    ) -> Params:
        """Return the W' whose function with ``sites`` is that of other W' without.

        Args:
            params: Those others.
            sites: One a layer.
            means: That the sites subtract, one array [units] a layer.
        """
        return self.mapped(self.model.matched(self.unmapped(params), sites, means))

    def _each(self, params: Params, change: Callable[[Array, Array], Array]) -> Params:
        return {
            name: {**layer, "kernel": change(self.maps[name], layer["kernel"])}
            if name in self.maps
            else layer
            for name, layer in params.items()
        }
