"""What several modules of claims and the figures name alike."""

from experiments._negative_weights.arms import STRONG_DECAY

SHARES, MIRROR, DECAY, SYNAPSES = "shares", "mirror", "decay", "synapses"
"""Figures."""

NETWORKS = {"convnet": "ConvNet", "perceptron": "perceptron"}

STRONG = f"decay_{STRONG_DECAY:g}"
