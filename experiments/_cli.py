"""Command lines from frozen dataclasses: each option is declared once, bad input is one sentence.

A script declares a `Config` (`Options` made of `option` fields), a function ``prepare`` that
checks everything else a user can get wrong, and a function ``execute``. `run` makes the absl
flags, and turns what a user got wrong into one sentence and exit status 2, before any compiling.
"""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from absl import app, flags, logging

from experiments._compile_cache import guard_cache
from experiments._failure import failures_told
from experiments._options import Options as Options
from experiments._options import UsageError as UsageError
from experiments._options import accepted, nearest, read_value, shortened
from experiments._options import option as option

flags.disclaim_key_flags()  # flags made here belong to the script, else --help would hide them

USAGE_ERROR = 2

ConfigT = TypeVar("ConfigT")


def run(
    config_type: type[ConfigT],
    presets: Mapping[str, Mapping[str, Any]],
    prepare: Callable[[ConfigT], Any],
    execute: Callable[[Any], None],
    *,
    words: str = "",
) -> None:
    """Parse the command line, prepare, execute; exit with 2 and one sentence on bad input.

    What files and folders do to a run while it works is one sentence too, with status 1.

    Args:
        config_type: `Options`, with a field ``preset`` if there are presets.
        presets: Preset -> the fields it sets; flags given explicitly win.
        prepare: Config -> plan. Raises ValueError for whatever the user can get wrong.
        execute: Plan -> results on disk.
        words: Name of the option, a tuple, that words without a name belong to.
    """
    define_flags(config_type, flags.FLAGS)
    for field in dataclasses.fields(config_type):  # type: ignore[arg-type]
        # of the script, whichever module calls this for it: --help shows those
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[field.name])
    # absl turns on INFO for every library that logs; fontTools tells of each glyph
    logging.set_verbosity(logging.WARNING)

    def main(argv: list[str]) -> None:
        del argv
        with failures_told():
            try:
                plan = prepare(config_from_flags(config_type, presets, flags.FLAGS))
            except ValueError as error:
                refuse(str(error))
            try:
                execute(plan)
            except UsageError as error:  # what shows only when the programs are traced
                refuse(str(error))

    app.run(main, flags_parser=partial(_parse, words=words))


def start(main: Callable[[], None]) -> None:
    """Run a script whose options are `flag`s: bad input is refused as by `run`."""

    def tell(argv: list[str]) -> None:
        del argv
        with failures_told():
            try:
                main()
            except UsageError as error:
                refuse(str(error))

    app.run(tell, flags_parser=_parse)


def flag(name: str, field: Any) -> flags.FlagHolder:
    """Return the flag of one `option`, whose ``value`` is known once the script has started."""
    field.name = name
    return _define_flag(field, flags.FLAGS)


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


def configure_jax(devices: int, *, deterministic: bool = False, precision: str = "default") -> None:
    """Make ``devices`` host devices of the CPU's cores and keep compiled programs on disk.

    Must run before JAX touches a backend. On CPU a device is one core's worth of replicas:
    seeds spread over host devices run faster than one wide program, and a product that is not
    split over threads gives the same bits however many cores there are.

    Args:
        devices: Number of host devices.
        deterministic: Whether GPUs may use only what gives the same bits in every run. CPUs do
            anyway.
        precision: Of matrix products, as JAX calls it; CPUs have the one of the dtype.
    """
    _add_xla_flag("xla_cpu_multi_thread_eigen", "false")
    if deterministic:
        _add_xla_flag("xla_gpu_deterministic_ops", "true")
    import jax

    # cannot change once a backend is up
    if jax.config.jax_num_cpu_devices != devices:  # pyrefly: ignore[missing-attribute]
        jax.config.update("jax_num_cpu_devices", devices)
    if precision != "default":  # else as the user's environment says
        jax.config.update("jax_default_matmul_precision", precision)
    folder = compilation_cache()
    guard_cache(Path(folder))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _add_xla_flag(name: str, value: str) -> None:
    """Set a flag of XLA's, unless the user has."""
    there = os.environ.get("XLA_FLAGS", "")
    if name not in there:
        os.environ["XLA_FLAGS"] = f"{there} --{name}={value}".strip()


def compilation_cache() -> str:
    """Return the folder of compiled programs, one a kind of processor: they do not mix."""
    import hashlib
    import platform

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
    for field in dataclasses.fields(config_type):
        _define_flag(field, values)


def _define_flag(field: Any, values: flags.FlagValues) -> flags.FlagHolder:
    text = field.metadata["help"]
    if isinstance(field.default, bool):
        return flags.DEFINE_bool(field.name, field.default, text, flag_values=values)
    words = _Words() if isinstance(field.default, tuple) else None
    return flags.DEFINE(_Parser(field=field), field.name, field.default, text, values, words)


class _Parser(flags.ArgumentParser):
    """Reads the value of a field's flag; refuses what the field does not accept."""

    def __init__(self, *, field: Any):
        self._field = field
        self.syntactic_help = accepted(field)

    def parse(self, argument: Any) -> Any:
        if argument == self._field.default:  # absl parses it too; it may be wrong till it is used
            return argument
        return read_value(self._field, argument)

    def flag_type(self) -> str:
        return type(self._field.default).__name__


class _Words(flags.ArgumentSerializer):
    """Writes a tuple as its flag takes it, for --help."""

    def serialize(self, value: Any) -> str:
        return ",".join(value)


def parse_flags(argv: Sequence[str], values: flags.FlagValues, words: str = "") -> None:
    """Parse a command line; `UsageError` if a word is no flag, or its value is not accepted.

    Args:
        argv: The program's name and the words after it.
        values: Where the flags are defined, and are set.
        words: Name of the flag that words without one belong to, if there is such a flag.
    """
    try:
        rest = values(list(argv))
        if words and len(rest) > 1 and not values[words].present:
            values[words].parse(",".join(rest[1:]))
            values[words].present, rest = 1, rest[:1]
    except flags.UnrecognizedFlagError as error:
        name = shortened(error.flagname)[1:-1]
        hint = nearest(error.flagname, values, "--")
        raise UsageError(f"there is no flag --{name}{hint}; --help lists them") from error
    except (flags.Error, OSError) as error:
        if isinstance(error.__context__, UsageError):  # absl wraps what a parser raises
            raise error.__context__ from None
        raise UsageError(_explained(error, values)) from error
    if len(rest) > 1:
        raise UsageError(
            f"unexpected argument {shortened(rest[1])}: every option is --name=value "
            "(--help lists them)"
        )
    for name in values:
        if values[name].present > 1:
            raise UsageError(f"--{name} is given {values[name].present} times; give it once")


def _explained(error: Exception, values: flags.FlagValues) -> str:
    """Return what absl says of a flag, and what that flag accepts."""
    text = str(error).rstrip(".")
    name = re.search(r"--?(\w+)", text)
    parser = values[name[1]].parser if name and name[1] in values else None
    kind = getattr(parser, "syntactic_help", "")
    cut = text if len(text) <= 120 else f"{text[:117]}..."
    return f"{cut}; " + (f"--{name[1]} must be {kind}" if name and kind else "--help lists them")


def config_from_flags(
    config_type: type[ConfigT],
    presets: Mapping[str, Mapping[str, Any]],
    values: flags.FlagValues,
) -> ConfigT:
    """Return the configuration: defaults, then the preset's fields, then flags given."""
    names = [field.name for field in dataclasses.fields(config_type)]  # type: ignore[arg-type]
    given: dict[str, Any] = {name: values[name].value for name in names if values[name].present}
    preset: Mapping[str, Any] = {}
    if "preset" in names:
        preset = presets.get(str(values["preset"].value), {})
    return config_type(**{**preset, **given})


def _parse(argv: list[str], words: str = "") -> list[str]:
    try:
        parse_flags(argv, flags.FLAGS, words)
    except UsageError as error:
        refuse(str(error))
    return argv[:1]


def refuse(sentence: str) -> NoReturn:
    """Print what was wrong and exit with 2."""
    words = (word if len(word) <= 200 else f"{word[:100]}..." for word in sentence.split())
    print(f"error: {' '.join(words).rstrip('.')}.", file=sys.stderr)
    sys.exit(USAGE_ERROR)
