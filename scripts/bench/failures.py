"""Runs over devices that fail: two ways to use them, simulated event by event, and closed forms.

Times are seconds. Nothing here is measured; see `scripts.bench.schedule`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

PART, BETWEEN_STATES = 20.0, 60.0
"""Seconds of a part of a long block, and at least between its states (--checkpoint_seconds)."""


class Costs(NamedTuple):
    """What is lost beside the work.

    Attributes:
        start: Seconds from being started to the first step.
        restart: From a failure to the first step after it.
        state: To write a state.
        interval: Of work between states; infinite for none.
    """

    start: float
    restart: float
    state: float = 0.0
    interval: float = math.inf


@dataclass(frozen=True)
class Work:
    """What is to be done, by devices that are alike.

    Attributes:
        blocks: How many.
        seconds: One of them takes on a device.
        devices: How many.
    """

    blocks: int
    seconds: float
    devices: int

    @property
    def rounds(self) -> int:
        """Blocks, one after the other, of the device that has the most."""
        return -(-self.blocks // self.devices)


class Ended(NamedTuple):
    """One simulated run.

    Attributes:
        wall: Seconds to its end.
        failures: How many there were.
        lost: Share of the seconds of devices that have blocks in which no work was done that
            stayed; the wait of those that are done for those that are not is left out.
    """

    wall: float
    failures: int
    lost: float


def state_interval(seconds: float) -> float:
    """Return how much of a block is worked between two states; infinite where it has none.

    Example:
        >>> state_interval(15.0), state_interval(100.0), state_interval(120.0)
        (inf, 60.0, 60.0)
    """
    parts = math.ceil(seconds / PART)
    if parts <= 1:
        return math.inf
    interval = math.ceil(BETWEEN_STATES * parts / seconds) * seconds / parts
    return interval if interval < seconds else math.inf


def without_failures(work: Work, costs: Costs) -> float:
    """Return the seconds of a run in which nothing fails."""
    return costs.start + work.rounds * whole(work.seconds, costs)


def whole(seconds: float, costs: Costs) -> float:
    """Return what a block, or the rest of one, takes with its states: none at its end."""
    return seconds + max(0, math.ceil(seconds / costs.interval) - 1) * costs.state


def reached(elapsed: float, costs: Costs) -> float:
    """Return the work of a block that is safe after it ran for so long."""
    if math.isinf(costs.interval):
        return 0.0
    return math.floor(elapsed / (costs.interval + costs.state)) * costs.interval


def one_run(work: Work, costs: Costs, mean: float, rng: np.random.Generator) -> Ended:
    """Simulate processes that end together; ``mean`` seconds between a device's failures."""
    rests = [work.seconds] * work.blocks  # of the missing blocks
    wall, failures, kept, delay = 0.0, 0, 0.0, costs.start
    while True:
        shares = [rests[i :: work.devices] for i in range(work.devices)]
        ends = [np.cumsum([whole(rest, costs) for rest in share]) for share in shares]
        last = max(own[-1] for own in ends if len(own))
        failure = rng.exponential(mean / work.devices)
        if failure >= delay + last:
            wall += delay + last
            kept += sum(rests)
            return Ended(wall, failures, _lost(kept, work, wall))
        worked = max(0.0, failure - delay)
        after = []
        for share, own in zip(shares, ends, strict=True):
            done = int(np.searchsorted(own, worked, side="right"))
            kept += sum(share[:done])
            left = share[done:]
            if left:
                saved = reached(worked - (own[done - 1] if done else 0.0), costs)
                kept += saved
                left[0] -= saved
            after.append(left)
        rests = [rest for rests in _in_turn(after) for rest in rests]
        wall, failures, delay = wall + failure, failures + 1, costs.restart


def _in_turn(shares: Sequence[Sequence[float]]) -> Iterator[list[float]]:
    """Yield the shares' first, second, ... entries: the order in which they were dealt."""
    for place in range(max(map(len, shares))):
        yield [share[place] for share in shares if len(share) > place]


def array(work: Work, costs: Costs, mean: float, rng: np.random.Generator) -> Ended:
    """Simulate tasks that know nothing of each other."""
    walls, failures, used = [], 0, 0.0
    for place in range(work.devices):
        rests = [work.seconds] * len(range(place, work.blocks, work.devices))
        wall, delay = 0.0, costs.start
        while rests:
            ends = np.cumsum([whole(rest, costs) for rest in rests])
            failure = rng.exponential(mean)
            if failure >= delay + ends[-1]:
                wall += delay + ends[-1]
                break
            worked = max(0.0, failure - delay)
            done = int(np.searchsorted(ends, worked, side="right"))
            rests = rests[done:]
            if rests:
                rests[0] -= reached(worked - (ends[done - 1] if done else 0.0), costs)
            wall, failures, delay = wall + failure, failures + 1, costs.restart
        walls.append(wall)
        used += wall
    kept = work.blocks * work.seconds
    return Ended(max(walls), failures, max(0.0, 1 - kept / used))


def _lost(kept: float, work: Work, wall: float) -> float:
    busy = min(work.devices, work.blocks)
    idle = (work.rounds * busy - work.blocks) * work.seconds  # in the last round
    return max(0.0, 1 - kept / (busy * wall - idle))


def without_states(work: Work, costs: Costs, mean: float, rng: np.random.Generator) -> Ended:
    """Simulate one run that keeps finished blocks, and nothing of those it works on."""
    return one_run(work, costs._replace(interval=math.inf), mean, rng)


WAYS = {"one run": one_run, "one run, no states": without_states, "an array": array}


def daly(seconds: float, costs: Costs, mean: float) -> float:
    """Return the expected seconds of work on one device that fails, a state at every interval.

    Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, 2006, with M
    the mean time between failures, R the restart, d a state, tau the interval, K intervals:

        M exp(R / M) ((K - 1) (exp((tau + d) / M) - 1) + exp(tau / M) - 1) .

    Failures may hit a restart; no state is written at the end, and the start takes no time.
    """
    tau, count = costs.interval, seconds / costs.interval
    each = (count - 1) * math.expm1((tau + costs.state) / mean) + math.expm1(tau / mean)
    return mean * math.exp(costs.restart / mean) * each


def young(state: float, mean: float) -> float:
    """Return Young's interval between states, sqrt(2 d M): the best where M is much larger.

    Example:
        >>> young(0.5, 10_000.0)
        100.0
    """
    return math.sqrt(2 * state * mean)
