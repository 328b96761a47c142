"""Which of a run's cells are there, and which of the missing ones this process is to run.

Several processes deal the missing cells out among themselves without a word: all of them know the
same finished cells, since process 0 told them, and ask for the same cells in the same order. May
import: processes, records, run_folder.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from signdyn.files import RecordsError
from signdyn.processes import ALONE, Team
from signdyn.records import entered, mend_ledger
from signdyn.run_folder import SECONDS_TO_APPEAR


class Dealt(NamedTuple):
    """Places among the cells that were asked for; what is in neither is another process's.

    Attributes:
        done: Finished before.
        own: To be run here.
    """

    done: frozenset[int]
    own: frozenset[int]


class Shares:
    """The cells of a run's folder, and whose they are.

    Args:
        folder: The run's.
        team: Its processes.
        on_damage: Called in process 0 with what is damaged in the folder; its cells count as
            missing from then on.
    """

    def __init__(
        self,
        folder: Path,
        team: Team = ALONE,
        on_damage: Callable[[Sequence[str]], None] = lambda names: None,
    ):
        """Read nothing yet."""
        self.team = team
        self._folder, self._on_damage = folder, on_damage
        self._done: frozenset[str] | None = None
        self._dealt: set[str] = set()
        self._turn = 0
        self._at_once = 1
        self._history = hashlib.sha256()

    def gather(self) -> None:
        """Learn which cells are there; all processes meet here, and their ledgers become one.

        Raises:
            RecordsError: If this process has asked for other cells than process 0, so that they
                could not go on together.
        """
        self.team.wait()  # until the last one has written its last cell
        shared = self.team.share(self._mended)
        if shared["history"] != self._history.hexdigest():
            raise RecordsError(
                f"process {self.team.index} came to other cells than process 0: all must run on "
                "one kind of machine, with the same versions and the same data"
            )
        self._done, self._dealt = frozenset(shared["done"]), set()

    def deal(self, cells: Sequence[str], at_once: int) -> Dealt:
        """Return which of these cells are done, and which are this process's to run.

        Cells are dealt out in turn, ``at_once`` together, over all calls: a process that has come
        away with less of one group has more of the next.

        Args:
            cells: Their ids.
            at_once: How many this process runs in one call, on all of its devices. Process 0's
                number is everybody's, or they would not deal alike.
        """
        if self._done is None:
            self._at_once = self.team.share(lambda: at_once)
        if self._done is None or self.team.count == 1:
            self.gather()
        done = self._done or frozenset()
        self._history.update("\n".join([*cells, ""]).encode())
        taken = done | self._dealt
        missing = [i for i, cell in enumerate(cells) if cell not in taken]
        size = self._at_once
        hands = [missing[i : i + size] for i in range(0, len(missing), size)]
        own = [
            place
            for turn, hand in enumerate(hands, start=self._turn)
            if turn % self.team.count == self.team.index
            for place in hand
        ]
        self._turn += len(hands)
        self._dealt.update(cells[i] for i in missing)
        return Dealt(frozenset(i for i, cell in enumerate(cells) if cell in done), frozenset(own))

    def _mended(self) -> dict:
        if self.team.count > 1:
            self._await_others()
        ledger = mend_ledger(self._folder)
        if ledger.damaged:
            self._on_damage(ledger.damaged)
        return {"done": sorted(ledger.good), "history": self._history.hexdigest()}

    def _await_others(self) -> None:
        """Wait until all cells that were dealt are seen, which others wrote before they came."""
        begun = time.monotonic()
        while self._dealt - entered(self._folder) and time.monotonic() - begun < SECONDS_TO_APPEAR:
            time.sleep(0.1)
