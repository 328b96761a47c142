"""What a model takes from a whole training set, however many examples that holds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Array, Shaped

from signdyn.inputs import is_one_pass, mean_of_chunks
from signdyn.models.norms import Moments
from signdyn.models.traces import Statistics, batch_statistics, sown_statistics
from signdyn.types import Params


def whole_statistics(
    model: Any,
    params: Params,
    x: Shaped[Array, "example features"],
    read: Callable[[Array], Array],
) -> Statistics:
    """Return `batch_statistics` of a whole set: of many examples in chunks.

    Norms over the batch couple all examples, layer by layer. So of many examples each layer's
    moments are taken with those of the layers before it, in a pass of its own.

    Args:
        model: A module with the conventions of `signdyn.models.mlp`.
        params: The module's ``params`` collection.
        x: Examples.
        read: Examples -> what the model reads.
    """
    if is_one_pass(len(x)):
        return batch_statistics(model, params, read(x))

    def passed(norms: dict[str, Moments], x: Array) -> Statistics:
        given = {"norms": norms} if norms else {}
        variables = {"params": params}
        sown = model.apply(variables, read(x), mutable=["means", "norms"], **given)[1]
        return sown_statistics(model, sown)

    def moments(norms: dict[str, Moments], name: str) -> Moments:
        mean = mean_of_chunks(lambda x: passed(norms, x).norms[name].mean, x)

        def variance(x: Array) -> Array:
            own = passed(norms, x).norms[name]
            return own.var + (own.mean - mean) ** 2

        return Moments(mean, mean_of_chunks(variance, x))

    normalized = jax.eval_shape(partial(passed, {}), x[:1]).norms
    norms: dict[str, Moments] = {}
    for name in model.layer_names:
        if name in normalized:
            norms = {**norms, name: moments(norms, name)}
    means = mean_of_chunks(lambda x: passed(norms, x).means, x)
    return Statistics(means, norms)
