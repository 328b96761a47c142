"""What several modules of claims and the figures name alike."""

RATES, GAINS, TURNS, CENTRALIZATION = "rates", "gains", "turns", "centralization"
"""Figures."""

WORDS = {
    "sgd": "plain gradient descent",
    "momentum": "momentum",
    "adam": "Adam",
    "sign_descent": "sign descent",
}
