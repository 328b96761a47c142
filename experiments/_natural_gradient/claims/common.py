"""What several modules of claims and the figures name alike."""

COORDINATES, LADDER, RACE, UNITS = "coordinates", "damping", "race", "units"
"""Figures."""

SAME, DIFFERENT = 1e-6, 0.01
"""Shares of the way moved: what counts as the same function, and as another one."""

GAP = "largest |output difference| to raw over steps, over raw's largest movement"

WORDS = {
    "input": "inputs centered",
    "hidden": "hidden units centered",
    "centered": "inputs and hidden units centered",
    "sigmoid": "a sigmoid for the tanh",
}
