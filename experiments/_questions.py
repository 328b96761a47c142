"""The questions that the claims answer: two public threads, told in our own words.

Thread A (2015) asks whether weights can become negative when every activation is a ReLU, thread B
(2016) why activations that are not zero-centered are a problem in backpropagation. Rows are cited
by id in every claim.
"""

from collections.abc import Mapping
from types import MappingProxyType

THREADS: Mapping[str, str] = MappingProxyType(
    {
        "a": "Can a ReLU network have negative weights?",
        "b": "Why are activations that are not zero-centered a problem?",
    }
)
"""First letter of an id -> what its thread asks."""

QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "a1": "With ReLU everywhere in a deep convolutional network, can weights be negative after "
        "enough epochs, and is that common?",
        "a2": "Yes, because weight decay prefers weights around zero, and so some become negative.",
        "a3": "Yes, because the gradient from the layers above may have either sign, and a step of "
        "SGD can push any weight below zero.",
        "a4": "Negate an input and the best network has the weights that read it negated, so "
        "negative must be as possible as positive.",
        "a5": "No: without leaky ReLU, weights after the first layer stay non-negative however "
        "long one trains.",
        "a6": "How would leaky ReLU bring negative weights?",
        "a7": "A trained ReLU network was seen to have negative weights, and negative biases.",
        "a8": "A weight is like a number of synapses: how could there be -2 of them?",
        "b1": "If all inputs of a unit are positive, the gradients on its weights are all positive "
        "or all negative.",
        "b2": "A sigmoid's derivative is positive, so deltas and gradients should be positive: why "
        "may they be negative?",
        "b3": "There is one gradient of the whole matrix: what does 'all' range over, a unit, a "
        "layer or the network?",
        "b4": "As only two orthants of directions can be reached, the path to good weights "
        "zig-zags.",
        "b5": "Is it the data or the activations that must be centered, and how does centering "
        "relate to it?",
        "b6": "What does it hinder: finding the optimum, or generalizing?",
        "b7": "Moving with all coordinates of one sign must shrink the space that is searched: one "
        "direction cannot span it.",
        "b8": "Something about the Fisher matrix and natural gradients makes this rigorous: what?",
        "b9": "ReLU is popular in convolutional networks: is this not the matter of vanishing "
        "gradients?",
        "b10": "Does the argument apply to convolutions, whose weights see many positions of one "
        "example?",
        "b11": "In the browser playground tanh trains faster than sigmoid, though the two are "
        "linearly related; perhaps because its labels are -1 and 1.",
        "b12": "Adding up a batch mixes the signs and softens the problem.",
        "b13": "The gradient is dL/dsigma times sigma (1 - sigma) times x: its sign is set by what "
        "comes from above.",
        "b14": "Which papers and concepts say this rigorously?",
        "b15": "Later layers too receive inputs that are not centered, so the effect reaches "
        "every layer.",
    }
)
"""Id -> what is asked or claimed."""
