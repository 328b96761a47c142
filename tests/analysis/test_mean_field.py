"""Mean-field predictions: Gaussian expectations in closed form, then networks that are drawn."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.sparse.linalg import eigsh

from signdyn.activations import ACTIVATIONS, Activation, get_activation
from signdyn.analysis._mean_field import gaussian_pair_moments
from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.theory import critical_learning_rate, mean_field_fisher, mean_field_layers
from signdyn.likelihoods import gaussian

CORRELATIONS = (-1.0, -0.999999, -0.5, 0.0, 1e-9, 0.3, 0.999, 0.999999, 1.0)

# Derivatives for NumPy, of the activations that networks are drawn with.
NUMPY = {
    "relu": (lambda u: np.maximum(u, 0), lambda u: (u > 0).astype(float)),
    "tanh": (np.tanh, lambda u: 1 / np.cosh(u) ** 2),
}
TANH, RELU = ("tanh", 3.0, 0.64), ("relu", 2.0, 0.1)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("moment", [0.3, 50.0])
def test_relu_expectations_are_the_arc_cosine_kernels(moment, correlation):
    angle = math.acos(correlation)
    value, slope = gaussian_pair_moments(get_activation("relu"), moment, moment * correlation)
    kernel = (math.sin(angle) + (math.pi - angle) * correlation) / (2 * math.pi)
    assert value == pytest.approx(moment * kernel, rel=1e-12, abs=1e-14)
    assert slope == pytest.approx((math.pi - angle) / (2 * math.pi), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_sine_expectations_are_hyperbolic_functions_of_the_overlap(correlation):
    moment = 25.0  # five radians a standard deviation
    value, slope = gaussian_pair_moments(get_activation("sin"), moment, moment * correlation)
    decay, overlap = math.exp(-moment), moment * correlation
    assert value == pytest.approx(decay * math.sinh(overlap), abs=1e-13)
    assert slope == pytest.approx(decay * math.cosh(overlap), abs=1e-13)


@functools.cache
def hermite_table(order):
    """Return z and the rows density(z) h_n(z) of normalized Hermite polynomials, n < order."""
    z = np.linspace(-12, 12, 24_001)  # kinks at multiples of 1/2 are nodes of Simpson's panels
    rows = [np.ones_like(z), z]
    for n in range(1, order - 1):
        rows.append((z * rows[n] - math.sqrt(n) * rows[n - 1]) / math.sqrt(n + 1))
    return z, np.array(rows) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_expectations_of_every_activation_equal_their_hermite_series(name):
    # E[phi(2 z) phi(2 z')] = sum a_n^2 r^n (Mehler), and its derivative in the overlap 4 r is
    # E[phi' phi'] (Price): an independent twin without derivatives of phi. .6^100 is 1e-22.
    z, table = hermite_table(100)
    values = np.asarray(jax.jit(ACTIVATIONS[name].fn)(jnp.asarray(2.0 * z)))
    squares = simpson(table * values, x=z) ** 2
    n = np.arange(100)
    for correlation in (-0.6, 0.6):
        value, slope = gaussian_pair_moments(ACTIVATIONS[name], 4.0, 4.0 * correlation)
        assert value == pytest.approx(squares @ correlation**n, rel=1e-9, abs=1e-10)
        series = (n[1:] * squares[1:]) @ correlation ** (n[1:] - 1) / 4.0
        assert slope == pytest.approx(series, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", ["gelu", "selu", "hard_sigmoid"])
def test_at_full_overlap_the_expectations_are_the_moments_of_the_activation(name):
    activation = ACTIVATIONS[name]
    value, slope = gaussian_pair_moments(activation, 1.0, 1.0)
    assert value == pytest.approx(activation.gaussian_second_moment, rel=1e-12)
    assert slope == pytest.approx(activation.gaussian_derivative_second_moment, rel=1e-12)
    without_overlap, _ = gaussian_pair_moments(activation, 1.0, 0.0)
    assert without_overlap == pytest.approx(activation.gaussian_mean**2, rel=1e-12)


def test_a_slope_that_is_infinite_at_the_kink_leaves_the_expectations_finite():
    root = Activation("root", lambda z: jnp.sqrt(jnp.abs(z)))
    value, slope = gaussian_pair_moments(root, 1.0, 0.0)
    expected = math.sqrt(2) * math.gamma(0.75) ** 2 / math.pi  # E[|z|^{1/2}]^2
    assert value == pytest.approx(expected, rel=1e-4)
    assert math.isfinite(slope)


def test_a_missing_kink_costs_accuracy_that_naming_it_restores():
    shifted = Activation("shifted", lambda z: jax.nn.relu(z - 0.3), (0.3,))
    without = dataclasses.replace(shifted, kinks=())
    above = math.erfc(0.3 / math.sqrt(2)) / 2  # P(z > .3)
    assert gaussian_pair_moments(shifted, 1.0, 1.0)[1] == pytest.approx(above, rel=1e-13)
    assert abs(gaussian_pair_moments(without, 1.0, 1.0)[1] - above) > 1e-4


def test_relu_layers_follow_the_recursion_worked_out_by_hand():
    layers = mean_field_layers("relu", 3, 2.0, 0.1)
    mean1 = 2.1 / (2 * math.pi)  # E[u^2] = 2.1, E[u u'] = .1: nearly E[relu]^2
    np.testing.assert_allclose(layers.second_moments, [2.1, 2.2, 2.3], rtol=1e-13)
    np.testing.assert_allclose(layers.input_second_moments, [1.0, 1.05, 1.1], rtol=1e-13)
    np.testing.assert_allclose(layers.delta_second_moments, [1.0, 1.0, 1.0], rtol=1e-13)
    angle = math.acos(0.1 / 2.1)
    kernel = mean1 * (math.sin(angle) + (math.pi - angle) * math.cos(angle))
    np.testing.assert_allclose(layers.input_overlaps[:2], [0.0, kernel], rtol=1e-13)
    np.testing.assert_allclose(layers.overlaps[:2], [0.1, 2 * kernel + 0.1], rtol=1e-13)
    above = math.acos((2 * kernel + 0.1) / 2.2)
    shares = [(math.pi - a) / math.pi for a in (angle, above)]
    expected = [shares[0] * shares[1], shares[1], 1.0]
    np.testing.assert_allclose(layers.delta_overlaps, expected, rtol=1e-13)


def test_inputs_that_are_all_the_same_overlap_fully_in_every_layer():
    layers = mean_field_layers("gelu", 4, 1.7, 0.2, input_second_moment=0.6, input_overlap=0.6)
    np.testing.assert_allclose(layers.input_overlaps, layers.input_second_moments, rtol=1e-12)
    np.testing.assert_allclose(layers.delta_overlaps, layers.delta_second_moments, rtol=1e-12)


def test_centering_keeps_the_deltas_and_leaves_the_hidden_layers_no_overlap():
    raw = mean_field_layers("sigmoid", 3, 2.0, 0.3, input_overlap=0.2)
    centered = mean_field_layers("sigmoid", 3, 2.0, 0.3, input_overlap=0.2, centered=True)
    np.testing.assert_array_equal(centered.delta_overlaps, raw.delta_overlaps)
    np.testing.assert_array_equal(centered.overlaps, raw.overlaps)
    np.testing.assert_array_equal(centered.input_overlaps, [0.2, 0.0, 0.0])
    variance = raw.input_second_moments - raw.input_overlaps
    np.testing.assert_allclose(centered.input_second_moments[1:], variance[1:], rtol=1e-15)
    assert centered.input_second_moments[0] == 1.0


def test_the_statistics_are_those_of_the_two_valued_kernel():
    # T * C examples' kernel of K1 on and K2 off the diagonal, in blocks of one output each.
    widths, T = (5, 7, 6, 3), 4
    layers = mean_field_layers("softplus", 3, 1.5, 0.2, input_overlap=0.1)
    fan_ins = np.array(widths[:-1])
    same = np.sum((fan_ins * layers.input_second_moments + 1) * layers.delta_second_moments)
    different = np.sum((fan_ins * layers.input_overlaps + 1) * layers.delta_overlaps)
    kernel = np.kron(np.eye(3), different + (same - different) * np.eye(T)) / T
    num_params = 5 * 7 + 7 + 7 * 6 + 6 + 6 * 3 + 3
    eigenvalues = np.linalg.eigvalsh(kernel)
    theory = mean_field_fisher("softplus", widths, T, 1.5, 0.2, input_overlap=0.1)
    assert theory.mean == pytest.approx(eigenvalues.sum() / num_params, rel=1e-12)
    assert theory.second_moment == pytest.approx((eigenvalues**2).sum() / num_params, rel=1e-12)
    assert theory.lambda_max == pytest.approx(eigenvalues[-1], rel=1e-12)


def test_the_finite_size_form_tends_to_leading_order_and_to_the_kappas():
    width, T = 10**6, 10**6
    theory = mean_field_fisher("relu", (width, width, width, 2), T, 2.0, 0.1)
    for finite, leading in zip(theory[2:5], theory.leading_order, strict=True):
        assert finite == pytest.approx(leading, rel=1e-4)
    alpha = 2  # pairs of layers of full width, L - 1
    assert theory.kappa1 == pytest.approx((1 + 1.05 + 1.1) / alpha, rel=1e-12)
    assert theory.leading_order.mean == pytest.approx(2 * theory.kappa1 / width, rel=1e-12)
    largest = alpha * ((T - 1) / T * theory.kappa2 + theory.kappa1 / T) * width
    assert theory.leading_order.lambda_max == pytest.approx(largest, rel=1e-12)


def test_predictions_are_constants_inside_a_compiled_function_of_any_precision():
    with jax.enable_x64(False):
        predict = jax.jit(lambda x: x * mean_field_fisher("relu", (8, 8, 1), 8, 2.0, 0.1).mean)
        inside = predict(jnp.float32(1.0))
    assert inside.dtype == jnp.float32
    outside = mean_field_fisher("relu", (8, 8, 1), 8, 2.0, 0.1).mean
    assert float(inside) == pytest.approx(outside, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("relu", (8, 1), 8, 2.0, 0.1), "expected widths.*spiked_covariance"),
        (("relu", (8, 0, 1), 8, 2.0, 0.1), "expected widths"),
        (("relu", (8, 8, 1), 0, 2.0, 0.1), "expected num_samples >= 1, got 0"),
        (("relu", (8, 8, 1), 8, -2.0, 0.1), "variances of 0 or more.*sigma_w2=-2.0"),
    ],
)
def test_networks_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mean_field_fisher(*arguments)


@pytest.mark.parametrize("overlap", [1.5, -1.5, math.nan])
def test_overlaps_beyond_the_second_moment_are_refused(overlap):
    with pytest.raises(ValueError, match=r"mean_field_layers: expected \|input_overlap\|"):
        mean_field_layers("relu", 2, 2.0, 0.1, input_overlap=overlap)
    with pytest.raises(ValueError, match="depth >= 1, got 0"):
        mean_field_layers("relu", 0, 2.0, 0.1)


# Networks that are drawn, in NumPy: with one output, F has the eigenvalues of the [T, T] kernel.


def draw_network(rng, widths, sigma_w2, sigma_b2):
    draw = lambda fan_in, units: (  # noqa: E731
        rng.normal(size=(fan_in, units)) * math.sqrt(sigma_w2 / fan_in),
        rng.normal(size=units) * math.sqrt(sigma_b2),
    )
    return [draw(*pair) for pair in itertools.pairwise(widths)]


def forward(network, x, phi):
    """Return what every layer reads, [T, fan_in], and its pre-activations, [T, units]."""
    inputs, preactivations = [x], []
    for kernel, bias in network:
        preactivations.append(inputs[-1] @ kernel + bias)
        inputs.append(phi(preactivations[-1]))
    return inputs[:-1], preactivations


def backward(network, preactivations, slope, output_deltas):
    deltas = [output_deltas]
    for (kernel, _), u in zip(network[:0:-1], preactivations[-2::-1], strict=True):
        deltas.insert(0, (deltas[0] @ kernel.T) * slope(u))
    return deltas


def kernel_of(inputs, deltas):
    pairs = zip(inputs, deltas, strict=True)
    return sum((h @ h.T + 1) * (d @ d.T) for h, d in pairs) / len(inputs[0])


def test_the_kernel_of_the_drawn_networks_is_that_of_their_fisher():
    rng = np.random.default_rng(0)
    network, x = draw_network(rng, (3, 4, 5, 1), 2.0, 0.5), rng.normal(size=(6, 3))

    def apply_fn(params, x):
        for kernel, bias in params[:-1]:
            x = jnp.tanh(x @ kernel + bias)
        return x @ params[-1][0] + params[-1][1]

    A = jax.jit(lambda p, x: fisher_factor(apply_fn, gaussian(), p, x))(network, jnp.asarray(x))
    inputs, preactivations = forward(network, x, NUMPY["tanh"][0])
    deltas = backward(network, preactivations, NUMPY["tanh"][1], np.ones((6, 1)))
    np.testing.assert_allclose(A @ A.T, kernel_of(inputs, deltas), atol=1e-12)


def largest_eigenvalue(kernel):
    return eigsh(kernel, k=1, v0=np.ones(len(kernel)), return_eigenvectors=False)[0]


@functools.cache
def measured_fisher(name, sigma_w2, sigma_b2, width, num_samples, num_nets):
    """Return mean m, s, lambda_max over nets of L = 3, and lambda_max with centered layers."""
    rng, (phi, slope) = np.random.default_rng(width), NUMPY[name]
    widths, results = (width, width, width, 1), []
    num_params = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    for _ in range(num_nets):
        network = draw_network(rng, widths, sigma_w2, sigma_b2)
        inputs, preactivations = forward(network, rng.normal(size=(num_samples, width)), phi)
        deltas = backward(network, preactivations, slope, np.ones((num_samples, 1)))
        raw = kernel_of(inputs, deltas)
        centered = kernel_of([inputs[0], *(h - h.mean(axis=0) for h in inputs[1:])], deltas)
        moments = np.trace(raw) / num_params, np.sum(raw**2) / num_params
        results.append((*moments, largest_eigenvalue(raw), largest_eigenvalue(centered)))
    return np.mean(results, axis=0)


@pytest.mark.parametrize("setting", [TANH, RELU], ids=["tanh", "relu"])
def test_drawn_networks_have_the_predicted_mean_square_and_maximum(setting):
    # Over 120 networks tanh's mean square exceeds its prediction by 6.4 % +- .7 % at width 500,
    # by 2.0 % +- 1.0 % at 1000, as the docstring says it must; the other averages are within 2 %.
    # One network varies by 8 % in its mean square, 4 % in the others.
    theory = mean_field_fisher(setting[0], (1000, 1000, 1000, 1), 500, *setting[1:])
    np.testing.assert_allclose(measured_fisher(*setting, 1000, 500, 8)[:3], theory[2:5], rtol=0.06)


@pytest.mark.parametrize("setting", [TANH, RELU], ids=["tanh", "relu"])
def test_the_predicted_mean_and_maximum_hold_at_width_500(setting):
    theory = mean_field_fisher(setting[0], (500, 500, 500, 1), 500, *setting[1:])
    measured = measured_fisher(*setting, 500, 500, 10)
    # lambda_max of one network varies by 4 % (tanh) or 7 % (relu).
    np.testing.assert_allclose(measured[[0, 2]], [theory.mean, theory.lambda_max], rtol=0.06)


def test_lambda_max_of_relu_networks_grows_with_width_unless_they_are_centered():
    for width, num_nets in ((200, 12), (400, 8), (800, 3)):
        _, _, raw, centered = measured_fisher(*RELU, width, width, num_nets)
        assert raw / width == pytest.approx(0.82, abs=0.06)
        assert centered < 12
        theory = mean_field_fisher(
            "relu", (width, width, width, 1), width, *RELU[1:], centered=True
        )
        assert theory.kappa2 == 0.0
        assert theory.lambda_max < centered  # a lower bound where there is no outlier


def test_tanh_is_centered_without_biases_only():
    biased, unbiased = (
        np.array([measured_fisher("tanh", 3.0, b, width, width, 6)[2] for width in (100, 400)])
        for b in (0.64, 0.0)
    )
    assert biased[1] / biased[0] > 3
    assert unbiased[1] / unbiased[0] < 1.3
    kappa2 = [mean_field_fisher("tanh", (9, 9, 9, 1), 9, 3.0, b).kappa2 for b in (0.64, 0.0)]
    assert kappa2[0] > 0.1
    assert abs(kappa2[1]) < 1e-15


def test_relu_networks_descend_below_and_diverge_above_the_critical_rate():
    # The curvature changes while the network learns: in 2 of 8 seeds tried the loss, far below its
    # start, turns after step 50 even below the critical rate. Above it all 8 exceed 3.3 times it.
    rng, T = np.random.default_rng(0), 256
    phi, slope = NUMPY["relu"]
    start, x = draw_network(rng, (T, T, T, 1), 2.0, 0.1), rng.normal(size=(T, T))
    inputs, preactivations = forward(start, x, phi)
    deltas = backward(start, preactivations, slope, np.ones((T, 1)))
    rate = float(critical_learning_rate(largest_eigenvalue(kernel_of(inputs, deltas))))
    labels = preactivations[-1] + rng.normal(size=(T, 1))

    def losses(learning_rate):
        network, history = start, []
        for _ in range(60):
            inputs, preactivations = forward(network, x, phi)
            residual = preactivations[-1] - labels
            history.append(np.sum(residual**2) / (2 * T))
            deltas = backward(network, preactivations, slope, residual / T)
            network = [
                (kernel - learning_rate * h.T @ d, bias - learning_rate * d.sum(axis=0))
                for (kernel, bias), h, d in zip(network, inputs, deltas, strict=True)
            ]
        return np.array(history) / history[0]

    assert np.all(np.diff(losses(0.98 * rate)) < 0)
    assert np.max(losses(1.1 * rate)) > 3
