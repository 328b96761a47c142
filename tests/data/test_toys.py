"""Toy problems: geometry of the playground's four data sets."""

import numpy as np
import pytest

from signdyn.data import load
from signdyn.data.toys import TOYS


def all_points(name, **options):
    """Return all 500 points and labels, training and test together."""
    data = load(name, **options)
    return np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])


@pytest.mark.parametrize("name", TOYS)
def test_five_hundred_points_fall_into_two_halves(name):
    data = load(name)
    assert data.x_train.shape == data.x_test.shape == (250, 2)
    assert data.x_train.dtype == np.float32
    assert data.y_train.dtype == np.int32
    assert (data.num_classes, data.input_shape) == (2, (2,))
    assert set(np.unique(data.y_train)) == set(np.unique(data.y_test)) == {0, 1}


@pytest.mark.parametrize("name", TOYS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(name):
    assert load(name).fingerprint == load(name, seed=0, noise=0.0).fingerprint
    assert load(name).fingerprint != load(name, seed=1).fingerprint
    assert load(name).fingerprint != load(name, noise=0.2).fingerprint


@pytest.mark.parametrize("name", ["two_gaussians", "circle", "spiral"])
def test_classes_are_equally_large(name):
    _, labels = all_points(name)
    assert np.sum(labels) == 250


@pytest.mark.parametrize("name", TOYS)
def test_both_classes_are_spread_over_the_training_half(name):
    # A hypergeometric count: mean 125, standard deviation 5.6.
    assert abs(load(name).y_train.sum() - 125) < 5 * 8


def test_xor_is_the_sign_of_the_product_and_keeps_off_the_axes():
    points, labels = all_points("xor")
    np.testing.assert_array_equal(labels, points[:, 0] * points[:, 1] > 0)
    assert np.abs(points).min() >= np.float32(0.3)
    assert np.abs(points).max() <= 5.3 + 1e-6


def test_the_circle_is_a_disk_of_radius_two_and_a_half_in_a_ring_from_three_and_a_half_to_five():
    points, labels = all_points("circle")
    radius = np.hypot(*points.T)
    assert radius[labels == 1].max() <= 2.5 + 1e-6
    assert radius[labels == 0].min() >= 3.5 - 1e-6
    assert radius.max() <= 5 + 1e-6


def test_each_arm_of_the_spiral_is_the_other_turned_by_pi():
    points, labels = all_points("spiral")

    def in_order(arm):
        return arm[np.argsort(np.hypot(*arm.T), kind="stable")]

    np.testing.assert_array_equal(in_order(points[labels == 1]), -in_order(points[labels == 0]))


def test_the_angle_along_an_arm_is_proportional_to_the_radius():
    points, labels = all_points("spiral")
    x, y = points[labels == 1].T.astype(np.float64)
    radius = np.hypot(x, y)
    angle = 1.75 * 2 * np.pi * radius / 5
    np.testing.assert_allclose(x, radius * np.sin(angle), atol=1e-5)
    np.testing.assert_allclose(y, radius * np.cos(angle), atol=1e-5)


@pytest.mark.parametrize(("noise", "variance"), [(0.0, 0.5), (0.5, 4.0)])
def test_the_gaussians_have_the_playgrounds_centers_and_variances(noise, variance):
    points, labels = all_points("two_gaussians", noise=noise)
    for label, center in [(1, 2), (0, -2)]:
        cloud = points[labels == label]
        # 250 draws: standard errors sd/sqrt(250) of a mean, sqrt(2/250) var of a variance.
        np.testing.assert_allclose(cloud.mean(0), center, atol=4 * np.sqrt(variance / 250))
        np.testing.assert_allclose(cloud.var(0), variance, rtol=4 * np.sqrt(2 / 250))


@pytest.mark.parametrize("name", ["xor", "circle"])
def test_noise_moves_labels_and_not_points(name):
    clean_points, clean_labels = all_points(name)
    points, labels = all_points(name, noise=0.3)
    np.testing.assert_array_equal(points, clean_points)
    changed = np.mean(labels != clean_labels)
    assert 0.02 < changed < 0.5


def test_noise_moves_the_points_of_the_spiral_by_no_more_than_itself():
    clean_points, clean_labels = all_points("spiral")
    points, labels = all_points("spiral", noise=0.3)
    np.testing.assert_array_equal(labels, clean_labels)
    assert 0 < np.abs(points - clean_points).max() <= 0.3 + 1e-6


@pytest.mark.parametrize("noise", [-0.1, 0.6, 25.0, float("nan")])
def test_noise_out_of_range_is_refused(noise):
    with pytest.raises(ValueError, match=r"noise is from 0 to 0\.5"):
        load("xor", noise=noise)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed is from 0"):
        load("xor", seed=seed)
