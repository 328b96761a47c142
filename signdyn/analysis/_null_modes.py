r"""How many eigenvalues of a Fisher are exactly zero, and why.

Public in :mod:`signdyn.analysis.theory`.
"""

from collections.abc import Sequence

from signdyn.checks import checked


@checked
def linear_null_modes(num_inputs: int, num_hidden: int, num_outputs: int) -> int:
    r"""Return the number of zero eigenvalues of the Fisher of x -> W2 W1 x, without biases.

    The function is the product W2 W1, and its first-order changes dW2 W1 + W2 dW1 span
    num_outputs r1 + num_inputs r2 - r1 r2 dimensions, with r1 and r2 the ranks of W1 and W2; all
    other directions are null. With a hidden layer no wider than inputs and outputs num_hidden^2
    are left: W1 -> G W1, W2 -> W2 G^{-1} changes nothing for any invertible G.

    Args:
        num_inputs: Columns of W1. The inputs must span them all.
        num_hidden: Rows of W1. The weights must be of full rank, as random ones are.
        num_outputs: Rows of W2, each with an output Fisher of full rank.

    Returns:
        The count, among num_hidden (num_inputs + num_outputs) parameters.

    Example:
        >>> linear_null_modes(10, 10, 10)  # half of the 200 parameters
        100
    """
    rank1, rank2 = min(num_inputs, num_hidden), min(num_hidden, num_outputs)
    image = num_outputs * rank1 + num_inputs * rank2 - rank1 * rank2
    return num_hidden * (num_inputs + num_outputs) - image


@checked
def scaling_null_modes(widths: Sequence[int]) -> int:
    """Return the number of zero eigenvalues of the Fisher that ReLU-like activations cause.

    phi(c u) = c phi(u) for c > 0, so a hidden unit's incoming weights and bias can grow by c and
    its outgoing weights shrink by it: one null mode a hidden unit, for every layer. It is the
    exact count for fully connected layers of generic weights, with enough examples, full-rank
    output Fisher, and no unit that is off, or on, for all examples: one that is always on is
    linear, so that its bias can be traded for those above, and two such mix.

    Args:
        widths: (inputs, hidden, ..., outputs).

    Returns:
        The number of hidden units.

    Example:
        >>> scaling_null_modes((64, 32, 16, 10))
        48
    """
    return sum(widths[1:-1])


@checked
def softmax_null_modes(fan_in: int) -> int:
    """Return the number of zero eigenvalues of the Fisher that a softmax over all K logits causes.

    Adding one vector to the weights of every class, and one number to every bias, adds the same
    number to all logits of an example, which leaves its probabilities alone.

    Args:
        fan_in: Inputs of the output layer, which has a bias.

    Returns:
        fan_in + 1.

    Example:
        >>> softmax_null_modes(8)
        9
    """
    return fan_in + 1
