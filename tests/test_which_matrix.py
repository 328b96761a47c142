"""docs/which_matrix.md: every number in it is recomputed from its own example, and its code runs.

Its prose holds numbers in code spans only, as equations, which are evaluated on both sides.
"""

import contextlib
import io
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.likelihoods import gaussian

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "which_matrix.md").read_text("utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
PROSE = "\n".join(
    line
    for line in re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).splitlines()
    if not line.startswith("|")
)
SPANS = re.findall(r"`([^`]+)`", PROSE)
NUMBER = r"-?\d+(?:\.\d+)?"


def table(first_header):
    """Return the cells of the rows of the table whose first column is headed so."""
    lines = PAGE[PAGE.index(f"| {first_header} |") :].splitlines()
    lines = lines[2 : next((i for i, line in enumerate(lines) if not line), None)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbers(cell):
    return [float(number) for number in re.findall(NUMBER, cell)]


def matches(printed, exact):
    """Return whether ``exact`` rounds to the numbers of the text ``printed``."""
    texts, exact = re.findall(NUMBER, printed), np.ravel(exact)
    assert len(texts) == exact.size
    halves = [0.5 * 10.0 ** -len(text.partition(".")[2]) if "." in text else 0 for text in texts]
    values = [float(text) for text in texts]
    return all(abs(v - e) <= h + 1e-6 for v, e, h in zip(values, exact, halves, strict=True))


def solve_example():
    """Return all that the page speaks of, by NumPy from its first table and its (w, b)."""
    (point,) = (span for span in SPANS if span.startswith("(w, b) = "))
    w, b = numbers(point)
    x, y = np.array([numbers(f"{row[0]} {row[1]}") for row in table("x")]).T
    a, N = np.stack([x, np.ones_like(x)], axis=1), len(x)
    z = a @ [w, b]
    f, J = z**2 / 2, z[:, None] * a

    def mean_outer(weights):
        return sum(weight * np.outer(row, row) for weight, row in zip(weights, a, strict=True)) / N

    def hessian(y=y):
        return mean_outer(z**2 + (f - y))  # (f'^2 + r f'') for f = z^2 / 2

    def fisher(variance=1.0):
        return mean_outer(z**2 / variance)

    def empirical(y=y, variance=1.0):
        return mean_outer((z * (f - y) / variance) ** 2)

    def monte_carlo(num_samples):
        # float32, as for a reader of the page: other bits are drawn in double precision
        keys = jax.random.split(jax.random.key(0), num_samples)
        noise = jax.vmap(lambda key: jax.random.normal(key, (N, 1), jnp.float32))(keys)
        return mean_outer(z**2 * np.mean(np.square(noise[..., 0], dtype=float), axis=0))

    A, F, E = a.T @ a / N, fisher(), empirical()
    K = np.mean(z**2) * A
    likelihood_nll = gaussian().nll(jnp.asarray(f)[:, None], jnp.asarray(y)[:, None])
    names = {"hessian": hessian, "fisher": fisher, "empirical": empirical}
    names |= {"w": w, "b": b, "x": x, "y": y, "z": z, "f": f, "r": f - y, "N": N, "J": J}
    names |= {"nll": likelihood_nll, "g": (f - y) @ J / N, "A": A, "F": F, "E": E, "H": hessian()}
    names |= {"F_ww": F[0, 0], "F_wb": F[0, 1], "F_bb": F[1, 1], "K_ww": K[0, 0]}
    names |= {"E_ww": E[0, 0], "E_bb": E[1, 1]}
    names |= {"det": np.linalg.det, "solve": np.linalg.solve, "mean": np.mean, "outer": np.outer}
    matrices = {
        "Hessian H": hessian(),
        "GGN": J.T @ J / N,
        "Fisher F": F,
        "Monte Carlo Fisher, 1 label": monte_carlo(1),
        "Monte Carlo Fisher, 10000 labels": monte_carlo(10_000),
        "empirical Fisher E": E,
        "diagonal of F": np.diag(np.diag(F)),
        "unit's block of F": F,
        "K-FAC K": K,
    }
    return SimpleNamespace(names=names, matrices=matrices, x=x, y=y, z=z, f=f, J=J, theta=(w, b))


EXAMPLE = solve_example()


def test_the_table_of_examples_follows_from_its_first_two_columns():
    e = EXAMPLE
    assert "| gradient r z (x, 1) |" in PAGE
    rows = zip(table("x"), e.x, e.y, e.z, e.f, e.J, strict=True)
    for cells, x, y, z, f, J in rows:
        assert matches(" ".join(cells), [x, y, z, f, f - y, *((f - y) * J)])


def test_the_table_of_matrices_has_a_row_for_each():
    assert [cells[0] for cells in table("matrix M")] == list(EXAMPLE.matrices)


@pytest.mark.parametrize("cells", table("matrix M"), ids=lambda cells: cells[0])
def test_a_row_of_the_table_of_matrices_follows_from_the_example(cells):
    M = EXAMPLE.matrices[cells[0]]
    step = np.linalg.solve(M, EXAMPLE.names["g"])
    assert matches(cells[2], M)
    assert matches(cells[3], step)
    assert matches(cells[4], EXAMPLE.J @ step)


def test_the_code_prints_the_table_of_matrices():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), jax.enable_x64(False):
        namespace = {}
        exec(compile(CODE, "which_matrix.md", "exec"), namespace)
    lines = [line.split("\t") for line in printed.getvalue().splitlines()]
    expected = [[c[0], *re.findall(NUMBER, " ".join(c[2:5]))] for c in table("matrix M")]
    assert lines == expected
    for name in ("theta", "x", "y"):
        np.testing.assert_array_equal(np.ravel(namespace[name]), getattr(EXAMPLE, name))


EQUATIONS = [s for s in SPANS if " = " in s and not s.startswith("(w, b)")]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_equation_of_the_prose_holds(equation):
    left, _, right = equation.rpartition(" = ")
    exact = eval(left, {}, EXAMPLE.names)
    if re.fullmatch(rf"[\[\](), ]*({NUMBER}[\[\](), ]*)+", right):
        assert matches(right, exact)
    else:
        np.testing.assert_allclose(exact, eval(right, {}, EXAMPLE.names), atol=1e-12)


def test_a_code_span_with_a_number_is_an_equation():
    others = {span for span in SPANS if re.search(r"\d", span)} - set(EQUATIONS)
    assert len(others) == 1  # the (w, b) that the example is solved from
    assert len(EQUATIONS) >= 18


def test_no_number_of_the_prose_stands_outside_an_equation():
    left = re.sub(r"`[^`]+`", "", PROSE)
    left = " ".join(left.split()).replace("(x, 1)", "")
    for paper in ("Kunstner et al., 2019", "Clevert et al., 2016", "Martens & Grosse, 2015"):
        assert paper in left
        left = left.replace(paper, "")
    assert re.findall(r".*\d.*", left) == []


def test_every_function_that_the_page_names_exists():
    modules = ["analysis.fisher", "analysis.kfac", "analysis.natural", "analysis.spectrum"]
    modules = [__import__(f"signdyn.{name}", fromlist=["_"]) for name in modules]
    from_table = [re.findall(r"`([a-z_]+)`", cells[5]) for cells in table("matrix M")]
    named = {name for names in from_table for name in names}
    named |= {span for span in SPANS if re.fullmatch(r"[a-z]+(_[a-z]+)+", span)}
    assert {"natural_gradient_pinv", "unit_fisher", "top_eigenpairs"} <= named
    assert not [name for name in named if not any(hasattr(m, name) for m in modules)]
