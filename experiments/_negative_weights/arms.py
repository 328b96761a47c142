"""The arms of each program, and the numbers that they share."""

from collections.abc import Mapping

from experiments._negative_weights.problem import Point
from signdyn.centering import Centering, SiteCentering
from signdyn.training import Hyper

RATE, CONV_RATE = 0.1, 0.03
"""Learning rates on digits: of plain SGD and, for the ConvNet, with momentum."""

GAIN, CONV_GAIN = 2.8, 1.7
"""A positive start multiplies kernels by this over the root of a hidden layer's fan_in: sums of
weights of one sign grow with the fan_in, and as drawn the outputs would explode."""

DECAYS = (1e-3, 3e-3, 1e-2)
"""Weight decays beside none."""

STRONG_DECAY = DECAYS[-1]

SLOPE = 0.1
"""Of the leaky ReLU below zero."""

XOR_RATE = 0.3

INVERTED = SiteCentering(scale=-1.0)
"""A site that hands on -a, and whose reader's weights start negated: the same function."""

XOR_ARMS: Mapping[str, Point] = {
    "free": Point(Hyper(XOR_RATE)),
    "later": Point(Hyper(XOR_RATE)),
    "held": Point(Hyper(XOR_RATE)),
    "mirrored": Point(Hyper(XOR_RATE), mirror=1.0),
}
"""On XOR: no layer held at zero or above, the one after the first, all, all with x and -x read."""


def perceptron_arms(width: int) -> Mapping[str, Point]:
    """Return the perceptron's arms, one program.

    All but ``symmetric`` start from positive kernels, the same for a seed in every arm, and as
    the same function; ``again`` is ``positive`` from other seeds.
    """
    start = _positive(RATE, GAIN / width**0.5)
    strong = start._replace(weight_decay=STRONG_DECAY)
    return {
        "symmetric": Point(Hyper(RATE)),
        "positive": Point(start),
        "again": Point(start),
        "leaky": Point(start, slope=SLOPE),
        "input_inverted": Point(start._replace(centering=Centering(input=INVERTED))),
        "hidden_inverted": Point(start._replace(centering=Centering(hidden=INVERTED))),
        "decay_alone": Point(strong, evidence=0.0),
        **{f"decay_{decay:g}": Point(start._replace(weight_decay=decay)) for decay in DECAYS},
    }


def conv_arms(fan_in: int) -> Mapping[str, Point]:
    """Return the ConvNet's arms; ``fan_in`` is that of its convolutions after the first."""
    start = _positive(CONV_RATE, CONV_GAIN / fan_in**0.5)
    return {"symmetric": Point(Hyper(CONV_RATE)), "positive": Point(start)}


def held_arms(width: int) -> Mapping[str, Point]:
    """Return the arms whose kernels are held at zero or above: reading x, or x and -x.

    They start as the perceptron's ``positive``, which is what they are compared with.
    """
    start = _positive(RATE, GAIN / width**0.5)
    return {"plain": Point(start), "mirrored": Point(start, mirror=1.0)}


def _positive(rate: float, scale: float) -> Hyper:
    return Hyper(rate, init_scale=scale, positive_init=1.0)
