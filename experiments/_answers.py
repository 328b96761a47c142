"""The two threads answered in plain language, each statement with the claims that bear it.

The page shows a statement only as far as a run's verdicts bear it, see `signdyn.report.threads`.
"""

from experiments._questions import QUESTIONS, THREADS
from signdyn.report.threads import Statement, Thread

STATEMENTS = {
    "a": (
        Statement(
            "Yes, and it is common: about half of a trained ReLU ConvNet's weights are negative, "
            "in every layer a good part of them.",
            ("negative_weights/convnet_half", "negative_weights/every_layer"),
        ),
        Statement(
            "Most of these were negative before the first step, for usual starts are symmetric. "
            "But from a start with positive weights only, and without weight decay, every layer "
            "of a perceptron has negative weights after two steps, and with more training every "
            "layer of the ConvNet has them too.",
            (
                "negative_weights/from_start",
                "negative_weights/first_steps",
                "negative_weights/arises",
            ),
        ),
        Statement(
            "What makes them is the gradient: a ReLU clips outputs, not what comes back, and the "
            "deltas that arrive from above have both signs.",
            ("negative_weights/deltas",),
        ),
        Statement(
            "Weight decay alone flips no sign: it only lets the start be forgotten.",
            ("negative_weights/decay_alone", "negative_weights/decay_forgets"),
        ),
        Statement(
            "Negating an input and the weights that read it changes training by no bit, so a "
            "weight's sign means nothing without the sign of what it reads. Of a hidden unit this "
            "is true only if its ReLU's sign is turned too.",
            ("negative_weights/input_loss", "negative_weights/hidden_loss"),
        ),
        Statement(
            "That weights after the first layer stay non-negative without leaky ReLU is wrong, and "
            "leaky ReLU is not what brings negative ones.",
            ("negative_weights/later_stay", "negative_weights/leaky_brings"),
            needs="refuted",
        ),
        Statement(
            "Weights held at zero or above, like numbers of synapses, cost much: such a network "
            "cannot learn XOR at all, and is worse on images; with x and -x as inputs it can.",
            (
                "negative_weights/held_xor",
                "negative_weights/held_loss",
                "negative_weights/mirrored_xor",
            ),
        ),
    ),
    "b": (
        Statement(
            "The premise is true of one unit and one example: where all inputs are positive, the "
            "gradients on the unit's weights have one sign.",
            ("sign_flip/example_input_relu", "two_weights/example_quadrants"),
        ),
        Statement(
            "It is not true of a batch, of a layer's matrix, nor of a convolution, whose weights "
            "see many positions of one example.",
            (
                "sign_flip/batch_unanimity_relu",
                "sign_coherence/layer",
                "sign_coherence/convolution_first",
            ),
            needs="refuted",
        ),
        Statement(
            "What sets the one sign is what comes from above, and a slope that is positive decides "
            "nothing: about half of all deltas are. A batch mixes signs down to a plateau that the "
            "inputs' mean decides, whatever the number of examples.",
            (
                "sign_coherence/from_above",
                "sign_coherence/half",
                "sign_coherence/mixing",
                "sign_coherence/plateau",
            ),
        ),
        Statement(
            "And the common sign is not the cause: flipping random signs destroys it and changes "
            "the loss at no step, by no bit.",
            ("sign_flip/flip_coherence_relu", "sign_flip/flip_exact_full"),
        ),
        Statement(
            "The cause is the mean. Subtracting it, the function unchanged, cuts the steps to a "
            "target by a factor of about four, each network at its own best rate.",
            (
                "sign_flip/center_steps_full_sigmoid",
                "sign_flip/center_steps_full_tanh",
                "sign_flip/center_steps_full_relu",
            ),
        ),
        Statement(
            "The zig-zag comes of steps too large for the one direction that the mean makes "
            "steep. At small steps nothing turns back, and the raw network is slow all the same.",
            ("sign_flip/small_zigzag_sigmoid", "sign_flip/small_slower_sigmoid"),
        ),
        Statement(
            "The rigorous version is the Fisher matrix: the mean gives it one outlying eigenvalue, "
            "which caps the learning rate, and which centering removes.",
            ("fisher_spectrum/digits_lambda_relu", "fisher_spectrum/digits_lambda_sigmoid"),
        ),
        Statement(
            "Natural gradients, undamped, cannot see the mean: centered or not, sigmoid or tanh, "
            "they take the same steps. Gradient descent does not.",
            (
                "natural_gradient/same_centered",
                "natural_gradient/same_sigmoid",
                "natural_gradient/sgd_differs_centered",
            ),
        ),
        Statement(
            "Other optimizers do not make centering needless. Momentum and Adam average the "
            "zig-zag away, their updates hardly turn back, and they gain from centering all the "
            "same; sign descent gains most.",
            (
                "optimizers/smooth_momentum",
                "optimizers/smooth_adam",
                "optimizers/gain_momentum",
                "optimizers/gain_adam",
                "optimizers/gain_sign_descent",
            ),
        ),
        Statement(
            "It is not the vanishing gradient: centering leaves every delta as it is, and ReLU "
            "networks, whose deltas do not vanish, gain from it.",
            (
                "vanishing_gradients/deltas_same",
                "vanishing_gradients/keep_relu",
                "vanishing_gradients/steps_relu",
            ),
        ),
        Statement(
            "It hinders finding the optimum, not generalizing: at the same training loss the raw "
            "network tests as well as the centered one.",
            ("generalization/optimum_clean_relu", "generalization/loss_clean_relu"),
        ),
        Statement(
            "Nor does it shut off a part of the space: updates of one sign span as many "
            "dimensions, and soon reach more than two orthants.",
            ("generalization/reach_sigmoid", "generalization/space_sigmoid"),
            needs="refuted",
        ),
        Statement(
            "In the playground tanh does train faster than sigmoid, but because of its start, "
            "slope and scale, which are learning rates in disguise, more than of its center.",
            (
                "sigmoid_vs_tanh/lead_circle",
                "sigmoid_vs_tanh/start",
                "sigmoid_vs_tanh/in_disguise",
            ),
        ),
        Statement(
            "Labels of -1 and 1 are not what makes it faster.",
            ("sigmoid_vs_tanh/labels_are_why_circle",),
            needs="refuted",
        ),
    ),
}
"""Letter of the thread -> its statements, in the order of the argument."""


def answered_threads() -> tuple[Thread, ...]:
    """Return both threads with their statements and questions."""
    return tuple(
        Thread(
            title,
            STATEMENTS[letter],
            {name: text for name, text in QUESTIONS.items() if name.startswith(letter)},
        )
        for letter, title in THREADS.items()
    )
