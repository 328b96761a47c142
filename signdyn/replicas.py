"""One replica before its first step: what is static, what is batched, what is random.

`Structure` decides the compiled program, `Hyper` is data. A replica's initial weights, signs,
label noise and data order depend on its key alone, never on its hyperparameters, so variants with
the same key are paired.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from signdyn.centering import CENTERINGS, Centering, Site, resolve_sites
from signdyn.checks import check_fields
from signdyn.inputs import reader
from signdyn.likelihoods import Likelihood
from signdyn.models.traces import Statistics, init_params, site_means
from signdyn.models.whole_set import whole_statistics
from signdyn.types import Params


@dataclass(frozen=True)
class Structure:
    """What decides the compiled program. Another value is another program.

    Attributes:
        model: A Flax module with the conventions of `signdyn.models.mlp`.
        likelihood: Loss and output distribution.
        optimizer: Name in `signdyn.optimizers.DIRECTIONS` or ``NATURAL``.
        steps: Number of updates.
        batch_size: Examples a step; None means all of them.
        record_every: Steps between evaluations on the whole training set and probe readings.
        damping: Rule in `signdyn.optimizers.DAMPINGS`, for natural gradients.
        damping_frame: In `signdyn.optimizers.FRAMES`.
        nonnegative: Layers whose kernels are held at zero or above: they start at their absolute
            values and every update is projected. Biases are free.
        inverse_period: Steps between the inversions of optimizers that keep some, see
            `signdyn.kronecker`.
    """

    model: Any
    likelihood: Likelihood
    optimizer: str = "sgd"
    steps: int = 100
    batch_size: int | None = None
    record_every: int = 1
    damping: str = "scheduled"
    damping_frame: str = "own"
    nonnegative: tuple[str, ...] = ()
    inverse_period: int = 1

    def __post_init__(self):
        """Refuse what cannot be trained with."""
        check_fields(self)
        if self.inverse_period < 1:
            raise ValueError(
                f"Structure: inverse_period must be at least 1, got {self.inverse_period}."
            )
        if self.steps < 1:
            raise ValueError(f"Structure: steps must be at least 1, got {self.steps}.")
        if self.record_every < 1 or self.steps % self.record_every:
            raise ValueError(
                f"Structure: record_every must divide steps, got record_every="
                f"{self.record_every} and steps={self.steps}."
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"Structure: batch_size must be positive, got {self.batch_size}.")
        unknown = [name for name in self.nonnegative if name not in self.model.layer_names]
        if unknown:
            raise ValueError(
                f"Structure: nonnegative must name layers of the model "
                f"({', '.join(self.model.layer_names)}), got {unknown[0]!r}."
            )


class Hyper(NamedTuple):
    """What is batched: every leaf a scalar array (or a Python float before stacking).

    Attributes:
        learning_rate: Step size.
        weight_decay: Decoupled, on kernels only.
        momentum: Decay of the velocity, or of Adam's first moment.
        init_scale: Factor on the initial kernels.
        label_noise: Probability that a training label is redrawn uniformly.
        centering: Coefficients of the sites.
        damping: What natural gradients add to the Fisher's diagonal, in units of F, at the first
            step. It decides what they do, so there is no default: NaN, and so is the step.
        damping_decay: Factor on the damping a step, under the scheduled rule.
        positive_init: Positive to start all kernels at their absolute values, 0 as drawn.
    """

    learning_rate: Float[Array, "..."] | float
    weight_decay: Float[Array, "..."] | float = 0.0
    momentum: Float[Array, "..."] | float = 0.9
    init_scale: Float[Array, "..."] | float = 1.0
    label_noise: Float[Array, "..."] | float = 0.0
    centering: Centering = CENTERINGS["none"]
    damping: Float[Array, "..."] | float = math.nan
    damping_decay: Float[Array, "..."] | float = 1.0
    positive_init: Float[Array, "..."] | float = 0.0


class Draw(NamedTuple):
    """Everything random about a replica: a function of its key alone, see `draw_replica`.

    Attributes:
        params: Initial parameters, before ``init_scale`` and function matching.
        signs: One array [units] a site, +1 or -1; used where ``flip`` is set.
        label_noise: [2, N] uniform numbers: whether a label is redrawn, and what it becomes.
        batches: [steps, batch] rows of the training set, or None for all rows every step.
    """

    params: Params
    signs: tuple[Float[Array, " _"], ...]
    label_noise: Float[Array, "2 examples"]
    batches: Int[Array, "steps batch"] | None


class Start(NamedTuple):
    """A replica before its first step.

    Attributes:
        params: Function-matched to ``sites``.
        sites: One a layer.
        statistics: Of the whole training set, and so the same for all variants of a seed.
        labels: Of the training set, with their noise.
        batches: [steps, batch] rows of the training set, or None for all rows every step.
    """

    params: Params
    sites: tuple[Site, ...]
    statistics: Statistics
    labels: Array
    batches: Int[Array, "steps batch"] | None

    @property
    def means(self) -> tuple[Float[Array, " _"], ...]:
        """Each site's mean activation before centering."""
        return self.statistics.means


def draw_replica(
    model: Any,
    shape: tuple[int, int],
    dtype: str,
    batching: tuple[int, int] | None,
    key: PRNGKeyArray,
) -> Draw:
    """Return everything random about the replica with this key.

    Args:
        model: The Flax module.
        shape: Shape of the training inputs, as the model reads them.
        dtype: Their type there.
        batching: Batch size and number of steps, or None for full batches.
        key: The replica's key.
    """
    init_key, sign_key, noise_key, order_key = jax.random.split(key, 4)
    x = jnp.zeros(shape, dtype)
    params = init_params(model, init_key, x)
    units = [mean.shape[0] for mean in jax.eval_shape(partial(site_means, model), params, x)]
    signs = jax.random.rademacher(sign_key, (sum(units),), x.dtype)
    splits = [sum(units[:i]) for i in range(1, len(units))]
    return Draw(
        params=params,
        signs=tuple(jnp.split(signs, splits)),
        label_noise=jax.random.uniform(noise_key, (2, shape[0]), x.dtype),
        batches=None if batching is None else batch_order(order_key, shape[0], *batching),
    )


def start_replica(structure: Structure, data: Any, draw: Draw, hyper: Hyper) -> Start:
    """Return a replica's function-matched start.

    Args:
        structure: Static description.
        data: Training data, as for `make_train_fn`.
        draw: From `draw_replica`.
        hyper: Scalar leaves.
    """
    x, y = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    params = {
        name: _started(layer, hyper, name in structure.nonnegative)
        for name, layer in draw.params.items()
    }
    statistics = whole_statistics(structure.model, params, x, reader(data))
    sites = resolve_sites(hyper.centering, statistics.means, draw.signs)
    return Start(
        params=structure.model.matched(params, sites, statistics.means),
        sites=sites,
        statistics=statistics,
        labels=noisy_labels(draw.label_noise, y, data.num_classes, hyper.label_noise),
        batches=draw.batches,
    )


def _started(layer: Params, hyper: Hyper, nonnegative: bool) -> Params:
    """Return a layer's drawn parameters with its kernels scaled, and made positive if asked."""

    def start(p: Array) -> Array:
        if p.ndim < 2:
            return p
        kernel = p * hyper.init_scale
        positive = nonnegative | (jnp.asarray(hyper.positive_init) > 0)
        return jnp.where(positive, jnp.abs(kernel), kernel)

    return jax.tree.map(start, layer)


def noisy_labels(
    uniforms: Float[Array, "2 examples"],
    labels: Shaped[Array, "examples ..."],
    num_classes: int,
    probability: Float[Array, ""] | float,
) -> Shaped[Array, "examples ..."]:
    """Return ``labels`` with each redrawn uniformly, with the given probability.

    Classes (integers) are drawn from all ``num_classes``, other labels from the examples'. A label
    changed at probability .1 is changed to the same at .2.

    Args:
        uniforms: Numbers in [0, 1): whether a label is redrawn, and what it becomes.
        labels: As they are.
        num_classes: How many classes there are, if labels are integers.
        probability: Of being redrawn.

    Example:
        >>> uniforms = jnp.array([[0.05, 0.95], [0.6, 0.6]])
        >>> noisy_labels(uniforms, jnp.array([0, 0]), 2, 0.1).tolist()
        [1, 0]
    """
    if jnp.issubdtype(labels.dtype, jnp.integer):
        redrawn = jnp.floor(uniforms[1] * num_classes).astype(labels.dtype)
    else:
        redrawn = labels[jnp.floor(uniforms[1] * len(labels)).astype(jnp.int32)]
    chosen = uniforms[0].reshape(-1, *[1] * (labels.ndim - 1)) < probability
    return jnp.where(chosen, redrawn, labels)


def batch_order(
    key: PRNGKeyArray, num_examples: int, batch_size: int, steps: int
) -> Int[Array, "steps batch"]:
    """Return the examples of every step: a fresh permutation an epoch, its remainder dropped.

    Args:
        key: Decides the permutations.
        num_examples: Examples there are.
        batch_size: Examples of a step.
        steps: How many.

    Raises:
        ValueError: If a batch would hold more examples than there are.

    Example:
        >>> rows = batch_order(jax.random.key(0), num_examples=5, batch_size=2, steps=2)
        >>> len(set(rows.ravel().tolist()))  # one epoch: no example twice
        4
    """
    if not 0 < batch_size <= num_examples:
        raise ValueError(
            f"batch_order: expected 1 <= batch_size <= num_examples, got {batch_size=} and "
            f"{num_examples=}."
        )
    per_epoch = num_examples // batch_size
    epochs = -(-steps // per_epoch)
    keys = jax.random.split(key, epochs)
    order = jax.vmap(lambda k: jax.random.permutation(k, num_examples))(keys)
    order = order[:, : per_epoch * batch_size].reshape(-1, batch_size)
    return order[:steps].astype(jnp.int32)
