"""Sessions for runs at toy size: one that compiles in a hurry, and one that must not compile."""

from typing import Any

from experiments._programs import Programs
from experiments._session import Session
from signdyn.sweeps import hasty_to_compile

HASTY = hasty_to_compile()
"""XLA's options for a test's own programs."""


class HastyPrograms(Programs):
    """Programs that are all compiled as those are that hardly run."""

    def _options(self, group: Any) -> dict[str, Any]:
        return HASTY


class NoPrograms(Programs):
    """Programs none of which is there, nor may be made."""

    def ready(self, group: Any) -> Any:
        raise AssertionError(f"compiles {group.name}")


class FastSession(Session):
    """A session whose programs are compiled in a hurry."""

    programs: type[Programs] = HastyPrograms

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._programs = self.programs(self.layout, self.precision, self._keep_states, self._refuse)


class IdleSession(FastSession):
    """A session that must not compile."""

    programs = NoPrograms
