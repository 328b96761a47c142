"""Bad calls of the public functions, drawn at random, and what the functions make of them.

A call is right but for one argument: of another type, dtype, rank or length, empty, out of range,
or a function that returns something else. It is well refused if it raises a ValueError or TypeError
of one sentence that begins with the function's name.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from signdyn import stats
from signdyn.activations import get_activation
from signdyn.analysis import fisher, kfac, matrix, natural, spectrum, theory
from signdyn.analysis.layers import fisher_layers
from signdyn.centering import offset
from signdyn.claims import exact_evidence, mean_evidence, rule_of
from signdyn.data import load
from signdyn.diagnostics import activity, gradients, signs, zigzag
from signdyn.likelihoods import Likelihood, bernoulli, categorical, gaussian, get_likelihood
from signdyn.models.mlp import MLP
from signdyn.optimizers import check_optimizer
from signdyn.records import load as load_records
from signdyn.sweeps import grid, run_sweep, stack_hypers
from signdyn.training import Hyper, Structure, make_train_fn

LONGEST = 600
"""Characters of a message."""

NAN, INF = float("nan"), float("inf")

ANYTHING = (None, "x", [1.0, 2.0], {"a": 1})
"""No array, and no number."""


_SENTENCE = re.compile(r"((npz:)?[^\s:]*: |\w+\(\) )[^\n]+")
"""Begins with the name of a function, of a likelihood or of a data set, and is one line."""


class Call(NamedTuple):
    """A bad call.

    Attributes:
        name: The function's.
        argument: The one that is bad.
        value: In words.
        make: Makes the call.
    """

    name: str
    argument: str
    value: str
    make: Callable[[], Any]

    def __str__(self) -> str:
        """Return the call, short."""
        return f"{self.name}({self.argument}={self.value})"


def bad_call(rng: random.Random) -> Call:
    """Draw a bad call."""
    name = rng.choice(list(CALLS))
    function, good, bad = CALLS[name]
    argument = rng.choice(list(bad))
    value = rng.choice(list(bad[argument]))
    told = f"{type(value).__name__} {value!r}"
    told = told if len(told) <= 80 else f"{told[:77]}..."
    return Call(name, argument, told, lambda: function(**{**good, argument: value}))


def problem_of(call: Call) -> str:
    """Return what was wrong with a call's refusal; nothing if it was well refused."""
    try:
        call.make()
    except (ValueError, TypeError) as error:
        told = str(error)
        if _SENTENCE.fullmatch(told) and len(told) <= LONGEST:
            return ""
        return f"not one sentence: {type(error).__name__}: {ascii(told)[:200]}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no refusal
        return f"traceback: {type(error).__name__}: {ascii(str(error))[:200]}"
    return "was accepted"


def _model(params: Any, x: Any) -> Any:
    return x @ params["w"]


def _tapped(params: Any, x: Any, tap: Any) -> Any:
    return tap("dense", x, x @ params["w"])


X = jnp.ones((4, 3))
Y = jnp.ones((4, 2))
PARAMS = {"w": jnp.ones((3, 2))}
A = jnp.ones((5, 4))
VECTOR = jnp.ones(4)
MATRIX = jnp.diag(jnp.arange(1.0, 5.0))
KEY = jax.random.key(0)
DATA = load("xor")
STRUCTURE = Structure(MLP((2,), 2), categorical(), steps=2)
DENSITY = spectrum.SpectralDensity(jnp.ones((2, 3)), jnp.ones((2, 3)))

BAD_MATRIX = (*ANYTHING, A[0], A[None], A.astype(int), A > 0, A.astype(complex))
BAD_FACTOR = (*BAD_MATRIX, A[:, :0])
BAD_VECTOR = (*ANYTHING, VECTOR[None], VECTOR[0], VECTOR.astype(int), VECTOR.astype(complex))
BAD_GRAD = (*BAD_VECTOR, VECTOR[:3], VECTOR[:0])
BAD_COUNT = (0, -1, 1.5, True, "3", None, jnp.ones(2))
BAD_DAMPING = (-1.0, NAN, -INF, True, "1", None, jnp.ones(2), np.float32(-1))
BAD_RCOND = (-0.1, 1.0, NAN, True, "0", None, jnp.ones(2))
BAD_KEY = (0, None, "seed", jnp.ones(2), np.random.default_rng(0), jax.random.split(KEY))
BAD_MODEL = (
    None,
    3,
    "model",
    lambda params, x: (x @ params["w"])[0],
    lambda params, x: jnp.sum(x @ params["w"]),
    lambda params, x: jnp.sum(x @ params["w"], axis=1),
    lambda params, x: (x @ params["w"], x),
    lambda params, x: (x @ params["w"]) > 0,
    lambda params, x: x @ params["w"] - jnp.mean(x @ params["w"], axis=0),
)
BAD_PARAMS = ({}, None, {"w": jnp.ones((3, 2), int)}, {"w": jnp.ones((3, 2)), "name": "relu"})
BAD_X = (*ANYTHING, jnp.ones(()), X[:0])
BAD_Y = (*ANYTHING, jnp.ones(()), Y[:3], Y[:0])
BAD_LIKELIHOOD = (
    *ANYTHING,
    categorical,
    Likelihood("mine", gaussian().nll, lambda outputs: outputs),
    Likelihood("mine", gaussian().nll, lambda outputs: jnp.ones((2, 2))),
    Likelihood("mine", gaussian().nll, lambda outputs: jnp.ones((*outputs.shape, 1), int)),
)
BAD_NLL = (
    *ANYTHING,
    Likelihood("mine", lambda f, y: jnp.mean(f - y), gaussian().fisher_factor),
    Likelihood("mine", lambda f, y: f - y, gaussian().fisher_factor),
)
BAD_TREE = (PARAMS["w"], {"v": PARAMS["w"]}, {"w": PARAMS["w"].T}, [PARAMS["w"]])
BAD_DIFFERENCES = (np.ones((2, 2)), np.float64(1.0), "x", None, ["a", "b"], {"a": 1.0})
BAD_SEED = (-1, 1.5, True, None, "0")

_FISHER = {"apply_fn": _model, "likelihood": gaussian(), "params": PARAMS, "x": X}
_BAD_FISHER = {
    "apply_fn": BAD_MODEL,
    "likelihood": BAD_LIKELIHOOD,
    "params": BAD_PARAMS,
    "x": BAD_X,
}
_DRAWN = {**_FISHER, "key": KEY, "num_samples": 2}
_BAD_DRAWN = {
    "apply_fn": BAD_MODEL,
    "params": BAD_PARAMS,
    "x": BAD_X,
    "likelihood": (*ANYTHING, bernoulli()._replace(sample=None)),
    "key": BAD_KEY,
    "num_samples": BAD_COUNT,
}
_BAD_EMPIRICAL = {**_BAD_FISHER, "likelihood": BAD_NLL, "y": BAD_Y}
_LAYER = {"inputs": X, "deltas": Y}
_BAD_LAYER = {
    "inputs": (*ANYTHING, X[0], X[:3], X[:0], X.astype(int)),
    "deltas": (*ANYTHING, Y[0], Y[:3], Y.astype(int)),
}
_LANCZOS = {"matvec": lambda v: MATRIX @ v, "dim": 4, "key": KEY}
_BAD_LANCZOS = {
    "matvec": (None, MATRIX, lambda v: v[1:], lambda v: v[None], lambda v: (v, v)),
    "dim": BAD_COUNT,
    "key": BAD_KEY,
}


def _changed(**changes: Any) -> Any:
    return DATA._replace(**changes)


_NAN = np.where(np.arange(250)[:, None] == 7, np.nan, DATA.x_train)
BAD_DATA = (
    *ANYTHING,
    _changed(x_train=np.float32(_NAN)),
    _changed(x_test=np.float32(np.full((250, 2), np.inf))),
    _changed(x_train=DATA.x_train.astype(int)),
    _changed(x_train=DATA.x_train.astype(object)),
    _changed(x_train=DATA.x_train[:9]),
    _changed(x_train=DATA.x_train[:0], y_train=DATA.y_train[:0]),
    _changed(x_train=DATA.x_train[:, :1]),
    _changed(x_train=DATA.x_train[0]),
    _changed(y_train=DATA.y_train + 1),
    _changed(y_test=DATA.y_test - 1),
    _changed(y_train=DATA.y_train.astype(str)),
    _changed(num_classes=1),
    _changed(num_classes="two"),
)


def _structure(**changes: Any) -> Structure:
    given: dict[str, Any] = {"model": MLP((2,), 2), "likelihood": categorical(), **changes}
    return Structure(**given)


def _sweep(**changes: Any) -> Any:
    given: dict[str, Any] = {
        "train_fn": make_train_fn(STRUCTURE, DATA),
        "keys": jax.random.split(KEY, 2),
        "hypers": stack_hypers(grid(learning_rate=[0.1, 0.2])),
        "block": 2,
        "width": 1,
    }
    return run_sweep(**{**given, **changes})


_Entry = tuple[Callable[..., Any], Mapping[str, Any], Mapping[str, Sequence[Any]]]


def _of(function: Callable[..., Any], argument: str, good: Any, bad: Sequence[Any]) -> _Entry:
    return function, {argument: good}, {argument: bad}


_PAIR = {"a": PARAMS, "b": PARAMS}
_BAD_PAIR = {"a": BAD_TREE, "b": BAD_TREE}

CALLS: Mapping[str, _Entry] = MappingProxyType(
    {
        "fisher_factor": (fisher.fisher_factor, _FISHER, _BAD_FISHER),
        "fisher_vector_product": (fisher.fisher_vector_product, _FISHER, _BAD_FISHER),
        "fisher_matrix": (matrix.fisher_matrix, _FISHER, _BAD_FISHER),
        "fisher_spectrum": (spectrum.fisher_spectrum, _FISHER, _BAD_FISHER),
        "monte_carlo_fisher_factor": (fisher.monte_carlo_fisher_factor, _DRAWN, _BAD_DRAWN),
        "monte_carlo_fisher_vector_product": (
            fisher.monte_carlo_fisher_vector_product,
            _DRAWN,
            _BAD_DRAWN,
        ),
        "empirical_fisher_factor": (
            fisher.empirical_fisher_factor,
            {**_FISHER, "y": Y},
            _BAD_EMPIRICAL,
        ),
        "empirical_fisher_vector_product": (
            fisher.empirical_fisher_vector_product,
            {**_FISHER, "y": Y},
            _BAD_EMPIRICAL,
        ),
        "fisher_layers": (
            fisher_layers,
            {"tapped_fn": _tapped, "likelihood": gaussian(), "params": PARAMS, "x": X},
            {
                "tapped_fn": (None, 3, lambda params, x, tap: x @ params["w"]),
                "likelihood": BAD_LIKELIHOOD,
                "x": BAD_X,
            },
        ),
        "fisher_diagonal": _of(fisher.fisher_diagonal, "A", A, BAD_MATRIX),
        "fisher_blocks": (
            fisher.fisher_blocks,
            {"A": jnp.ones((5, 6)), "params": PARAMS, "by": "leaf"},
            {
                "A": (*BAD_MATRIX, A),
                "params": ({}, None, {"w": X}),
                "by": ("unit", None, 1, ["leaf"]),
            },
        ),
        "mean_covariance_split": (
            fisher.mean_covariance_split,
            {"A": A},
            {"A": BAD_FACTOR, "rank": (*BAD_COUNT, 3)},
        ),
        "unit_fisher": (fisher.unit_fisher, _LAYER, _BAD_LAYER),
        "spectrum_of_gram": _of(spectrum.spectrum_of_gram, "A", A, (*BAD_FACTOR, A[:0])),
        "conditioning": (
            spectrum.conditioning,
            {"eigenvalues": VECTOR, "rcond": 0.1},
            {"eigenvalues": (*BAD_VECTOR, VECTOR[:0]), "rcond": BAD_RCOND},
        ),
        "top_eigenpairs": (
            spectrum.top_eigenpairs,
            {**_LANCZOS, "k": 2},
            {**_BAD_LANCZOS, "k": (*BAD_COUNT, 5), "num_iterations": BAD_COUNT},
        ),
        "spectral_density": (
            spectrum.spectral_density,
            {**_LANCZOS, "num_probes": 2, "num_steps": 2},
            {
                **_BAD_LANCZOS,
                "num_probes": BAD_COUNT,
                "num_steps": (*BAD_COUNT, 5),
                "batch_size": BAD_COUNT,
            },
        ),
        "moment": (
            spectrum.moment,
            {"density": DENSITY, "k": 1},
            {"density": (*ANYTHING, VECTOR), "k": (-1, 1.5, None, "1", True)},
        ),
        "cumulative": (
            spectrum.cumulative,
            {"density": DENSITY, "grid": VECTOR},
            {"density": ANYTHING, "grid": BAD_VECTOR},
        ),
        "density_on_grid": (
            spectrum.density_on_grid,
            {"density": DENSITY, "grid": VECTOR, "bandwidth": 0.1},
            {"grid": BAD_VECTOR, "bandwidth": (0.0, -1.0, NAN, None, "1", True)},
        ),
        "natural_gradient": (
            natural.natural_gradient,
            {"A": A, "grad": VECTOR, "damping": 0.1},
            {"A": BAD_FACTOR, "grad": BAD_GRAD, "damping": BAD_DAMPING},
        ),
        "natural_gradient_pinv": (
            natural.natural_gradient_pinv,
            {"A": A, "grad": VECTOR, "rcond": 0.1},
            {"A": BAD_FACTOR, "grad": BAD_GRAD, "rcond": BAD_RCOND},
        ),
        "natural_gradient_cg": (
            natural.natural_gradient_cg,
            {
                "product": lambda v: MATRIX @ v,
                "grad": VECTOR,
                "damping": 0.1,
                "num_iterations": 3,
                "tolerance": 0.1,
            },
            {
                "product": (None, MATRIX, lambda v: v[1:], lambda v: (v, v)),
                "grad": BAD_VECTOR,
                "damping": BAD_DAMPING,
                "num_iterations": BAD_COUNT,
                "tolerance": (-0.1, 1.0, NAN, "1", None, True),
            },
        ),
        "natural_gradient_diagonal": (
            natural.natural_gradient_diagonal,
            {"diagonal": VECTOR, "grad": VECTOR, "damping": 0.1},
            {"diagonal": BAD_GRAD, "grad": BAD_GRAD, "damping": BAD_DAMPING},
        ),
        "unit_natural_gradient": (
            natural.unit_natural_gradient,
            {**_LAYER, "damping": 0.1},
            {**_BAD_LAYER, "damping": BAD_DAMPING, "grad": ("x", X[0], X[:3], X.astype(int))},
        ),
        "compare_directions": (
            natural.compare_directions,
            {"a": VECTOR, "b": VECTOR},
            {"a": BAD_GRAD, "b": BAD_GRAD, "A": ("x", A[0], A[:, :3], A.astype(int))},
        ),
        "kfac_factors": (kfac.kfac_factors, _LAYER, {**_BAD_LAYER, "bias": (1, None, "yes")}),
        "kfac_spectrum": (kfac.kfac_spectrum, _LAYER, {**_BAD_LAYER, "bias": (1, None, "yes")}),
        "kfac_natural_gradient": (
            kfac.kfac_natural_gradient,
            {**_LAYER, "grad": jnp.ones((4, 2)), "damping": 0.1},
            {**_BAD_LAYER, "grad": (*ANYTHING, Y[0], Y[:2], Y.T), "damping": BAD_DAMPING},
        ),
        "spiked_covariance": (
            theory.spiked_covariance,
            {"dim": 4, "num_samples": 8, "mean": 1.0, "var": 1.0},
            {"dim": BAD_COUNT, "num_samples": BAD_COUNT, "var": ("1", None)},
        ),
        "null_unanimity": _of(theory.null_unanimity, "n", 3, BAD_COUNT),
        "sign_coherence": _of(signs.sign_coherence, "kernel_grad", A, BAD_MATRIX),
        "sign_unanimity": _of(signs.sign_unanimity, "kernel_grad", A, BAD_MATRIX),
        "pair_sign_agreement": _of(signs.pair_sign_agreement, "kernel_grad", A, BAD_MATRIX),
        "sign_agreement": (signs.sign_agreement, _PAIR, _BAD_PAIR),
        "sign_flips": (
            signs.sign_flips,
            {"before": PARAMS, "after": PARAMS},
            {"before": BAD_TREE, "after": BAD_TREE},
        ),
        "coherence_chance_level": _of(signs.coherence_chance_level, "n", 3, BAD_COUNT),
        "turning_cosine": (zigzag.turning_cosine, _PAIR, _BAD_PAIR),
        "extend": (
            zigzag.extend,
            {"path": zigzag.empty_path(PARAMS), "updates": PARAMS},
            {"path": ANYTHING, "updates": ({}, {"w": X})},
        ),
        "valley_crossing": _of(zigzag.valley_crossing, "projections", VECTOR, BAD_VECTOR),
        "m_coherence": _of(
            gradients.m_coherence,
            "grads",
            A,
            ({}, None, jnp.ones(()), A.astype(int), [A, A[:3]], "x"),
        ),
        "mean_energy": _of(activity.mean_energy, "activations", A, BAD_MATRIX),
        "c_value": _of(activity.c_value, "activations", A, BAD_MATRIX),
        "q_value": _of(activity.q_value, "activations", A, BAD_MATRIX),
        "bias_shift": (
            activity.bias_shift,
            {"inputs": X, "kernel_updates": PARAMS["w"]},
            {"inputs": (*ANYTHING, X[0], X.T), "kernel_updates": (*ANYTHING, X, X[0])},
        ),
        "paired_bootstrap": (
            stats.paired_bootstrap,
            {"differences": np.arange(9.0), "seed": 0},
            {
                "differences": BAD_DIFFERENCES,
                "seed": BAD_SEED,
                "confidence": (0.0, 1.0, NAN, "95%", None),
                "num_resamples": (0, -1, 1, 1.5, "9", None),
                "statistic": ("mode", None, 1),
            },
        ),
        "paired_permutation_test": (
            stats.paired_permutation_test,
            {"differences": np.arange(9.0), "seed": 0},
            {
                "differences": BAD_DIFFERENCES,
                "seed": BAD_SEED,
                "alternative": ("both", None, 2),
                "num_resamples": (0, -1, 1.5, "9", None),
            },
        ),
        "holm": _of(
            stats.holm, "p_values", np.ones(2), (np.ones((2, 2)), [2.0], [-0.1], "x", None)
        ),
        "ratio_interval": (
            stats.ratio_interval,
            {"a": np.ones(4), "b": np.ones(4), "seed": 0},
            {"a": (np.ones(3), np.ones((4, 1)), "x"), "b": (np.ones(3), None), "seed": BAD_SEED},
        ),
        "mean_evidence": _of(mean_evidence, "values", np.ones(4), (np.ones((2, 2)), "x", None)),
        "exact_evidence": _of(exact_evidence, "values", np.ones(4), ("x", ["a"], {"a": 1})),
        "rule_of": _of(rule_of, "bounds", (0.0, 1.0), ((1.0, 0.0), (NAN, 1.0), (1.0,), "x")),
        "gaussian": _of(gaussian, "variance", 1.0, (0.0, -1.0, INF, NAN, "1", None)),
        "get_likelihood": _of(
            get_likelihood, "name", "gaussian", ("gausian", "", None, 3, ["gaussian"])
        ),
        "get_activation": _of(
            get_activation, "activation", "relu", ("relo", "", None, 3, ["relu"])
        ),
        "offset": _of(offset, "hidden", 1.0, ("1", None, [1.0])),
        "load": (
            load,
            {"name": "xor"},
            {
                "name": (
                    "xro",
                    "",
                    None,
                    3,
                    "npz:",
                    "npz:/nowhere.npz",
                    "npz:\0",
                    "npz:" + "x" * 5000,
                ),
                "noise": (-0.1, 0.6, NAN, "0", True),
                "seed": (-1, 2**32, 1.5, "0", True),
                "num_train": (0, -1, 251, 1.5, "9", True),
            },
        ),
        "Structure": (
            _structure,
            {},
            {
                "steps": BAD_COUNT,
                "batch_size": (0, -1, 1.5, True, "3"),
                "record_every": (*BAD_COUNT, 7),
                "nonnegative": (("dense_9",), "dense_0", 3),
                "likelihood": ANYTHING,
                "inverse_period": BAD_COUNT,
            },
        ),
        "make_train_fn": (
            make_train_fn,
            {"structure": STRUCTURE, "data": DATA},
            {
                "data": BAD_DATA,
                "structure": (
                    *ANYTHING,
                    _structure(batch_size=999),
                    _structure(optimizer="sdg"),
                    _structure(damping="none"),
                ),
                "probe": ANYTHING,
            },
        ),
        "check_optimizer": _of(check_optimizer, "name", "sgd", ("sdg", "", None, 3)),
        "grid": (
            grid,
            {"learning_rate": [0.1]},
            {"learning_rat": ([0.1],), "momentum": (0.9, None, "x"), "learning_rate": (0.1, None)},
        ),
        "run_sweep": (
            _sweep,
            {},
            {
                "keys": (*ANYTHING, KEY, jax.random.split(KEY, 3)),
                "hypers": (stack_hypers(grid(learning_rate=[1, 2, 3])), Hyper(0.1), {}),
                "block": BAD_COUNT,
                "width": (*BAD_COUNT, 3),
            },
        ),
        "records.load": (
            load_records,
            {"run_dir": "/nowhere"},
            {"run_dir": ("/nowhere", "", __file__, None, 3, "\0", "x" * 5000)},
        ),
    }
)
"""Name -> function, right arguments, and wrong values of some of them."""
