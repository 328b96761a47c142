"""What the shared plots draw, read back from the artists."""

import numpy as np
import pytest

from signdyn.report.figures import band, chance_line, key, panels, strip, theory_line
from signdyn.report.style import look


@pytest.fixture
def ax():
    return panels()[1][0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_band_is_the_median_and_the_quartiles_of_the_seeds(ax, dtype):
    values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0], [5.0, 5.0]], dtype)
    band(ax, np.arange(2), values, "raw")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3.0, 5.0])
    corners = ax.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} == {(0.0, 2.0), (0.0, 4.0), (1.0, 5.0)}


def test_a_band_ignores_the_order_of_the_seeds(ax):
    values = np.random.default_rng(0).normal(size=(7, 5))
    band(ax, np.arange(5), values)
    band(ax, np.arange(5), values[::-1].copy())
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), ax.lines[1].get_ydata())


def test_a_band_stops_where_fewer_than_half_of_the_seeds_are_defined(ax):
    nan = np.nan
    values = np.array([[1.0, 1.0, nan], [3.0, nan, nan], [2.0, nan, nan], [2.0, 5.0, nan]])
    band(ax, np.arange(3), values)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [2.0, 3.0, nan])
    band(ax, np.arange(1), values[:3, 1:2])
    assert np.isnan(ax.lines[1].get_ydata()).all()


def test_a_band_over_infinite_values_draws_nothing_there_and_warns_nobody(ax):
    band(ax, np.arange(1), np.full((4, 1), np.inf))
    assert not np.isfinite(ax.lines[0].get_ydata()).any()


def test_a_strip_shows_every_seed_at_its_own_place_in_every_strip(ax):
    values = np.arange(8.0).reshape(2, 4)
    strip(ax, np.array([10.0, 20.0]), values, "centered")
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(y, values.ravel())
    np.testing.assert_allclose(x[:4] - 10.0, x[4:] - 20.0, rtol=0, atol=1e-12)
    assert len(set(x)) == 8


def test_a_strip_draws_the_intervals_that_it_is_given(ax):
    intervals = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 6.0]])
    strip(ax, np.array([0, 1]), np.ones((2, 3)), "raw", intervals=intervals)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [1.0, 4.0])
    ends = [segment[:, 1].tolist() for segment in ax.collections[0].get_segments()]
    assert ends == [[0.0, 2.0], [3.0, 6.0]]


def test_a_strip_of_one_seed_stands_on_its_position(ax):
    strip(ax, np.array([5.0]), np.ones((1, 1)))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [5.0])


def test_the_key_names_each_arm_once_in_the_order_of_first_use():
    figure, axes = panels(1, 2)
    for ax in axes.flat:
        band(ax, np.arange(3), np.ones((2, 3)), "raw")
        strip(ax, np.arange(3), np.ones((3, 2)), "centered")
        theory_line(ax, np.arange(3), np.ones(3), "closed form")
        chance_line(ax, 0.5)
        band(ax, np.arange(3), np.ones((2, 3)), "flipped", label="")
    key(figure)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["raw", "centered", "closed form"]


def test_a_figure_without_labels_gets_no_key():
    figure, _ = panels()
    key(figure)
    assert not figure.legends


def test_an_arm_is_drawn_with_its_color(ax):
    band(ax, np.arange(3), np.ones((2, 3)), "flipped")
    assert ax.lines[0].get_color() == look("flipped").color


def test_a_chance_line_lies_behind_the_data_and_carries_its_name(ax):
    band(ax, np.arange(3), np.ones((2, 3)))
    chance_line(ax, 0.25, "luck")
    assert ax.lines[1].get_zorder() < ax.lines[0].get_zorder()
    assert ax.texts[0].get_text() == "luck"


def test_panels_share_one_label_an_axis():
    figure, axes = panels(2, 3, xlabel="step", ylabel="loss")
    assert axes.shape == (2, 3)
    assert [text.get_text() for text in figure.texts] == ["step", "loss"]


def test_a_wrong_number_of_titles_is_refused():
    with pytest.raises(ValueError, match="expected 2 titles, got 1"):
        panels(1, 2, titles=["raw"])
