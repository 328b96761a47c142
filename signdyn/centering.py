"""Centering as data: one formula whose coefficients are arrays, so every variant is one program.

After the input and after every nonlinearity stands a *site*, which turns activations ``a`` into

    h = s * (a + offset - c_const * m_const - c_batch * mean_batch(a))

with ``s`` in {+1, -1} per unit, times a common scale, and ``m_const`` the unit's mean over the
training set at initialization. A `Centering` holds the coefficients (what a sweep varies), a
`Site` what they come to for one unit of one network (what a model applies). `match_dense` and
`match_conv` rewrite the layer that reads a site so that the network starts as the same function
whatever the coefficients.

Knows arrays only: no model, no framework.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.checks import checked


class SiteCentering(NamedTuple):
    """Coefficients of one kind of site; every leaf a scalar array, so they can be batched.

    Attributes:
        constant: Multiple of the unit's mean at initialization that is subtracted.
        batch: Multiple of the batch mean that is subtracted (1 is mean-only batch norm). None is
            0 and decides the program, which then computes no such means while training.
        offset: Number added to every unit, in units of the activation.
        flip: 1 to give every unit a random sign, 0 to leave all signs +1.
        scale: Number that multiplies every unit, after all else. An offset of 1 and a scale of
            1/2 make sigmoid(2 z) of tanh(z).
    """

    constant: Float[Array, "..."] | float = 0.0
    batch: Float[Array, "..."] | float | None = None
    offset: Float[Array, "..."] | float = 0.0
    flip: Float[Array, "..."] | float = 0.0
    scale: Float[Array, "..."] | float = 1.0


class Centering(NamedTuple):
    """Coefficients at the input and at the hidden sites (all hidden layers alike).

    >>> CENTERINGS["both"].hidden.constant
    1.0
    """

    input: SiteCentering = SiteCentering()
    hidden: SiteCentering = SiteCentering()


CENTERINGS: Mapping[str, Centering] = MappingProxyType(
    {
        "none": Centering(),
        "input": Centering(input=SiteCentering(constant=1.0)),
        "hidden": Centering(hidden=SiteCentering(constant=1.0)),
        "both": Centering(SiteCentering(constant=1.0), SiteCentering(constant=1.0)),
        "batch": Centering(SiteCentering(batch=1.0), SiteCentering(batch=1.0)),
        "flip": Centering(SiteCentering(flip=1.0), SiteCentering(flip=1.0)),
        "flip_input": Centering(input=SiteCentering(flip=1.0)),
        "flip_hidden": Centering(hidden=SiteCentering(flip=1.0)),
    }
)
"""The named points. ``flip`` keeps every activation's mean and changes its signs only."""


@checked
def offset(hidden: float, *, input: float = 0.0) -> Centering:
    """Return the centering that *adds* a constant: the dose of off-centeredness.

    Example:
        >>> offset(2.0).hidden.offset
        2.0
    """
    return Centering(SiteCentering(offset=input), SiteCentering(offset=hidden))


def combine(*centerings: Centering) -> Centering:
    """Return the centering that does what all of ``centerings`` do.

    Coefficients add up, scales multiply, and any flip flips.

    Raises:
        ValueError: If there is none.

    Example:
        >>> both_and_flipped = combine(CENTERINGS["both"], CENTERINGS["flip"])
        >>> both_and_flipped.hidden.constant, both_and_flipped.hidden.flip
        (1.0, 1.0)
    """
    if not centerings:
        raise ValueError(
            "combine: expected at least one centering, got none; CENTERINGS['none'] does nothing."
        )

    def one(sites: Sequence[SiteCentering]) -> SiteCentering:
        batch = [site.batch for site in sites if site.batch is not None]
        return SiteCentering(
            constant=sum(site.constant for site in sites),
            batch=sum(batch) if batch else None,
            offset=sum(site.offset for site in sites),
            flip=1.0 * (sum(site.flip for site in sites) > 0),
            scale=math.prod(site.scale for site in sites),
        )

    return Centering(one([c.input for c in centerings]), one([c.hidden for c in centerings]))


class Site(NamedTuple):
    """What one site does to one network's activations.

    Attributes:
        gain: [units], +1 or -1, times the scale.
        shift: [units], ``offset - c_const * m_const``.
        batch: Scalar, multiple of the batch mean that is subtracted; None where none is.
    """

    gain: Float[Array, " units"]
    shift: Float[Array, " units"]
    batch: Float[Array, ""] | None = None

    def total_shift(self, mean: Float[Array, " units"]) -> Float[Array, " units"]:
        """Return ``shift - c_batch * mean``."""
        return self.shift if self.batch is None else self.shift - self.batch * mean


@checked
def resolve_sites(
    centering: Centering,
    means: Sequence[Float[Array, " _"]],
    signs: Sequence[Float[Array, " _"]],
) -> tuple[Site, ...]:
    """Return the site of every layer, given the units' means at initialization.

    Args:
        centering: Coefficients with scalar leaves.
        means: One array [units] a site, first the input's, then each hidden layer's, over the
            training set at initialization. Function matching keeps them the same for every
            variant, so one network's means serve all.
        signs: One array [units] a site, +1 or -1, used where the centering flips.

    Returns:
        One `Site` for each entry of ``means``.

    Raises:
        ValueError: If there are not as many signs as means.
    """
    if len(means) != len(signs):
        raise ValueError(
            f"resolve_sites: expected as many signs as means, one array a site, got "
            f"{len(means)} means and {len(signs)} signs."
        )
    sites = []
    for index, (mean, sign) in enumerate(zip(means, signs, strict=True)):
        one = centering.input if index == 0 else centering.hidden
        batch = None if one.batch is None else jnp.asarray(one.batch, mean.dtype)
        constant, offset, flip, scale = (
            jnp.asarray(leaf, mean.dtype)
            for leaf in (one.constant, one.offset, one.flip, one.scale)
        )
        sites.append(
            Site(
                gain=scale * jnp.where(flip > 0, sign, jnp.ones_like(sign)),
                shift=offset - constant * mean,
                batch=batch,
            )
        )
    return tuple(sites)


@checked
def apply_site(
    site: Site, activations: Float[Array, "*batch units"], mean: Float[Array, " units"]
) -> Float[Array, "*batch units"]:
    """Return ``gain * (a + shift - c_batch * mean)``.

    Args:
        site: The site.
        activations: ``a``, units last.
        mean: The batch's mean in training, the running mean in evaluation. Not read where
            ``site.batch`` is None, and ignored, up to non-finite values, where it is zero.
    """
    return site.gain * (activations + site.total_shift(mean))


@checked
def match_dense(
    kernel: Float[Array, "units outputs"],
    bias: Float[Array, " outputs"],
    site: Site,
    mean: Float[Array, " units"],
) -> tuple[Float[Array, "units outputs"], Float[Array, " outputs"]]:
    r"""Return (W', b') with h W' + b' = a W + b for h = ``apply_site(site, a, mean)``.

    With t = shift - c_batch * mean, h = s (a + t), hence W' = diag(1/s) W and b' = b - t W.
    Signs and powers of two are exact in floating point; shifts are exact up to rounding.

    Args:
        kernel: W, of the layer that reads the site.
        bias: b.
        site: What the site does to ``a``.
        mean: The units' means, of which the site subtracts c_batch times.

    Example:
        >>> site = Site(jnp.array([-1.0]), jnp.array([3.0]))
        >>> kernel, bias = match_dense(jnp.array([[2.0]]), jnp.array([1.0]), site, jnp.zeros(1))
        >>> a = jnp.array([[5.0]])
        >>> print(a @ jnp.array([[2.0]]) + 1.0, apply_site(site, a, jnp.zeros(1)) @ kernel + bias)
        [[11.]] [[11.]]
    """
    shift = site.total_shift(mean)
    return kernel / site.gain[:, None], bias - shift @ kernel


@checked
def match_conv(
    kernel: Float[Array, "*window channels outputs"],
    bias: Float[Array, " outputs"],
    site: Site,
    mean: Float[Array, " channels"],
) -> tuple[Float[Array, "*window channels outputs"], Float[Array, " outputs"]]:
    r"""Return (W', b') with h * W' + b' = a * W + b, a convolution, for h the site's outputs.

    The site acts per channel, and on the padding as well: h = s (a + t) with a zero there. Then
    every position reads the same shift, and W' = W / s in each channel, b' = b - t sum_window W,
    exactly at borders too; as in :func:`match_dense`, signs are exact in floating point.

    Args:
        kernel: W, of the convolution that reads the site.
        bias: b.
        site: What the site does to every channel of ``a``.
        mean: The channels' means, of which the site subtracts c_batch times.

    Example:
        >>> site = Site(jnp.array([-1.0]), jnp.array([3.0]))
        >>> kernel, bias = match_conv(jnp.ones((2, 1, 1)), jnp.array([1.0]), site, jnp.zeros(1))
        >>> h = apply_site(site, jnp.array([[5.0], [0.0]]), jnp.zeros(1))  # one window, padded
        >>> print(jnp.sum(h * kernel[..., 0]) + bias)  # 5 + 0 + 1
        [6.]
    """
    shift = site.total_shift(mean)
    window = tuple(range(kernel.ndim - 2))
    return kernel / site.gain[:, None], bias - shift @ jnp.sum(kernel, axis=window)
