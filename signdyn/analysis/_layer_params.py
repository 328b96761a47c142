"""Parameters of layers: as matrices with the bias last, and which of a model's they are.

Private to signdyn.analysis, re-exported by layers. May import JAX and signdyn.types.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signdyn.types import Params


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


def layer_matrices(
    params: Params, names: Iterable[str]
) -> dict[str, Float[Array, "_parameter _unit"]]:
    """Return the :func:`layer_matrix` of every layer called so, of parameters or a gradient.

    Args:
        params: A model's parameters, any pytree whose layers hold kernel and bias.
        names: Paths of layers in it, parts joined by "/", such as the keys of
            :func:`fisher_layers`.

    Returns:
        Dict from name to matrix, in the order of ``names``.

    Raises:
        ValueError: If no layer of some name is in ``params``.

    Example:
        >>> params = {"dense": {"kernel": jnp.ones((1, 2)), "bias": jnp.zeros(2)}}
        >>> print(layer_matrices(params, ["dense"])["dense"])
        [[1. 1.]
         [0. 0.]]
    """
    return {name: layer_matrix(_leaves_of("layer_matrices", params, name)) for name in names}


def params_of_matrices(
    matrices: Mapping[str, Float[Array, "_parameter _unit"]], like: Params
) -> Params:
    """Return ``like`` with its layers' parameters from ``matrices``, as layer_matrices makes them.

    Args:
        matrices: Dict from a layer's name to its matrix.
        like: Pytree of a model's parameters; leaves of no layer named stay as they are in it.

    Returns:
        A pytree like ``like``.

    Raises:
        ValueError: If no layer of some name is in ``like``, or a matrix does not fit it.

    Example:
        >>> like = {"dense": {"kernel": jnp.ones((1, 2))}}
        >>> print(params_of_matrices({"dense": jnp.array([[3.0, 4.0]])}, like)["dense"]["kernel"])
        [[3. 4.]]
    """
    found = {}
    for name, matrix in matrices.items():
        own = layer_params(matrix, _leaves_of("params_of_matrices", like, name))
        found |= {_join(name, key): leaf for key, leaf in own.items()}
    leaves, treedef = jax.tree_util.tree_flatten_with_path(like)
    return treedef.unflatten([found.get(_path_of(path), leaf) for path, leaf in leaves])


def biases(params: Params, names: Iterable[str]) -> dict[str, bool]:
    """Return which of the layers have a bias, as functions of layers want to be told.

    Args:
        params: A model's parameters, or their shapes.
        names: Paths of layers in it, such as the keys of :func:`fisher_layers`.

    Returns:
        Dict from name to whether the layer's parameters hold a bias.

    Raises:
        ValueError: If no layer of some name is in ``params``.

    Example:
        >>> biases({"dense": {"kernel": jnp.ones((1, 2))}}, ["dense"])
        {'dense': False}
    """
    own = {name: _leaves_of("biases", params, name) for name in names}
    return {name: _kernel_and_bias("biases", leaves)[1] is not None for name, leaves in own.items()}


def columns_of_layers(params: Params, names: Iterable[str]) -> Int[np.ndarray, " parameter"]:
    """Return where in ``ravel_pytree(params)`` the parameters of a mapping of layers lie.

    The order that functions of layers share: layer after layer, each its matrix
    [fan_in + 1, units] raveled, bias last. For F in it and v in that of ``ravel_pytree``,
    ``F @ v[columns]`` is their product.

    Args:
        params: A model's parameters, or their shapes.
        names: Paths of layers in it, such as the keys of :func:`fisher_layers`.

    Returns:
        Indices, one for every parameter of the layers, known before anything runs.

    Raises:
        ValueError: If no layer of some name is in ``params``.

    Example:
        >>> params = {"dense": {"bias": jnp.zeros(2), "kernel": jnp.ones((1, 2))}}
        >>> print(columns_of_layers(params, ["dense"]))  # the pytree has the bias first
        [2 3 0 1]
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    ends = np.cumsum([math.prod(jnp.shape(leaf)) for _, leaf in leaves])
    places = {
        _path_of(path): np.arange(end - math.prod(jnp.shape(leaf)), end)
        for (path, leaf), end in zip(leaves, ends, strict=True)
    }
    columns = []
    for name, has_bias in biases(params, names).items():
        columns += [places[_join(name, key)] for key in ("kernel", "bias")[: 1 + has_bias]]
    return np.concatenate(columns) if columns else np.arange(0)


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
    sizes = {_path_of(path): math.prod(jnp.shape(leaf)) for path, leaf in leaves}
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


def _lies_under(path: str, name: str) -> bool:
    return name == "" or path == name or path.startswith(name + "/")


def _path_of(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _join(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key


def _leaves_of(function: str, params: Params, name: str) -> dict[str, Array]:
    """Return the leaves right under the sub-tree called ``name``, or raise if there are none."""
    leaves = {_path_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    own = {
        path.rpartition("/")[2]: leaf for path, leaf in leaves.items() if _lies_under(path, name)
    }
    if not own:
        raise ValueError(
            f"{function}: expected a layer's path in params, got {name!r}; "
            f"leaves are {', '.join(leaves)}."
        )
    return own


def _kernel_and_bias(name: str, params: Mapping[str, Array]) -> tuple[Array, Array | None]:
    kernel, bias = params.get("kernel"), params.get("bias")
    if kernel is None or kernel.ndim < 2 or len(params) != 1 + (bias is not None):
        shapes = {key: jnp.shape(value) for key, value in params.items()}
        raise ValueError(
            f"{name}: expected a layer of a kernel [..., units] and at most a bias [units], got "
            f"{shapes}; a norm or an embedding is no such layer."
        )
    return kernel, bias
