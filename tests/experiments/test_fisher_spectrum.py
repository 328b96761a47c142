"""The spectrum at toy size: closed forms, slow twins, verdicts, and a run to the record."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from experiments._cli import UsageError
from experiments._fisher_spectrum import digit_networks, random_networks
from experiments._fisher_spectrum.activation import NAMES, chosen
from experiments._fisher_spectrum.claims import answer, decide_claims
from experiments._fisher_spectrum.digit_networks import Draw, Point, draw_fn
from experiments._fisher_spectrum.figures import draw_figures
from experiments._fisher_spectrum.plan import (
    ARMS,
    DOSES,
    NAME,
    Config,
    Plan,
    check_config,
    make_jobs,
)
from experiments._fisher_spectrum.random_networks import ensemble
from experiments._fisher_spectrum.results import (
    WIDTH_ARMS,
    Results,
    parabola_misfit,
    slopes,
    spectrum_table,
    width_table,
)
from experiments._session import Session
from signdyn.activations import get_activation
from signdyn.analysis.fisher import fisher_factor
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.likelihoods import categorical
from tests.experiments.findings import altered

LARGEST = 8
HIDDEN = (3, 2)
NUM_EXAMPLES = 12
NUM_OUTPUTS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = Config(
        out=str(tmp_path_factory.mktemp("out")),
        seeds=2,
        widths=("4", str(LARGEST)),
        hidden=tuple(map(str, HIDDEN)),
        num_examples=NUM_EXAMPLES,
        block=8,
    )
    widths, hidden = check_config(config)
    pixels = np.random.default_rng(0).uniform(0.2, 1.5, (30, 4))
    session = Session(NAME, config, {}, double=True)
    plan = Plan(config, widths, hidden, pixels, NUM_OUTPUTS, "toy", session)
    plan.session.run_all(lambda: make_jobs(plan), "toy?")
    return session.folder, pixels


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return Results(folder[0])


def key_of(seed: int):
    """The key that a replica of this seed gets."""
    return jax.random.fold_in(jax.random.key(0), seed)


def network(setting: str, width: int, seed: int):
    """An unmasked network: the same numbers as the sweep's, and a forward pass of its own."""
    point = ensemble(setting, width)
    params, x = random_networks._network(key_of(seed), point, LARGEST)
    cut = {
        name: {part: p[tuple(slice(min(width, n)) for n in p.shape)] for part, p in layer.items()}
        for name, layer in params.items()
    }
    phi = get_activation(random_networks.SETTINGS[setting][0]).fn
    return cut, x[:width, :width], phi


def hidden_of(params, x, phi):
    h = [x]
    for name in ("dense_0", "dense_1"):
        h.append(phi(h[-1] @ params[name]["kernel"] + params[name]["bias"]))
    return h


@pytest.mark.parametrize("width", [4, LARGEST])
@pytest.mark.parametrize("setting", ["relu", "tanh"])
def test_a_masked_network_has_the_spectrum_of_one_without_masks(results, setting, width):
    place = list(results.widths).index(width)
    params, x, phi = network(setting, width, seed=1)
    means = [jnp.mean(h, axis=0) for h in hidden_of(params, x, phi)[1:]]

    def outputs(params, centered: bool):
        h = z = x
        for index, name in enumerate(("dense_0", "dense_1", "dense_2")):
            shift = means[index - 1] if centered and index else 0.0
            layer = params[name]
            # the same function: what is subtracted is added again, by constants
            back = jax.lax.stop_gradient(shift @ layer["kernel"]) if centered and index else 0.0
            z = (h - shift) @ layer["kernel"] + back + layer["bias"]
            h = phi(z)
        return z[:, 0]

    for arm in WIDTH_ARMS:
        jacobian = jax.jacobian(partial(outputs, centered=arm == "centered"))(params)
        J = np.concatenate([leaf.reshape(width, -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
        eigenvalues = np.linalg.eigvalsh(J.T @ J / width)
        measured = {
            name: results.random(setting, name, arm)[1, place]
            for name in ("lambda_max", "mean_eigenvalue", "mean_square_eigenvalue")
        }
        # the sweep's points are float32, so .64 and .1 are not quite
        np.testing.assert_allclose(measured["lambda_max"], eigenvalues[-1], rtol=1e-6)
        np.testing.assert_allclose(measured["mean_eigenvalue"], eigenvalues.mean(), rtol=1e-6)
        square = np.mean(eigenvalues**2)
        np.testing.assert_allclose(measured["mean_square_eigenvalue"], square, rtol=1e-6)


def test_overlaps_are_mean_products_over_pairs_of_different_examples(results):
    width = 4
    params, x, phi = network("tanh", width, seed=0)
    pairs = ~np.eye(width, dtype=bool)
    expected = [float((h @ h.T)[pairs].mean()) / width for h in hidden_of(params, x, phi)]
    measured = results.random("tanh", "input_overlap")[0, 0]
    np.testing.assert_allclose(measured, expected, rtol=1e-6)
    deltas = results.random("tanh", "delta_overlap")[0, 0]
    assert deltas[-1] == pytest.approx(1.0)  # d output / d output
    kappa = results.random("tanh", "kappa_2")[0, 0]
    assert kappa == pytest.approx(measured @ deltas / 2.0)


def test_an_activation_chosen_by_number_is_that_activation():
    z = jnp.linspace(-2.0, 2.0, 9)
    for number, name in enumerate(NAMES):
        np.testing.assert_array_equal(chosen(float(number))(z), get_activation(name).fn(z))


def test_the_spectrum_on_digits_is_that_of_the_whole_jacobian(folder, results):
    draw = draw_fn(folder[1], HIDDEN, NUM_OUTPUTS, NUM_EXAMPLES)(key_of(1))
    for activation in NAMES:
        phi = get_activation(activation).fn
        scales = digit_networks._scales(draw, Point(float(NAMES.index(activation)), ARMS["raw"]))
        params = [(s * k, jnp.zeros(k.shape[1])) for s, k in zip(scales, draw.kernels, strict=True)]

        def apply_fn(params, x, phi=phi):
            for W, b in params[:-1]:
                x = phi(x @ W + b)
            return x @ params[-1][0] + params[-1][1]

        A = fisher_factor(apply_fn, categorical(), params, draw.x)
        expected = np.linalg.eigvalsh(A.T @ A)[::-1]
        row = results.digits(activation, "raw").isel(seed=1)
        np.testing.assert_allclose(row.eigenvalues, expected, rtol=1e-7, atol=1e-12)
        assert row.effective_rank == pytest.approx(expected.sum() ** 2 / (expected**2).sum())
        sizes = [ravel_pytree(layer)[0].size for layer in params]
        first = A[:, : sizes[0]]
        block = np.linalg.eigvalsh(first.T @ first)[-1]
        assert row.block_lambda_max[0] == pytest.approx(block)
        mean = draw.x.mean(axis=0)
        second = np.linalg.eigvalsh(draw.x.T @ draw.x / NUM_EXAMPLES)[-1]
        assert row.mean_length[0] == pytest.approx(mean @ mean)
        assert row.input_lambda_max[0] == pytest.approx(second)
        assert row.mean_share[0] == pytest.approx((mean @ mean) / second)


def test_weights_keep_the_second_moment_of_preactivations_from_layer_to_layer():
    draw = Draw(jnp.zeros((1, 4)), (jnp.zeros((4, 8)), jnp.zeros((8, 2))), ())
    scales = digit_networks._scales(draw, Point(float(NAMES.index("relu")), ARMS["raw"]))
    # E[relu(z)^2] is 1/2, and inputs are of second moment one
    np.testing.assert_allclose(scales, [(1 / 4) ** 0.5, (2 / 8) ** 0.5], rtol=1e-9)


def test_a_linear_layer_on_one_repeated_input_has_only_the_spectrum_of_its_mean():
    # without hidden layers, every example the same: F = (x, 1)(x, 1)^T (x) (diag p - p p^T)
    x = jnp.array([1.0, 2.0])
    draw = Draw(jnp.tile(x, (5, 1)), (jnp.zeros((2, 3)),), (jnp.ones(2),))
    measured = jax.jit(digit_networks.measure)(draw, Point(0.0, ARMS["raw"]))
    expected = (1.0 + 4.0 + 1.0) / 3.0  # all p are 1/3
    np.testing.assert_allclose(measured["eigenvalues"][:3], [expected, expected, 0.0], atol=1e-12)
    np.testing.assert_allclose(measured["mean_eigenvalues"], [expected, expected, 0.0], atol=1e-12)
    np.testing.assert_allclose(measured["kfac_lambda_max"], [expected], rtol=1e-12)
    assert measured["rank"] == 2.0
    assert measured["mean_share"][0] == pytest.approx(1.0)


def test_flips_keep_every_eigenvalue_and_centering_leaves_no_mean(results):
    for activation in NAMES:
        raw, flipped, centered = (
            results.digits(activation, arm) for arm in ("raw", "flipped", "centered")
        )
        np.testing.assert_allclose(flipped.eigenvalues, raw.eigenvalues, atol=1e-13)
        np.testing.assert_allclose(flipped.mean_length, raw.mean_length, rtol=1e-12)
        np.testing.assert_allclose(centered.mean_length, 0.0, atol=1e-25)
        # the same function: only what the layers read differs
        np.testing.assert_allclose(centered.delta_lambda_max, raw.delta_lambda_max, rtol=1e-10)


def test_an_offset_makes_the_mean_of_every_hidden_unit(results):
    for place, dose in enumerate(DOSES):
        length = results.doses("tanh", "mean_length")[:, place + 1]
        expected = np.tile([0.0, *(dose**2 * units for units in HIDDEN)], (2, 1))
        np.testing.assert_allclose(length, expected, rtol=1e-6, atol=1e-20)


def test_a_parabola_has_no_misfit_and_a_line_has():
    doses = np.array(DOSES)
    both = np.stack([1.0 + 3.0 * doses**2, 1.0 + 3.0 * doses])
    fits = parabola_misfit(doses, both)
    assert fits[0] < 1e-12
    assert fits[1] > 0.1
    np.testing.assert_allclose(slopes(doses, doses[None] ** 3), [3.0])


class HandMade(Results):
    """A record made by hand: what theory says, or something else."""

    def __init__(self, results: Results, change=lambda width, digits: None):
        seeds = 12  # enough for a corrected p below .05
        self._width, self._digits = (
            part.isel(seed=np.zeros(seeds, int)).copy(deep=True).assign_coords(seed=range(seeds))
            for part in (results._width, results._digits)
        )
        rng = np.random.default_rng(0)
        noise = xr.DataArray(1.0 + 0.01 * rng.uniform(-1, 1, seeds), dims="seed")
        width, digits = self._width, self._digits
        for place in range(width.sizes["variant"]):
            here = {"variant": place}
            setting, size = width.setting.values[place], width.width.values[place]
            theory = random_networks.prediction(str(setting), int(size))
            raw = 8.0 if setting == "tanh without biases" else 0.8 * size
            width.lambda_max[here] = xr.DataArray([raw, 3.0], dims="arm") * noise
            if size == LARGEST and setting != "tanh without biases":
                width.mean_eigenvalue[here] = theory.mean * noise
                width.kappa_2[here] = theory.kappa2 * noise
        for name in ("lambda_max", "condition_number", "effective_rank"):
            factor = np.where(digits.arm == "centered", 5.0, 1.0)
            factor = factor if name == "effective_rank" else 1.0 / factor
            scale = {"condition_number": 1e6}.get(name, 1.0)
            digits[name][:] = scale * xr.DataArray(factor, dims="variant") * noise
        change(width, digits)


def verdicts(results: Results) -> dict[str, str]:
    return {finding.claim.id: finding.verdict for finding in decide_claims(results)}


def test_verdicts_follow_the_evidence(results):
    told = verdicts(HandMade(results))
    supported = ("relu_grows", "relu_centered", "tanh_grows", "tanh_without_biases", "relu_mean")
    supported += ("relu_kappa_2", "digits_lambda_relu", "digits_rank_tanh", "digits_kappa_sigmoid")
    supported += ("flip", "again", "mean_share_centered")
    assert {id: told[id] for id in supported} == dict.fromkeys(supported, SUPPORTED)
    assert told["tanh_is_centered"] == told["well_conditioned_relu"] == REFUTED

    def other_way(width, digits):
        raw, centered = width.lambda_max.isel(arm=0).copy(), width.lambda_max.isel(arm=1).copy()
        width.lambda_max[{"arm": 0}], width.lambda_max[{"arm": 1}] = centered, raw
        width.kappa_2[:] *= 1.5
        digits.condition_number[:] = digits.condition_number / 1e5
        digits.lambda_max[:] = 1.0 / digits.lambda_max
        digits.eigenvalues[{"variant": 1}] *= 1.1

    told = verdicts(HandMade(results, other_way))
    refuted = ("relu_grows", "relu_centered", "relu_kappa_2", "digits_lambda_relu", "flip")
    assert {id: told[id] for id in refuted} == dict.fromkeys(refuted, REFUTED)
    assert told["tanh_is_centered"] == told["well_conditioned_relu"] == SUPPORTED


def test_the_answer_tells_each_sentence_as_far_as_its_verdict_bears_it(results):
    found = altered(decide_claims(HandMade(results)), **KNOWN)
    told = answer(found)
    for number in ("width^1.00", "factor of 1.01", "1.10 times", "90% of its", "8.0 (relu)"):
        assert number in told
    assert "pen" not in told
    changed = {"relu_grows": 0.5, "relu_lambda_max": 1.3, "relu_centered": np.nan}
    changed |= {"tanh_is_centered": 0.01, "mean_lambda_max": 2.0}
    sentences = told.split(". ")
    assert len(sentences) == len(changed)
    for sentence, (id, effect) in zip(sentences, changed.items(), strict=True):
        told = answer(altered(found, **{id: effect}))
        assert sentence.removesuffix(".") not in told
        assert told.endswith(f"Open: see {id}.")
        assert "nan" not in told


KNOWN = {"relu_grows": 1.0, "relu_lambda_max": 1.01, "relu_centered": 1.1, "tanh_is_centered": 0.9}
KNOWN |= {"mean_lambda_max": 1.0, "digits_lambda_relu": 8.0, "digits_lambda_tanh": 6.0}
KNOWN["digits_lambda_sigmoid"] = 4.0


def test_two_seeds_decide_nothing_that_needs_an_interval(results):
    findings = decide_claims(results)
    assert {finding.verdict for finding in findings} == {INCONCLUSIVE}
    assert [finding.claim.id for finding in findings if finding.claim.control] == ["again"]
    assert "does not confirm" in answer(findings)


def test_figures_show_the_record_and_the_theory(results):
    figures = draw_figures(results)
    assert list(figures) == ["fisher_width", "fisher_spectrum", "fisher_dose"]
    assert all(caption for _, caption in figures.values())
    relu = figures["fisher_width"][0].axes[0]
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in relu.lines}
    raw = np.median(results.random("relu", "lambda_max"), axis=0)
    np.testing.assert_allclose(lines["raw"], raw)
    theory = [random_networks.prediction("relu", int(w)).lambda_max for w in results.widths]
    np.testing.assert_allclose(lines["mean-field theory, raw"], theory)
    without = figures["fisher_width"][0].axes[2]
    assert "mean-field theory, raw" not in [line.get_label() for line in without.lines]


def test_tables_have_a_row_an_arm_and_a_row_a_width(results):
    assert len(spectrum_table(results).rows) == 9
    assert len(width_table(results).rows) == 6


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"widths": ("32", "x")}, "--widths"),
        ({"widths": ("64", "32")}, "ascending"),
        ({"widths": ("64",)}, "two or more"),
        ({"hidden": ("0",)}, "--hidden"),
        ({"hidden": ()}, "one or more"),
    ],
)
def test_what_a_user_can_get_wrong_is_told_in_one_sentence(fields, word):
    with pytest.raises(UsageError, match=word):
        check_config(Config(**fields))
