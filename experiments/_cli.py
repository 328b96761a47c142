"""Command lines from frozen dataclasses: each option is declared once, bad input is one sentence.

A script declares a `Config` (a frozen dataclass of `option` fields), a function ``prepare``
that checks everything a user can get wrong, and a function ``execute``. `run` makes the absl
flags, and turns what a user got wrong into one sentence and exit status 2, before any compiling.
"""

import dataclasses
import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from absl import app, flags, logging

flags.disclaim_key_flags()  # flags made here belong to the script, else --help would hide them

USAGE_ERROR = 2

ConfigT = TypeVar("ConfigT")


class UsageError(ValueError):
    """The user asked for something that cannot be done; the message is one sentence."""


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Return a dataclass field that becomes a flag; its type is that of ``default``."""
    metadata = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


def run(
    config_type: type[ConfigT],
    presets: Mapping[str, Mapping[str, Any]],
    prepare: Callable[[ConfigT], Any],
    execute: Callable[[Any], None],
) -> None:
    """Parse the command line, prepare, execute; exit with 2 and one sentence on bad input.

    Args:
        config_type: Frozen dataclass, with a field ``preset`` if there are presets.
        presets: Preset -> the fields it sets; flags given explicitly win.
        prepare: Config -> plan. Raises ValueError for whatever the user can get wrong.
        execute: Plan -> results on disk.
    """
    define_flags(config_type, flags.FLAGS)
    # absl turns on INFO for every library that logs; fontTools tells of each glyph
    logging.set_verbosity(logging.WARNING)

    def parse(argv: list[str]) -> list[str]:
        try:
            parse_flags(argv, flags.FLAGS)
        except UsageError as error:
            _refuse(str(error))
        return argv[:1]

    def main(argv: list[str]) -> None:
        del argv
        try:
            plan = prepare(config_from_flags(config_type, presets, flags.FLAGS))
        except ValueError as error:
            _refuse(str(error))
        execute(plan)

    app.run(main, flags_parser=parse)


def parse_config(
    config_type: type[ConfigT], presets: Mapping[str, Mapping[str, Any]], words: Sequence[str]
) -> ConfigT:
    """Return the configuration that a command line asks for; for tests and other programs.

    Raises:
        UsageError: If a word is not understood or a value not accepted.
    """
    values = flags.FlagValues()
    define_flags(config_type, values)
    parse_flags(["program", *words], values)
    return config_from_flags(config_type, presets, values)


def check_options(config: Any) -> None:
    """Raise `UsageError` for the first field outside its declared choices or range."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        choices, low, high = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
        if choices is not None and value not in choices:
            near = difflib.get_close_matches(str(value), choices, n=1)
            raise UsageError(
                f"--{field.name} must be one of {', '.join(choices)}, got {value!r}"
                + (f" (nearest: {near[0]})" if near else "")
            )
        if isinstance(value, str | bool | tuple):
            continue
        # written so that NaN fails too
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            span = f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"
            raise UsageError(f"--{field.name} must be {span}, got {value!r}")


def configure_jax(devices: int) -> None:
    """Make ``devices`` host devices of the CPU's cores and keep compiled programs on disk.

    Must run before JAX touches a backend. On CPU a device is one core's worth of replicas:
    seeds spread over host devices run faster than one wide program, and a product that is not
    split over threads gives the same bits however many cores there are.
    """
    xla_flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in xla_flags:
        os.environ["XLA_FLAGS"] = f"{xla_flags} --xla_cpu_multi_thread_eigen=false".strip()
    import jax

    # cannot change once a backend is up
    if jax.config.jax_num_cpu_devices != devices:  # pyrefly: ignore[missing-attribute]
        jax.config.update("jax_num_cpu_devices", devices)
    folder = compilation_cache()
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def compilation_cache() -> str:
    """Return the folder of compiled programs, one a kind of processor: they do not mix."""
    import hashlib
    import platform
    from pathlib import Path

    kind = platform.processor() + platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        kind += "".join(
            line for line in dict.fromkeys(lines) if line.startswith(("flags", "model name"))
        )
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(root, "signdyn", "xla", hashlib.sha256(kind.encode()).hexdigest()[:12])


def num_cores() -> int:
    """Return the number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def define_flags(config_type: type, values: flags.FlagValues) -> None:
    """Define one flag a field of the dataclass."""
    define: dict[Any, Callable[..., Any]] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
    }
    for field in dataclasses.fields(config_type):
        kind: Any = type(field.default)
        text = field.metadata["help"]
        if field.metadata["choices"]:
            text += f" One of: {', '.join(field.metadata['choices'])}."
        default: Any = field.default
        if kind is tuple:
            default = list(default)
        maker = flags.DEFINE_list if kind is tuple else define.get(kind, flags.DEFINE_string)
        maker(field.name, default, text, flag_values=values)


def parse_flags(argv: Sequence[str], values: flags.FlagValues) -> None:
    """Parse a command line; `UsageError` if a word is no flag or its value not of its type."""
    try:
        rest = values(list(argv))
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), n=1)
        hint = f" (nearest: --{near[0]})" if near else ""
        raise UsageError(f"there is no flag --{error.flagname}{hint}; --help lists them") from error
    except flags.Error as error:
        raise UsageError(f"{str(error).rstrip('.')}; --help lists the flags") from error
    if len(rest) > 1:
        raise UsageError(
            f"unexpected argument {rest[1]!r}: every option is --name=value (--help lists them)"
        )


def config_from_flags(
    config_type: type[ConfigT],
    presets: Mapping[str, Mapping[str, Any]],
    values: flags.FlagValues,
) -> ConfigT:
    """Return the configuration: defaults, then the preset's fields, then flags given."""
    fields = {field.name: field for field in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    given: dict[str, Any] = {name: values[name].value for name in fields if values[name].present}
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
    preset: Mapping[str, Any] = {}
    if "preset" in fields:
        preset = presets.get(str(given.get("preset", fields["preset"].default)), {})
    config = config_type(**{**preset, **given})
    check_options(config)
    return config


def _refuse(sentence: str) -> NoReturn:
    print(f"error: {' '.join(sentence.split()).rstrip('.')}.", file=sys.stderr)
    sys.exit(USAGE_ERROR)
