"""The two threads answered in plain language, each statement with the claims that bear it.

The page shows a statement only as far as a run's verdicts bear it, see `signdyn.report.threads`.
"""

from experiments._questions import QUESTIONS, THREADS
from signdyn.report.threads import Statement, Thread

STATEMENTS = {
    "a": (
        Statement(
            "Yes, and it is common: about half of a trained ReLU ConvNet's weights are negative, "
            "and a quarter or more in every layer.",
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
            ("negative_weights/deltas", "negative_weights/arises"),
        ),
        Statement(
            "Weight decay alone flips no sign: it lets the start be forgotten.",
            ("negative_weights/decay_alone", "negative_weights/decay_forgets"),
        ),
        Statement(
            "That it takes weight decay to make weights negative is wrong: without it there are "
            "more than half as many, and with it they are not half of every layer's weights.",
            ("negative_weights/decay_needed", "negative_weights/decay_half"),
            needs="refuted",
        ),
        Statement(
            "Negating an input and the weights that read it changes training by no bit, so a "
            "weight's sign means nothing without the sign of what it reads. The same is true of a "
            "hidden unit whose output, behind its ReLU, is negated.",
            ("negative_weights/input_loss", "negative_weights/hidden_loss"),
        ),
        Statement(
            "That all weights into and out of hidden ReLU units may be negated is wrong: with the "
            "ReLU as it is, that is another function.",
            ("negative_weights/hidden_plain",),
            needs="refuted",
        ),
        Statement(
            "That weights after the first layer stay non-negative without leaky ReLU is wrong, and "
            "leaky ReLU is not what brings negative ones.",
            ("negative_weights/later_stay", "negative_weights/leaky_brings"),
            needs="refuted",
        ),
        Statement(
            "Weights held at zero or above, like numbers of synapses, have a price: such a network "
            "learns nothing of XOR, and its training loss on images is higher; with x and -x as "
            "inputs it solves XOR.",
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
            (
                "sign_flip/example_input_sigmoid",
                "sign_flip/example_input_relu",
                "two_weights/example_quadrants",
            ),
        ),
        Statement(
            "It is not true of a batch, of a layer's matrix, nor of a convolution, whose weights "
            "see many positions of one example.",
            (
                "sign_flip/batch_unanimity_sigmoid",
                "sign_flip/batch_unanimity_relu",
                "sign_coherence/layer",
                "sign_coherence/convolution_first",
                "sign_coherence/convolution_second",
            ),
            needs="refuted",
        ),
        Statement(
            "What sets the one sign is what comes from above: as weights are drawn, about half of "
            "all hidden deltas are positive.",
            ("sign_coherence/from_above", "sign_coherence/half"),
        ),
        Statement(
            "That a slope which is positive makes deltas positive is wrong.",
            ("sign_coherence/positive_deltas",),
            needs="refuted",
        ),
        Statement(
            "A batch mixes signs down to a plateau, which more examples do not change and which "
            "the uncentered cosine of the inputs decides.",
            (
                "sign_coherence/mixing",
                "sign_coherence/plateau_reached",
                "sign_coherence/plateau",
            ),
        ),
        Statement(
            "And the common sign is not the cause: flipping random signs destroys it and changes "
            "the loss at no step, by no bit.",
            (
                "sign_flip/flip_coherence_sigmoid",
                "sign_flip/flip_coherence_tanh",
                "sign_flip/flip_coherence_relu",
                "sign_flip/flip_exact_full",
                "sign_flip/flip_exact_minibatch",
            ),
        ),
        Statement(
            "The cause is the mean. Subtracting it, the function unchanged, cuts the steps to a "
            "target, each network at its own best rate.",
            (
                "sign_flip/center_steps_full_sigmoid",
                "sign_flip/center_steps_full_tanh",
                "sign_flip/center_steps_full_relu",
            ),
        ),
        Statement(
            "The zig-zag comes of large steps: at its best rate most of the raw network's turns go "
            "back, at a small one hardly any. There it is slow all the same: with rates that are "
            "an equal share of what curvature allows, it needs more steps than the centered one.",
            tuple(
                f"sign_flip/{claim}_{activation}"
                for claim in ("large_zigzag", "small_zigzag", "small_slower")
                for activation in ("sigmoid", "tanh", "relu")
            ),
        ),
        Statement(
            "The rigorous version is the Fisher matrix: means make its largest eigenvalue, and "
            "centering divides that by more than two.",
            (
                "fisher_spectrum/mean_lambda_max",
                "fisher_spectrum/digits_lambda_relu",
                "fisher_spectrum/digits_lambda_tanh",
                "fisher_spectrum/digits_lambda_sigmoid",
            ),
        ),
        Statement(
            "Natural gradients, undamped, cannot see the mean: centered or not, sigmoid or tanh, "
            "they take the same steps. Gradient descent does not.",
            (
                "natural_gradient/same_centered",
                "natural_gradient/same_sigmoid",
                "natural_gradient/sgd_differs_centered",
                "natural_gradient/sgd_differs_sigmoid",
            ),
        ),
        Statement(
            "Other optimizers do not make centering needless. The updates of momentum and Adam "
            "hardly turn back, and they gain from centering all the same; so does sign descent.",
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
            "It hinders finding the optimum: the raw network needs more than twice the steps. At "
            "the same training loss its test loss is that of the centered one, within a quarter.",
            tuple(
                f"generalization/{claim}_clean_{activation}"
                for claim in ("optimum", "loss")
                for activation in ("relu", "sigmoid")
            ),
        ),
        Statement(
            "That it hinders generalizing is wrong: at the same training loss the raw network does "
            "not err on three more of a hundred test examples.",
            ("generalization/error_clean_relu", "generalization/error_clean_sigmoid"),
            needs="refuted",
        ),
        Statement(
            "Nor does it shut off a part of the space: a sigmoid unit's updates of one sign span "
            "as many dimensions as a centered unit's. But they point along fewer of them, as its "
            "effective dimension tells.",
            ("generalization/space_same_sigmoid", "generalization/dimension_1_sigmoid"),
        ),
        Statement(
            "That only two orthants around the start can be reached is wrong, too.",
            ("generalization/reach_sigmoid",),
            needs="refuted",
        ),
        Statement(
            "In the playground tanh does train faster than sigmoid, because of its start, its "
            "slope and its scale, and the latter two are learning rates in disguise.",
            (
                "sigmoid_vs_tanh/lead_circle",
                "sigmoid_vs_tanh/lead_xor",
                "sigmoid_vs_tanh/lead_two_gaussians",
                "sigmoid_vs_tanh/start",
                "sigmoid_vs_tanh/slope",
                "sigmoid_vs_tanh/scale",
                "sigmoid_vs_tanh/in_disguise",
            ),
        ),
        Statement(
            "That sigmoid is slow there because it is not zero-centered is wrong: at the "
            "playground's rate centering makes less than half of tanh's lead.",
            ("sigmoid_vs_tanh/centering_is_why",),
            needs="refuted",
        ),
        Statement(
            "With each network at its own best rate, centering the sigmoid does cut the steps.",
            ("sigmoid_vs_tanh/best_centering",),
        ),
        Statement(
            "Labels of -1 and 1 make less than a quarter of tanh's lead.",
            ("sigmoid_vs_tanh/labels_share",),
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
