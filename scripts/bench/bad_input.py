"""Tries bad command lines and calls, drawn at random, and counts those that are not well refused.

    python -m scripts.bench.bad_input --number=300

What is bad and what a good refusal is: `scripts.bench.bad_commands` and `scripts.bench.bad_calls`.
One command line in fifty runs in a process of its own, which takes some seconds to start. Exit
status 1 if a refusal was not one sentence, or something was not refused.
"""

import random
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax

from experiments._cli import Options, configure_jax, num_cores, option, run

PROCESS_EVERY = 50
"""Of so many command lines one runs in a process of its own: they start slowly."""


def count_bad_input(
    number: int, seed: int, *, tell: Callable[[str], None] = lambda text: None
) -> dict[str, int]:
    """Try ``number`` bad inputs, one half command lines and one half calls.

    Args:
        number: How many.
        seed: Of the draws.
        tell: Called with a line on everything that was not well refused.

    Returns:
        Under "tried" how many; under "command_lines", "processes" and "calls" of which kind; under
        "tracebacks" how many ended with one, under "wrong" how many were refused badly otherwise,
        or not at all.
    """
    if jax.config.jax_num_cpu_devices < 1:  # pyrefly: ignore[missing-attribute]
        configure_jax(num_cores())  # before the calls make their arrays
    from scripts.bench import bad_calls, bad_commands

    rng = random.Random(seed)
    draw = (*(bad_commands.bad_command,) * 7, bad_commands.contradiction)
    lines = [draw[place % 8](rng) for place in range(number - number // 2)]
    calls = [bad_calls.bad_call(rng) for _ in range(number // 2)]
    # no process can be given a NUL
    apart = [line for line in lines if "\0" not in "".join(line.words)][::PROCESS_EVERY]
    told = [(line, bad_commands.problem_of(line, bad_commands.here)) for line in lines]
    with ThreadPoolExecutor(num_cores()) as pool:
        problems = pool.map(
            lambda line: bad_commands.problem_of(line, bad_commands.elsewhere), apart
        )
        told += list(zip(apart, problems, strict=True))
    told += [(call, bad_calls.problem_of(call)) for call in calls]
    bad = [(what, problem) for what, problem in told if problem]
    for what, problem in bad:
        tell(f"{what}: {problem}")
    tracebacks = sum(problem.startswith("traceback") for _, problem in bad)
    return {
        "tried": len(told),
        "command_lines": len(lines),
        "processes": len(apart),
        "calls": len(calls),
        "tracebacks": tracebacks,
        "wrong": len(bad) - tracebacks,
    }


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Options of the trial."""

    number: int = option(300, "Bad inputs to try.", minimum=1, maximum=10**6)
    seed: int = option(0, "Of the draws.", minimum=0, maximum=2**31 - 1)


def main(config: Config) -> None:
    """Try and tell; exits with 1 if anything was not well refused."""
    counts = count_bad_input(config.number, config.seed, tell=print)
    print(", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in counts))
    if counts["tracebacks"] or counts["wrong"]:
        sys.exit(1)


if __name__ == "__main__":
    run(Config, {}, lambda config: config, main)
