"""One block of replicas on every device, all at a time: what a sweep's inner loop does."""

from collections.abc import Callable
from typing import Any

import jax

from signdyn.handing import Shelf
from signdyn.lanes import Lanes, lane_devices
from signdyn.sweeps import block_program
from signdyn.training import TrainFn


def side_by_side(
    train: TrainFn, draws: Any, hypers: Any, width: int | None = None
) -> Callable[[], list[Any]]:
    """Return a run of all replicas, whose arguments lie on their devices already.

    Args:
        train: What a replica runs.
        draws: Leaves [replica, ...]; as many for each device.
        hypers: Leaves [replica].
        width: Replicas vmapped together; a device's all by default.

    Returns:
        A function of the blocks' results, which are there when it returns.

    Raises:
        ValueError: If the devices would not have as many replicas each.
    """
    devices, replicas = jax.local_devices(), len(jax.tree.leaves(hypers)[0])
    block = replicas // len(devices)
    if block * len(devices) != replicas:
        raise ValueError(
            f"side_by_side: {replicas} replicas do not fill {len(devices)} devices alike; "
            "let a number of devices that divides them be seen."
        )
    own = [slice(place * block, (place + 1) * block) for place in range(len(devices))]
    arguments = [
        jax.device_put(jax.tree.map(lambda leaf, part=part: leaf[part], (draws, hypers)), device)
        for part, device in zip(own, lane_devices(devices), strict=True)
    ]
    traced = block_program(train, block=block, width=width or block).trace(*arguments[0])
    program, lanes = Shelf(devices).compiled(traced, None), Lanes(devices)

    def run() -> list[Any]:
        calls = [lanes.submit(place, program, *one) for place, one in enumerate(arguments)]
        return jax.block_until_ready([call.result() for call in calls])

    return run
