"""The figure that claims point to."""

FIGURE = "two_weights"
