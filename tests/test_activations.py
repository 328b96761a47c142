"""Activations: moments against closed forms, Stein's identity and Monte Carlo; the registry."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn import activations
from signdyn.activations import ACTIVATIONS, Activation, get_activation, register_activation

SHIPPED = (
    *("identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "mish"),
    *("sigmoid", "hard_sigmoid", "tanh", "lecun_tanh", "hard_tanh", "softsign", "abs"),
    *("squared_relu", "sin", "sigmoid_shifted", "sigmoid_as_tanh"),
)
ODD = (
    *("identity", "tanh", "lecun_tanh", "hard_tanh", "softsign", "sin"),
    *("sigmoid_shifted", "sigmoid_as_tanh"),
)

inverse_root_two_pi = 1 / math.sqrt(2 * math.pi)
mass_within_one = math.erf(1 / math.sqrt(2))
mass_within_three = math.erf(3 / math.sqrt(2))
# E[z^2; |z| < c] = P(|z| < c) - 2 c density(c)
hard_tanh_square = mass_within_one - 2 * inverse_root_two_pi * math.exp(-0.5) + 1 - mass_within_one
# E[(e^z - 1)^k; z < 0] by completing the square: E[e^(az); z < 0] = e^(a^2/2) Q(a).
upper = {a: 0.5 * math.erfc(a / math.sqrt(2)) for a in (1, 2)}
elu_mean = inverse_root_two_pi + math.exp(0.5) * upper[1] - 0.5
elu_square = 0.5 + math.exp(2) * upper[2] - 2 * math.exp(0.5) * upper[1] + 0.5


@pytest.fixture
def midpoint_rule():
    """Nodes and weights of an independent rule; 0, 1 and 3 lie between its cells, not in them."""
    width = 1 / 4096
    nodes = (np.arange(-9 * 4096, 9 * 4096) + 0.5) * width
    return nodes, width * np.exp(-(nodes**2) / 2) * inverse_root_two_pi


@pytest.mark.parametrize(
    ("name", "mean", "second_moment", "derivative_second_moment"),
    [
        ("identity", 0, 1, 1),
        ("relu", inverse_root_two_pi, 1 / 2, 1 / 2),
        ("leaky_relu", 0.99 * inverse_root_two_pi, (1 + 1e-4) / 2, (1 + 1e-4) / 2),
        ("elu", elu_mean, elu_square, 0.5 + math.exp(2) * upper[2]),
        ("abs", math.sqrt(2 / math.pi), 1, 1),
        ("squared_relu", 1 / 2, 3 / 2, 2),
        ("sin", 0, (1 - math.exp(-2)) / 2, (1 + math.exp(-2)) / 2),
        ("hard_tanh", 0, hard_tanh_square, mass_within_one),
    ],
)
def test_moments_equal_their_closed_forms(name, mean, second_moment, derivative_second_moment):
    activation = get_activation(name)
    np.testing.assert_allclose(activation.gaussian_mean, mean, atol=1e-10)
    np.testing.assert_allclose(activation.gaussian_second_moment, second_moment, atol=1e-10)
    np.testing.assert_allclose(
        activation.gaussian_derivative_second_moment, derivative_second_moment, atol=1e-10
    )


def test_the_exact_gelu_has_mean_half_over_root_pi():
    np.testing.assert_allclose(
        get_activation("gelu").gaussian_mean, 0.5 / math.sqrt(math.pi), atol=1e-10
    )


@pytest.mark.parametrize("name", ["sigmoid", "hard_sigmoid"])
def test_sigmoids_have_mean_one_half_by_symmetry(name):
    np.testing.assert_allclose(get_activation(name).gaussian_mean, 0.5, atol=1e-12)


def test_selu_maps_a_standard_normal_to_mean_zero_and_second_moment_one():
    selu = get_activation("selu")
    np.testing.assert_allclose(selu.gaussian_mean, 0, atol=1e-10)
    np.testing.assert_allclose(selu.gaussian_second_moment, 1, atol=1e-10)


def test_the_derivative_of_the_hard_sigmoid_is_a_sixth_within_three():
    np.testing.assert_allclose(
        get_activation("hard_sigmoid").gaussian_derivative_second_moment,
        mass_within_three / 36,
        atol=1e-10,
    )


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("relu", 0.683332),
        ("sigmoid", 2.400657),
        ("softplus", 1.546929),
        ("gelu", 0.479822),
        ("silu", 0.369270),
        ("elu", 0.203997),
        ("leaky_relu", 0.673328),
    ],
)
def test_off_centeredness_is_what_independent_prototypes_measured(name, ratio):
    np.testing.assert_allclose(get_activation(name).mean_over_sd, ratio, atol=5e-7)


@pytest.mark.parametrize("name", ODD)
def test_odd_functions_have_mean_zero(name):
    activation = get_activation(name)
    assert abs(activation.gaussian_mean) < 1e-12
    assert abs(activation.mean_over_sd) < 1e-12


@pytest.mark.parametrize("name", SHIPPED)
def test_steins_identity_ties_the_values_to_the_derivatives(name, midpoint_rule):
    """E[z phi(z)] = E[phi'(z)], and the moments agree with a rule that knows no kinks."""
    nodes, weights = midpoint_rule
    activation = get_activation(name)
    with jax.enable_x64(True):
        values_and_slopes = jax.jit(jax.vmap(jax.value_and_grad(activation.fn)))
        values, slopes = map(np.asarray, values_and_slopes(jnp.asarray(nodes)))
    # The midpoint rule is second order in its width: 1/4096^2 = 6e-8.
    np.testing.assert_allclose(weights @ (nodes * values), weights @ slopes, atol=1e-6)
    np.testing.assert_allclose(activation.gaussian_mean, weights @ values, atol=1e-6)
    np.testing.assert_allclose(activation.gaussian_second_moment, weights @ values**2, atol=1e-6)
    np.testing.assert_allclose(
        activation.gaussian_derivative_second_moment, weights @ slopes**2, atol=1e-6
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_moments_agree_with_a_sample_of_normals(name):
    activation = get_activation(name)
    values = np.asarray(activation(jax.random.normal(jax.random.key(0), (100_000,))))
    for power, moment in [(1, activation.gaussian_mean), (2, activation.gaussian_second_moment)]:
        standard_error = np.std(values**power) / math.sqrt(values.size)
        assert abs(np.mean(values**power) - moment) < 5 * standard_error + 1e-12


@pytest.mark.parametrize("name", SHIPPED)
def test_variance_is_second_moment_less_squared_mean(name):
    activation = get_activation(name)
    variance = activation.gaussian_second_moment - activation.gaussian_mean**2
    np.testing.assert_allclose(activation.gaussian_sd**2, variance, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", SHIPPED)
def test_values_and_gradients_are_finite_far_out_and_at_the_kink(name, dtype):
    fn = get_activation(name).fn
    with jax.enable_x64(dtype == jnp.float64):
        z = jnp.array([-100.0, -20.0, -3.0, -1.0, 0.0, 1.0, 3.0, 20.0, 100.0], dtype)
        values, slopes = jax.jit(jax.vmap(jax.value_and_grad(fn)))(z)
    assert values.dtype == slopes.dtype == dtype
    assert jnp.all(jnp.isfinite(values))
    assert jnp.all(jnp.isfinite(slopes))


def test_the_ladder_leads_from_the_sigmoid_to_tanh():
    z = jnp.linspace(-6, 6, 101)
    sigmoid = get_activation("sigmoid")(z)
    np.testing.assert_array_equal(get_activation("sigmoid_shifted")(z), sigmoid - 0.5)
    np.testing.assert_allclose(
        get_activation("sigmoid_as_tanh")(z), np.tanh(np.asarray(z)), atol=1e-6
    )
    assert get_activation("sigmoid_as_tanh").gaussian_second_moment == pytest.approx(
        get_activation("tanh").gaussian_second_moment, abs=1e-12
    )


def test_lecuns_tanh_is_one_at_one():
    np.testing.assert_allclose(get_activation("lecun_tanh")(jnp.array(1.0)), 1.0, atol=1e-4)


def test_moments_do_not_depend_on_the_global_precision():
    with jax.enable_x64(False):
        in_float32_mode = Activation("fresh", jax.nn.silu, ())
        assert in_float32_mode.gaussian_mean == get_activation("silu").gaussian_mean
        assert in_float32_mode.mean_over_sd == get_activation("silu").mean_over_sd


def test_moments_are_constants_while_jax_is_tracing():
    activation = Activation("fresh", jnp.exp, ())
    scaled = jax.jit(jax.vmap(lambda z: z * activation.gaussian_mean))(jnp.ones(3))
    np.testing.assert_allclose(scaled, math.exp(0.5), rtol=1e-6)
    assert isinstance(activation.gaussian_mean, float)


def test_a_kink_away_from_zero_is_integrated_exactly_once_it_is_named():
    shifted = Activation("shifted", lambda z: jax.nn.relu(z - 0.3), (0.3,))
    tail = 0.5 * math.erfc(0.3 / math.sqrt(2))
    density = inverse_root_two_pi * math.exp(-(0.3**2) / 2)
    np.testing.assert_allclose(shifted.gaussian_mean, density - 0.3 * tail, atol=1e-12)
    np.testing.assert_allclose(shifted.gaussian_derivative_second_moment, tail, atol=1e-12)


def test_a_constant_has_no_off_centeredness():
    constant = Activation("constant", lambda z: 0 * z + 0.1)
    assert constant.gaussian_sd == 0
    assert math.isnan(constant.mean_over_sd)


def test_a_function_that_is_not_elementwise_is_refused():
    with pytest.raises(ValueError, match="must be elementwise"):
        _ = Activation("total", jnp.sum).gaussian_mean


def test_importing_computes_no_moment():
    # The cached moments live in __dict__; a fresh activation must have its three fields alone.
    assert set(vars(Activation("fresh", jnp.tanh))) == {"name", "fn", "kinks"}


def test_every_promised_name_is_registered():
    assert set(SHIPPED) <= set(ACTIVATIONS)
    assert all(ACTIVATIONS[name].name == name for name in ACTIVATIONS)


def test_an_activation_is_a_static_argument_and_traces_once():
    traces = []

    def apply(activation, z):
        traces.append(activation.name)
        return activation(z)

    compiled = jax.jit(apply, static_argnums=0)
    compiled(get_activation("relu"), jnp.ones(2))
    compiled(get_activation(jax.nn.relu), jnp.ones(2))
    compiled(activations.leaky_relu(0.2), jnp.ones(2))
    compiled(activations.leaky_relu(0.2), jnp.ones(2))
    assert traces == ["relu", "leaky_relu_0.2"]


@pytest.mark.parametrize(("slope", "ratio"), [(0.1, 0.585477), (0.01, 0.673328)])
def test_the_leaky_relu_is_less_off_center_the_larger_its_slope(slope, ratio):
    np.testing.assert_allclose(activations.leaky_relu(slope).mean_over_sd, ratio, atol=5e-7)


def test_the_registry_cannot_be_written_past_its_function():
    with pytest.raises(TypeError):
        ACTIVATIONS["relu"] = ACTIVATIONS["tanh"]  # pyrefly: ignore


def test_an_unknown_name_lists_all_and_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'sigmoid'") as caught:
        get_activation("sigmod")
    assert all(name in str(caught.value) for name in ACTIVATIONS)


def test_a_callable_comes_back_as_an_activation_under_its_own_name():
    def bent(z):
        return z + jnp.abs(z) / 2

    assert get_activation(bent) == Activation("bent", bent)
    assert get_activation(get_activation(bent)) == get_activation(bent)


def test_a_registered_activation_is_found_by_name_and_cannot_be_replaced(monkeypatch):
    monkeypatch.setattr(activations, "_REGISTRY", dict(activations._REGISTRY))
    register_activation("mine", jnp.cos, kinks=())
    assert get_activation("mine").gaussian_mean == pytest.approx(math.exp(-0.5), abs=1e-12)
    assert register_activation("mine", jnp.cos, kinks=()) is not None
    with pytest.raises(ValueError, match="already the name of"):
        register_activation("mine", jnp.sin, kinks=())
    with pytest.raises(ValueError, match="already the name of"):
        register_activation("relu", jnp.cos)
    assert get_activation("relu").fn is jax.nn.relu
