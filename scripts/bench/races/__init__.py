"""What is raced: every module has a tuple ``RACES``, see `scripts.bench.race`."""

import importlib
import pkgutil

from scripts.bench.race import Race


def all_races() -> dict[str, Race]:
    """Return every race by its id, in the order of the modules' names and their tuples."""
    found: dict[str, Race] = {}
    for module in pkgutil.iter_modules(__path__):
        for race in importlib.import_module(f"{__name__}.{module.name}").RACES:
            if race.id in found:
                raise ValueError(f"two races are called {race.id}")
            found[race.id] = race
    return found
