"""What a set of update directions reaches: orthants, dimensions spanned, effective dimension.

Pure functions of NumPy arrays [vector, coordinate]; sums are taken in float64.
"""

import numpy as np

RANK_TOLERANCE = 1e-5
"""Singular values of unit vectors, as a share of the largest, below which they are rounding.

Rounding of float32 leaves about 1e-7; the smallest that an eighth of a gray level makes in the
first hundred digits is 1e-3."""


def one_signed(vectors: np.ndarray) -> np.ndarray:
    """Return [vector] whether its nonzero entries have one sign; a zero vector's do.

    Example:
        >>> one_signed(np.array([[1.0, 0.0], [1.0, -1.0], [0.0, -2.0]])).tolist()
        [True, False, True]
    """
    return np.logical_not((vectors > 0).any(axis=1) & (vectors < 0).any(axis=1))


def orthants_met(vectors: np.ndarray) -> np.ndarray:
    """Return [vector] how many orthants the vectors up to each one lie in.

    A zero coordinate lies in two orthants and is counted with the majority of the vector's signs,
    so that one-signed vectors, whatever their zeros, lie in no more than two. Zero vectors lie in
    none.

    Example:
        >>> orthants_met(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, -3.0]])).tolist()
        [0, 1, 1, 2]
    """
    positive, negative = vectors > 0, vectors < 0
    majority = positive.sum(axis=1) >= negative.sum(axis=1)
    signs = np.where(positive | negative, positive, majority[:, None])
    moving = np.atleast_1d((positive | negative).any(axis=1))
    codes = [row.tobytes() for row in np.packbits(signs, axis=1)]
    met: set[bytes] = set()
    counts = np.zeros(len(vectors), np.int64)
    for place, (code, moves) in enumerate(zip(codes, moving, strict=True)):
        if moves:
            met.add(code)
        counts[place] = len(met)
    return counts


def minority_share(vector: np.ndarray) -> float:
    """Return the share of the rarer sign among nonzero entries: 0 if one-signed, at most 1/2.

    Example:
        >>> minority_share(np.array([3.0, -1.0, 2.0, 5.0, 0.0]))
        0.25
    """
    positive, negative = int((vector > 0).sum()), int((vector < 0).sum())
    total = positive + negative
    return min(positive, negative) / total if total else float("nan")


def rank(vectors: np.ndarray) -> int:
    """Return how many dimensions the directions of the vectors span; zero vectors have none.

    Example:
        >>> rank(np.array([[1.0, 1.0, 0.0], [-2.0, -2.0, 0.0], [1e-9, 2e-9, 0.0], [0.0, 0.0, 0.0]]))
        2
    """
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    directions = vectors[lengths > 0] / lengths[lengths > 0, None]
    if not len(directions):
        return 0
    if len(directions) > directions.shape[1]:
        squares = np.linalg.eigvalsh(directions.T @ directions)
    else:
        squares = np.linalg.eigvalsh(directions @ directions.T)
    # float64 holds squares of float32's singular values to 1e-8 of the largest
    return int((squares > RANK_TOLERANCE**2 * squares[-1]).sum())


def second_moment_spectrum(vectors: np.ndarray) -> np.ndarray:
    """Return [coordinate] the eigenvalues of sum_t u_t u_t^T as shares of their sum, descending.

    Example:
        >>> print(second_moment_spectrum(np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0]])))
        [0.88888889 0.11111111]
    """
    vectors = np.asarray(vectors, np.float64)
    values = np.maximum(np.linalg.eigvalsh(vectors.T @ vectors)[::-1], 0.0)
    return values / values.sum() if values.sum() > 0 else np.full_like(values, np.nan)


def effective_dimension(spectrum: np.ndarray) -> float:
    """Return the participation ratio (sum_i l_i)^2 / sum_i l_i^2 of eigenvalues.

    It is k for k equal ones, and 1 where one holds all.

    Example:
        >>> effective_dimension(np.array([3.0, 3.0, 0.0]))
        2.0
    """
    return float(spectrum.sum() ** 2 / (spectrum**2).sum())


def effective_dimension_of_gram(gram: np.ndarray) -> float:
    """Return the same from inner products [vector, vector]: (tr G)^2 / sum_st G_st^2.

    Example:
        >>> effective_dimension_of_gram(np.eye(3))
        3.0
    """
    gram = np.asarray(gram, np.float64)
    with np.errstate(invalid="ignore"):
        return float(np.trace(gram) ** 2 / (gram**2).sum())
