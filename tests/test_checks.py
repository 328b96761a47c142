"""Arguments that are not as annotated: refused in one sentence, outside the tests too."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, Real, Shaped

from signdyn.activations import Activation
from signdyn.checks import checked

Rows = Float[Array, "rows param"]

with_shapes = Float[Array, "batch *size unit"]


def call(annotation, *values, names="abc"):
    """Return what a checked function of so annotated arguments does with the values."""
    annotations = {name: annotation for name, _ in zip(names, values, strict=False)}
    space: dict[str, Any] = {}
    exec(f"def f({', '.join(annotations)}): return 'ran'", space)
    space["f"].__annotations__ = annotations
    return checked(space["f"])(*values)


F = jnp.ones((2, 3), jnp.float32)


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (Rows, [F]),
        (Rows, [np.ones((2, 3))]),
        (Rows, [F, F]),
        (Rows | None, [None]),
        (with_shapes, [jnp.ones((2, 3))]),
        (with_shapes, [jnp.ones((2, 9, 8, 3)), jnp.ones((2, 3))]),
        (Float[Array, "_ _"], [jnp.ones((2, 3))]),
        (Shaped[Array, "batch ..."], [jnp.ones(2, int), np.array(["a", "b"])]),
        (Real[Array, " n"], [jnp.arange(3)]),
        (Float[Array, ""] | float, [1.0, 2, np.float32(3)]),
        (float | Float[Array, ""], [jnp.float32(1.0)]),
        (int, [3, np.int64(3)]),
        (bool, [True, np.bool_(False)]),
        (PRNGKeyArray, [jax.random.key(0), jax.random.PRNGKey(0)]),
        (Literal["a", "b"], ["b"]),
        (Callable[[int], int], [abs]),
        (dict, [3]),  # not understood: the function's own affair
        (Float[Array, ""] | dict, ["x"]),
    ],
)
def test_what_an_annotation_says_is_accepted(annotation, values):
    assert call(annotation, *values) == "ran"


@pytest.mark.parametrize(
    ("annotation", "values", "said"),
    [
        (Rows, [jnp.ones(3)], r"a to be floats \[rows, param\], got float64\[3\]"),
        (Rows, [jnp.ones((2, 3), int)], r"got int64\[2,3\]"),
        (Rows, [jnp.ones((2, 3), complex)], r"got complex128\[2,3\]"),
        (Rows, [[[1.0, 2.0]]], "got a list"),
        (Rows, [None], "got None"),
        (Rows, ["x" * 99], r"got 'x{56}\.\.\."),
        (Rows, [F, jnp.ones((2, 4))], "b to be .* with param = 3, as in a, got"),
        (Float[Array, "n n"], [F], r"a to be floats \[n, n\] with n twice, got"),
        (Float[Array, "2 n"], [F.T], "axis 0 of length 2"),
        (with_shapes, [jnp.ones(3)], r"floats \[batch, \.\.\.size, unit\]"),
        (with_shapes, [F, jnp.ones((2, 7, 4))], "unit = 3, as in a"),
        (Float[Array, ""] | float, [True], "a scalar of floats or a number, got True"),
        (Float[Array, ""] | float, [jnp.ones(1)], r"got float64\[1\]"),
        (Float[Array, ""], [1.0], "a scalar of floats, got 1.0"),
        (Int[Array, " n"], [jnp.ones(1)], r"integers \[n\]"),
        (int, [1.0], "an integer, got 1.0"),
        (int, [True], "an integer, got True"),
        (int, [None], "an integer, got None"),
        (float, ["1"], "a number, got '1'"),
        (bool, [1], "True or False, got 1"),
        (str, [b"x"], "text, got a bytes"),
        (Key[Array, ""], [jax.random.PRNGKey(0)], "as jax.random.key makes, got uint32"),
        (PRNGKeyArray, [0], "keys, as jax.random.key makes.*got 0"),
        (Literal["a", "b"], ["c"], "one of 'a', 'b', got 'c'"),
        (Callable[[int], int], [3], "a function, got 3"),
        (Activation, ["relu"], "an Activation of signdyn.activations, got 'relu'"),
    ],
)
def test_what_is_not_so_is_told_in_one_sentence(annotation, values, said):
    with pytest.raises(ValueError, match=rf"^f: expected [^\n]*{said}[^\n]*\.$"):
        call(annotation, *values)


def test_a_checked_function_is_traced_and_batched_as_it_was():
    @checked
    def total(A: Rows, scale: float | Float[Array, ""] = 1.0):
        return scale * A.sum()

    batch = jnp.ones((4, 2, 3))
    assert jax.jit(jax.vmap(total))(batch, jnp.arange(4.0)).tolist() == [0.0, 6.0, 12.0, 18.0]
    assert float(jax.grad(lambda s: total(F, s))(2.0)) == 6.0
    with pytest.raises(ValueError, match="total: expected A"):
        jax.jit(total)(batch)


def test_too_few_arguments_and_unknown_names_are_pythons_own_affair():
    @checked
    def total(A: Rows):
        return A.sum()

    with pytest.raises(TypeError, match=r"total\(\) missing 1 required"):
        total()
    with pytest.raises(TypeError, match=r"total\(\) got an unexpected"):
        total(F, scale=1)
