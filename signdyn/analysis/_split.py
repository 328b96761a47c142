r"""The mean's part and the covariance's part of a second moment.

E[a a^T] = mu mu^T + Cov(a): the mean adds one outlier eigenvalue |mu|^2 to what the covariance
has. That holds for the inputs of a layer and for the rows of a Fisher factor alike. Private to
signdyn.analysis, re-exported by fisher; may import JAX.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.analysis._numbers import power_of_two
from signdyn.checks import checked


class MeanCovarianceSplit(NamedTuple):
    r"""How much of F = M + C is the mean's, see :func:`mean_covariance_split`.

    Attributes:
        mean_trace_share: tr M / tr F, in [0, 1]; the covariance's share is 1 less it.
        mean_lambda_max_share: lambda_max(M) / lambda_max(F), in [0, 1].
        covariance_lambda_max_share: lambda_max(C) / lambda_max(F), in [0, 1]. The two shares of
            lambda_max sum to at least 1.
        top_cosine: Length of the projection of F's top eigenvector on the span of the means, in
            [0, 1]: |cos| of the angle to the mean if there is but one. 0 if all means are zero.
    """

    mean_trace_share: Float[Array, ""]
    mean_lambda_max_share: Float[Array, ""]
    covariance_lambda_max_share: Float[Array, ""]
    top_cosine: Float[Array, ""]


@checked
def mean_covariance_split(A: Float[Array, "rows param"], *, rank: int = 1) -> MeanCovarianceSplit:
    r"""Split F = A^T A into the mean's part M and the covariance's part C, and compare them.

    With N examples and a_nr = sqrt(N) A_nr, so that F = (1/N) sum_n sum_r a_nr a_nr^T,

        mu_r = (1/N) sum_n a_nr ,    M = sum_r mu_r mu_r^T ,    C = F - M ,

    C as the second moment of a_nr - mu_r: no matrices are subtracted. Eigenvalues are squared
    singular values of the factors. Scaling A changes nothing, nor does a rotation of the columns.

    Args:
        A: Rows example-major, [N * rank, D], and divided by sqrt(N): ``inputs / sqrt(N)`` of a
            layer, or a factor from :mod:`signdyn.analysis.fisher`.
        rank: Rows an example; each of them has a mean of its own, since they are columns of the
            output factor and stand for different things.

    Returns:
        Four scalars in the dtype of A; NaN if A is zero. ``top_cosine`` is arbitrary if F has
        two largest eigenvalues. Means smaller than the rounding error of A, 10 eps |A|_F, count
        as zero in it.

    Raises:
        ValueError: If A is empty, or its rows are not a multiple of ``rank``.

    Example:
        >>> a = jnp.array([[3.0, 1.0], [3.0, -1.0]])  # mean (3, 0), covariance diag(0, 1)
        >>> split = mean_covariance_split(a / math.sqrt(2))
        >>> print(split.mean_trace_share, split.top_cosine)  # 9 / (9 + 1)
        0.9 1.0
    """
    if rank < 1 or A.size == 0 or A.shape[0] % rank:
        raise ValueError(
            f"mean_covariance_split: expected A [N * rank, D] of at least one example, got "
            f"{A.shape=}, {rank=}; pass the number of rows an example has, 1 for inputs."
        )
    A = A / power_of_two(jnp.max(jnp.abs(A)))
    rows = A.reshape(-1, rank, A.shape[1])
    mean = jnp.mean(rows, axis=0)
    means = math.sqrt(rows.shape[0]) * mean
    centered = (rows - mean[None]).reshape(A.shape)
    with jax.default_matmul_precision("highest"):
        _, sizes, directions = jnp.linalg.svd(A, full_matrices=False)
        _, mean_sizes, mean_directions = jnp.linalg.svd(means, full_matrices=False)
        covariance_size = jnp.linalg.svd(centered, compute_uv=False)[0]
        cosines = mean_directions @ directions[0]
    total = jnp.linalg.norm(sizes)
    means_count = mean_sizes > 10 * jnp.finfo(A.dtype).eps * total
    top_cosine = jnp.linalg.norm(jnp.where(means_count, cosines, 0.0))
    top_cosine = jnp.where(sizes[0] > 0, top_cosine, jnp.nan)
    shares = MeanCovarianceSplit(
        mean_trace_share=(jnp.linalg.norm(mean_sizes) / total) ** 2,
        mean_lambda_max_share=(mean_sizes[0] / sizes[0]) ** 2,
        covariance_lambda_max_share=(covariance_size / sizes[0]) ** 2,
        top_cosine=top_cosine,
    )
    return MeanCovarianceSplit(*(jnp.minimum(share, 1.0) for share in shares))  # against rounding
