"""Numbers as readers want them: as many digits as the interval supports, and no more.

May import: nothing of the package.
"""

import math

import numpy as np

Number = float | int | np.floating | np.integer
"""Any number of Python or NumPy."""
UNDEFINED = "undefined"
"""What stands for NaN and None in texts to read."""
_LARGEST, _SMALLEST = 1e6, 1e-4
"""Magnitudes outside of these are written with an exponent."""


def defined(value: Number | None) -> bool:
    """Tell whether a number exists: neither missing nor NaN.

    Example:
        >>> defined(0.0), defined(float("nan")), defined(None)
        (True, False, False)
    """
    return value is not None and not math.isnan(value)


def format_number(value: Number | None, digits: int = 4) -> str:
    """Write a number with ``digits`` significant digits, or ``undefined``.

    Args:
        value: The number; None and NaN are undefined.
        digits: Significant digits.

    Example:
        >>> format_number(3.14159), format_number(16), format_number(2.5e-7)
        ('3.142', '16', '2.5e-7')
        >>> format_number(None), format_number(-0.0), format_number(float("inf"))
        ('undefined', '0', 'inf')
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    if value == 0 or math.isinf(value):
        return "0" if value == 0 else ("inf" if value > 0 else "-inf")
    if _SMALLEST <= abs(value) < _LARGEST:
        return _trimmed(_rounded(value, digits - 1 - _decade(value)))
    return _scientific(f"{value:.{digits - 1}e}", trim=True)


def format_interval(effect: Number | None, low: Number | None, high: Number | None) -> str:
    """Write an effect and its interval to two significant digits of the interval's width.

    Args:
        effect: The estimate; undefined makes the whole text ``undefined``.
        low: Lower end.
        high: Upper end.

    Returns:
        ``effect [low, high]``; ``0 (exact)`` if effect and both ends are zero, as for a
        difference that is zero in every seed.

    Example:
        >>> format_interval(3.84721, 3.5123, 4.2218)
        '3.85 [3.51, 4.22]'
        >>> format_interval(0.0, 0.0, 0.0), format_interval(0.0, -0.51, 0.49)
        ('0 (exact)', '0.0 [-0.5, 0.5]')
        >>> format_interval(2.0, None, None)
        '2 [undefined]'
    """
    if effect is None or math.isnan(effect):
        return UNDEFINED
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return f"{format_number(effect)} [{UNDEFINED}]"
    if effect == low == high:
        text = format_number(effect)
        return "0 (exact)" if effect == 0 else f"{text} [{text}, {text}]"
    width = high - low
    if not (math.isfinite(width) and math.isfinite(effect)) or width == 0:
        texts = [format_number(value) for value in (effect, low, high)]
    else:
        texts = _to_the_digit(effect, low, high, _decade(width) - 1)
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def format_p(value: Number | None) -> str:
    """Write a p-value with two significant digits; ``-`` where nothing was tested.

    Example:
        >>> format_p(0.01234), format_p(0.00004321), format_p(1.0), format_p(None)
        ('0.012', '4.3e-5', '1', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if 0 < value < 1e-3:
        return _scientific(f"{value:.1e}")
    return format_number(value, digits=2)


def _to_the_digit(effect: Number, low: Number, high: Number, last: int) -> list[str]:
    """All three numbers rounded at the power of ten ``last``."""
    largest = max(abs(effect), abs(low), abs(high))
    if _SMALLEST <= largest < _LARGEST:
        return [_rounded(value, -last) for value in (effect, low, high)]
    values = (effect, low, high)
    kept = [max(_decade(value) - last, 0) if value else 0 for value in values]
    return [_scientific(f"{v:.{k}e}") if v else "0" for v, k in zip(values, kept, strict=True)]


def _rounded(value: Number, decimals: int) -> str:
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _decade(value: Number) -> int:
    return math.floor(math.log10(abs(value)))


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scientific(text: str, *, trim: bool = False) -> str:
    """``1.20e-07`` as ``1.20e-7``, and as ``1.2e-7`` if trimmed."""
    mantissa, exponent = text.split("e")
    return f"{_trimmed(mantissa) if trim else mantissa}e{int(exponent)}"
