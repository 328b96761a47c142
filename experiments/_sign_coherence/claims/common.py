"""What several modules of claims and the figures name alike."""

BATCH, TRAINING, CONVOLUTION, SCOPES = "batch_size", "training", "convolution", "scopes"
"""Figures."""

POSITIVE = ("relu", "softplus", "sigmoid")
"""Activations without negative values."""

SIGNED = ("tanh", "elu")
"""Activations whose units' means take both signs."""

CHANCE = 0.5

EXAMPLE, MINIBATCH, ALL = 0, 1, 2
"""Last axis of what is read in training: which gradients."""

ABOVE_CHANCE = "agreement above 1/2"
