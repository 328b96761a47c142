"""The look of figures: told apart without color, restyled without a trace, saved byte for byte."""

import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from signdyn.report.figures import band, chance_line, key, panels, strip
from signdyn.report.palettes import COLUMN_WIDTHS, PALETTE, PALETTES, Look
from signdyn.report.style import current_style, look, restyle, save_figure


def luminance(color: str) -> float:
    """Relative luminance of ``#rrggbb`` as WCAG 2 defines it."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def lightness(color: str) -> float:
    """CIE L* of ``#rrggbb``, from 0 to 100; good above the darkest near-black."""
    return 116 * luminance(color) ** (1 / 3) - 16


def draw():
    figure, axes = panels(titles=["a < b"], xlabel="step", ylabel="$\\lambda_1$")
    values = np.linspace(1.0, 2.0, 40).reshape(4, 10)
    band(axes[0, 0], np.arange(10), values, "raw")
    strip(axes[0, 0], np.arange(4), values, "flipped")
    chance_line(axes[0, 0], 1.5)
    key(figure)
    return figure


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("pair", list(combinations(PALETTE, 2)), ids="-".join)
def test_two_arms_differ_in_a_grey_print_by_dash_or_by_lightness(pair, palette):
    one, other = (PALETTES[palette][name] for name in pair)
    assert one.dash != other.dash or abs(lightness(one.color) - lightness(other.color)) >= 20


# How linear RGB looks to people who lack one kind of cone: Machado et al. (2009), severity 1.
CONES = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def seen(color: str, kind: str) -> np.ndarray:
    """CIE Lab, white D65, of ``#rrggbb`` as people of that kind see it."""
    srgb = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(CONES[kind]) @ linear, 0.0, 1.0)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", CONES)
@pytest.mark.parametrize("palette", ["default", "okabe_ito"])
def test_every_kind_of_color_vision_tells_the_arms_apart(palette, kind):
    looks = PALETTES[palette]
    for one, other in combinations(looks, 2):
        distance = np.linalg.norm(seen(looks[one].color, kind) - seen(looks[other].color, kind))
        assert distance >= 10 or looks[one].dash != looks[other].dash, (one, other, distance)


@pytest.mark.parametrize("pair", list(combinations(PALETTE, 2)), ids="-".join)
def test_two_arms_differ_as_lone_marks(pair):
    one, other = (PALETTE[name] for name in pair)
    assert one.marker != other.marker


@pytest.mark.parametrize("name", PALETTE)
def test_every_arm_has_the_contrast_that_graphics_need_on_white(name):
    assert 1.05 / (luminance(PALETTE[name].color) + 0.05) >= 3.0


def test_the_palette_names_the_arms_of_the_experiments():
    arms = {"raw", "flipped", "centered", "input", "natural_gradient", "neutral"}
    assert set(PALETTE) == arms


def test_a_style_ends_with_its_block_even_when_the_block_fails():
    before, settings = current_style(), mpl.rcParams.copy()
    with restyle(font_size=30.0, palette={"raw": look("input")}):
        assert look("raw") == PALETTE["input"]
    with pytest.raises(ValueError, match="expected 2 titles"), restyle(font_size=30.0):
        panels(1, 2, titles=["one"])
    assert current_style() is before
    assert mpl.rcParams == settings


def test_a_restyled_figure_has_the_new_width_and_font_size():
    with restyle(column_width=3.25, font_size=7.0):
        figure, axes = panels(xlabel="step")
        text = axes[0, 0].text(0, 0, "here")
    assert figure.get_size_inches()[0] == 3.25
    assert text.get_fontsize() == 7.0
    assert axes[0, 0].get_xticklabels()[0].get_fontsize() == pytest.approx(6.3)


@pytest.mark.parametrize("column", ["icml", "nature_wide"])
def test_a_saved_figure_is_as_wide_as_the_column_that_is_named(column, tmp_path):
    with restyle(column_width=column, font_size=8, palette="grey"):
        svg, pdf = save_figure(draw(), tmp_path, "loss")
    width = 72 * COLUMN_WIDTHS[column]
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", pdf.read_bytes())
    assert box
    assert float(box[1]) == pytest.approx(width, abs=0.01)
    text = svg.read_text()
    assert re.findall(r'viewBox="0 0 ([\d.]+)', text) == [f"{width:g}"]
    sizes = {float(size) for size in re.findall(r"font-size:([\d.]+)px", text)}
    assert max(sizes) == 8.0
    assert min(sizes) >= 0.7 * 8  # an exponent is the smallest text
    assert PALETTES["grey"]["raw"].color in text
    assert PALETTE["raw"].color not in text


def test_fonts_are_in_the_pdf_and_tex_is_not_asked_for(tmp_path):
    with mpl.rc_context({"text.usetex": True}), restyle(column_width="ieee"):
        assert not mpl.rcParams["text.usetex"]
        _, pdf = save_figure(draw(), tmp_path, "loss")
    content = pdf.read_bytes()
    assert b"/FontFile2" in content  # TrueType, which publishers accept; Type 3 they do not
    assert b"/Type3" not in content


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"column_width": "imcl"}, "icml, icml_wide, .*got 'imcl'; did you mean 'icml'"),
        ({"palette": "gray"}, "default, okabe_ito, grey, got 'gray'; did you mean 'grey'"),
        ({"palette": "viridis"}, "got 'viridis'$"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_the_nearest(option, told):
    with pytest.raises(ValueError, match=told), restyle(**option):
        pass


def test_blocks_nest_and_keep_what_they_do_not_change():
    with restyle(column_width=3.0), restyle(font_size=7.0) as style:
        assert (style.column_width, style.font_size) == (3.0, 7.0)


@pytest.mark.parametrize("change", [{"column_width": 0.0}, {"font_size": float("nan")}])
def test_a_size_that_is_not_positive_is_refused(change):
    with pytest.raises(ValueError, match="expected a positive"), restyle(**change):
        pass


def test_an_unknown_arm_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ValueError, match=r"raw, flipped, .*got 'rwa'"):
        look("rwa")


def test_a_look_of_the_callers_own_is_used_as_it_is():
    mine = Look("mine", "#000000", (), "*")
    assert look(mine) is mine


def test_the_same_figure_has_the_same_bytes(tmp_path):
    first = save_figure(draw(), tmp_path / "first", "loss")
    second = save_figure(draw(), tmp_path / "second", "loss")
    assert first[0].stat().st_size < 40_000
    assert [path.suffix for path in first] == [".svg", ".pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_another_process_with_another_time_and_hash_seed_writes_the_same_bytes(tmp_path):
    paths = save_figure(draw(), tmp_path / "here", "loss")
    code = (
        f"import importlib.util; spec = importlib.util.spec_from_file_location('t', {__file__!r});"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module);"
        f"module.save_figure(module.draw(), {str(tmp_path / 'there')!r}, 'loss')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, check=True)
    for path in paths:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


def test_drawing_under_a_users_own_settings_changes_no_byte(tmp_path):
    ours, _ = save_figure(draw(), tmp_path, "ours")
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 20, "lines.marker": "o"}):
        theirs, _ = save_figure(draw(), tmp_path, "theirs")
    assert ours.read_bytes() == theirs.read_bytes()


def test_saving_again_leaves_the_same_two_whole_files(tmp_path):
    figure = draw()
    paths = save_figure(figure, tmp_path, "loss")
    first = [path.read_bytes() for path in paths]
    save_figure(figure, tmp_path, "loss")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss.pdf", "loss.svg"]
    assert [path.read_bytes() for path in paths] == first


@pytest.mark.parametrize("name", ["", "../loss", "Loss", "loss.svg", "a b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="save_figure"):
        save_figure(draw(), tmp_path, name)
