"""Names and thresholds that several modules of claims, or the figures, share."""

PROFILE, DEPTH, FACTORIAL = "profile", "depth", "factorial"
"""Figures."""

OFF_CENTER = ("relu", "sigmoid")
"""Activations with a mean."""

UNITS = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}
