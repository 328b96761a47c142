r"""What n independent, symmetric signs do by chance.

Public in :mod:`signdyn.analysis.theory`. May import signdyn.diagnostics.
"""

import math

from signdyn.checks import checked
from signdyn.diagnostics.signs import coherence_chance_level


@checked
def null_unanimity(n: int) -> float:
    """Return 2^(1-n), the chance that n independent symmetric signs are all equal.

    Args:
        n: Number of signs, usually the fan_in.

    Returns:
        A number in [0, 1]; 0 where 2^(1-n) underflows.

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> null_unanimity(3)
        0.25
    """
    require_signs("null_unanimity", n)
    return math.ldexp(1.0, 1 - int(n))


@checked
def null_coherence(n: int) -> float:
    """Return E|s_1 + ... + s_n| / n for independent symmetric signs, about sqrt(2 / (pi n)).

    This is :func:`signdyn.diagnostics.signs.coherence_chance_level`, the level that
    ``sign_coherence`` has by chance.

    Args:
        n: Number of signs, usually the fan_in.

    Returns:
        A number in (0, 1].

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> print(f"{null_coherence(2):.6f}")  # both equal, or they cancel
        0.500000
    """
    require_signs("null_coherence", n)
    return coherence_chance_level(n)


@checked
def null_majority(n: int) -> float:
    """Return the expected share of the majority among n independent symmetric signs.

    It is (1 + coherence) / 2, since the majority exceeds half by half of |sum of signs|.

    Args:
        n: Number of signs, usually the fan_in.

    Returns:
        A number in (1/2, 1].

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> print(f"{null_majority(2):.6f}")
        0.750000
    """
    require_signs("null_majority", n)
    return (1 + coherence_chance_level(n)) / 2


@checked
def null_weighted_coherence(n: int) -> float:
    r"""Return E[|sum_i g_i| / sum_i |g_i|] for independent normal g, about 1 / sqrt(n).

    With X = |sum g| and Y = sum |g| expanded about their means, Var(Y) / E[Y]^2 = (pi/2 - 1) / n
    and Cov(X, Y) / (E[X] E[Y]) = 1 / (2n) + O(1/n^2), hence

        E[X / Y] = n^{-1/2} (1 + (pi - 3) / (2 n) + O(1/n^2)) .

    Args:
        n: Number of entries, usually the fan_in.

    Returns:
        A number in (0, 1], exact for n = 1, within 2 % at n = 2, .1 % from n = 7 on.

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> print(f"{null_weighted_coherence(100):.3f}")
        0.100
    """
    require_signs("null_weighted_coherence", n)
    return min(1.0, (1 + (math.pi - 3) / (2 * n)) / math.sqrt(n))


def require_signs(name: str, n: int) -> None:
    """Raise ValueError, in the name of the caller, if there are no signs."""
    if n < 1:
        raise ValueError(
            f"{name}: expected a number of signs n >= 1, got {n=}; without signs it is undefined."
        )
