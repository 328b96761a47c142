"""Reads the settings out of an address of TensorFlow Playground.

The page keeps its state behind the # of its address, ``#activation=tanh&networkShape=4,2&...``.
The text is untrusted and only ever read: whatever is not understood is refused in one sentence.
A setting that is missing or empty has the page's default; what decides the page's looks alone is
left aside and named.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from experiments._cli import UsageError
from experiments._sigmoid_vs_tanh.setting import FEATURES, Setting

MAX_LENGTH = 4096
"""Characters of an address."""

DATASETS = {"circle": "circle", "xor": "xor", "gauss": "two_gaussians", "spiral": "spiral"}
"""The playground's names of its data sets, and ours."""

ACTIVATIONS = ("tanh", "sigmoid", "relu", "linear")

NO_SUCH_INPUT = ("cosX", "cosY")
"""In the page's state, but not among its inputs: the page itself ignores them."""

LOOKS = (
    *("showTestData", "discretize", "collectStats", "tutorial", "hideText", "regDataset"),
    *NO_SUCH_INPUT,
)
"""Settings that change no number of a classification."""

HIDDEN = "_hide"
"""End of the names that take a control off the page."""

MAX_LAYERS, MAX_UNITS = 6, 8
"""Of the page."""

_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,2})?|\.[0-9]{1,18}")


class Request(NamedTuple):
    """What an address asks for.

    Attributes:
        setting: What to rerun.
        ignored: Names of settings that were given and change nothing.
        seed: The page's seed, or None. Its random numbers are not ours.
    """

    setting: Setting
    ignored: tuple[str, ...]
    seed: str | None


def parse_url(url: str) -> Request:
    """Return what an address of the playground asks for.

    Args:
        url: The whole address, or what stands behind its #.

    Raises:
        UsageError: If it holds a setting or a value that the rerun does not know or cannot honor.

    Example:
        >>> request = parse_url("#activation=sigmoid&dataset=gauss&networkShape=3&noise=5")
        >>> request.setting.datasets, request.setting.widths, request.setting.noise
        (('two_gaussians',), (3,), 0.05)
        >>> parse_url("#activation=tahn")
        Traceback (most recent call last):
            ...
        experiments._cli.UsageError: --playground_url: activation must be one of tanh, sigmoid, \
relu, linear, got 'tahn' (nearest: tanh)
    """
    given = _settings(url)
    problem = _choice(given, "problem", ("classification", "regression"), "classification")
    if problem == "regression":
        raise _refused("problem=regression cannot be rerun, only problem=classification")
    features = tuple(n for n in FEATURES if _truth(given, n, default=n in Setting().features))
    if not features:
        raise _refused(f"no input is switched on; at least one of {', '.join(FEATURES)} must be")
    setting = Setting(
        datasets=(DATASETS[_choice(given, "dataset", tuple(DATASETS), "circle")],),
        noise=_number(given, "noise", 0.0, low=0.0, high=50.0) / 100.0,
        percent_train=_number(given, "percTrainData", 50.0, low=10.0, high=90.0),
        batch_size=int(_number(given, "batchSize", 10, low=1, high=30, whole=True)),
        activation=_choice(given, "activation", ACTIVATIONS, "tanh"),
        widths=_shape(given),
        features=features,
        learning_rate=_number(given, "learningRate", 0.03, low=1e-6, high=10.0),
        regularization=_choice(given, "regularization", ("none", "L1", "L2"), "none"),
        regularization_rate=_number(given, "regularizationRate", 0.0, low=0.0, high=10.0),
        init_zero=_truth(given, "initZero", default=False),
    )
    ignored = [name for name in given if name in LOOKS or name.endswith(HIDDEN)]
    return Request(setting, tuple(ignored), given.get("seed"))


def _settings(url: str) -> dict[str, str]:
    """Return name -> value of everything given; checks names, and values that are only shown."""
    if len(url) > MAX_LENGTH:
        raise _refused(f"an address has at most {MAX_LENGTH} characters, got {len(url)}")
    fragment = url.partition("#")[2] if "#" in url else url
    if "=" not in fragment:
        raise _refused(f"expected an address with #name=value&..., got {_shown(url)}")
    given: dict[str, str] = {}
    for pair in filter(None, fragment.strip().split("&")):
        name, equals, value = pair.partition("=")
        value = unquote(value).strip()
        if not equals or "=" in value:
            raise _refused(f"expected name=value between two &, got {_shown(pair)}")
        if not (name in KNOWN or name.endswith(HIDDEN)):
            raise _refused(f"there is no setting {_shown(name)}{_nearest(name, KNOWN)}")
        if name in given:
            raise _refused(f"{name} is given twice")
        given[name] = value
    return {name: value for name, value in given.items() if value or name == "networkShape"}


def _choice(given: Mapping[str, str], name: str, choices: Sequence[str], default: str) -> str:
    value = given.get(name, default)
    if value not in choices:
        raise _refused(
            f"{name} must be one of {', '.join(choices)}, got {_shown(value)}"
            f"{_nearest(value, choices)}"
        )
    return value


def _truth(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    return _choice(given, name, ("true", "false"), "true" if default else "false") == "true"


def _number(
    given: Mapping[str, str],
    name: str,
    default: float,
    *,
    low: float,
    high: float,
    whole: bool = False,
) -> float:
    text = given.get(name)
    if text is None:
        return default
    value = float(text) if _NUMBER.fullmatch(text) else None
    if value is None or not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise _refused(f"{name} must be {kind} from {low:g} to {high:g}, got {_shown(text)}")
    return value


def _shape(given: Mapping[str, str]) -> tuple[int, ...]:
    text = given.get("networkShape")
    if text is None:
        return Setting().widths
    if not text:
        raise _refused(
            "networkShape is empty; without hidden units there is no activation to compare, so "
            "name the units of at least one layer"
        )
    parts = text.split(",")
    widths = [int(part) if re.fullmatch("[0-9]{1,3}", part) else 0 for part in parts]
    if len(parts) > MAX_LAYERS or not all(1 <= width <= MAX_UNITS for width in widths):
        raise _refused(
            f"networkShape must be 1 to {MAX_LAYERS} numbers from 1 to {MAX_UNITS} with commas "
            f"between, got {_shown(text)}"
        )
    return tuple(widths)


KNOWN = (
    *("activation", "batchSize", "dataset", "initZero", "learningRate", "networkShape", "noise"),
    *("percTrainData", "problem", "regularization", "regularizationRate", "seed"),
    *FEATURES,
    *LOOKS,
)
"""Every setting of the page, besides those that end in `HIDDEN`."""


def _nearest(word: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, choices, n=1)
    return f" (nearest: {near[0]})" if near else ""


def _shown(text: str) -> str:
    # ascii escapes what is not printable, and one line is enough
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


def _refused(what: str) -> UsageError:
    return UsageError(f"--playground_url: {what}")
