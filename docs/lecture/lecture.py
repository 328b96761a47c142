# %% [markdown]
# # From one neuron to the Fisher
#
# "All inputs of a neuron are positive, so the gradients on its weights are all positive or all
# negative, so training zig-zags; it would be better if activations were zero-centered." Is that
# right? Nine small measurements on handwritten digits, each seeded, each with its figure in the
# folder `figures`. About a quarter of an hour to read; all cells together took 29 s on two cores of
# an AMD EPYC.

# %%
# ruff: noqa: D100, E402, T201
import os
import subprocess
import sys
from pathlib import Path

CLONE = "the address of your clone"  # of a hosted notebook, which has no signdyn yet: https://...
inside = Path(globals().get("__file__", "notebook")).resolve().parents  # of a clone, it may be
sys.path += [str(folder) for folder in inside if (folder / "signdyn/__init__.py").exists()]
try:
    import signdyn  # noqa: F401
except ModuleNotFoundError:
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, f"signdyn @ git+{CLONE}"], check=True)

# %%
import jax
import jax.numpy as jnp
import numpy as np

from signdyn.analysis.fisher import fisher_factor, mean_covariance_split
from signdyn.analysis.natural import natural_gradient
from signdyn.analysis.spectrum import fisher_spectrum, spectrum_of_gram
from signdyn.analysis.theory import critical_learning_rate, null_coherence
from signdyn.centering import CENTERINGS
from signdyn.data import load
from signdyn.diagnostics.signs import example_sign_unanimity, sign_coherence
from signdyn.diagnostics.zigzag import empty_path, extend, reversal_fraction
from signdyn.likelihoods import bernoulli, categorical
from signdyn.models.mlp import MLP
from signdyn.models.traces import apply_frozen, trace_batch
from signdyn.replicas import draw_replica, start_replica
from signdyn.report.figures import chance_line, key, panels, theory_line
from signdyn.report.style import look, save_figure
from signdyn.sweeps import stack_hypers
from signdyn.training import Hyper, Structure, make_train_fn

jax.config.update("jax_enable_x64", True)  # what is equal is to be equal to the last digits
FIGURES = Path(os.environ.get("FIGURES", "figures"))


def show(figure, name):
    """Write a figure as SVG and PDF; in a notebook, show it too."""
    svg, _ = save_figure(figure, FIGURES, name)
    if "ipykernel" in sys.modules:
        from IPython.display import SVG, display

        display(SVG(svg))


digits = load("digits")
is_pair = np.isin(digits.y_train, (3, 8))
x = jnp.asarray(digits.x_train[is_pair], jnp.float64)  # the ink of 64 pixels, from 0 to 1
y = jnp.asarray(digits.y_train[is_pair] == 8, jnp.float64)[:, None]
likelihood = bernoulli()
print(f"{len(x)} digits, 3 or 8; the least input is {x.min():g}")

# %% [markdown]
# ## 1. One neuron, and the signs of its gradients
#
# One neuron reads the 64 pixels and says p(8). Its gradient on one example is `delta * x`: delta is
# one number, whatever comes from above, and no pixel is negative. So the premise is true, of one
# neuron and one example. What happens when a batch is averaged?

# %%
rng = np.random.default_rng(0)
w = jnp.asarray(rng.normal(0.0, 0.1, (x.shape[1], 1)))
deltas = jax.nn.sigmoid(x @ w) - y  # d nll / d output
share = jnp.nanmean(example_sign_unanimity(x, deltas))
print(f"examples whose gradient has one sign: {share:.0%}")

gradients = deltas * x
sizes = (1, 2, 4, 8, 16, 32, 64, 128)
coherence = {}
for size in sizes:
    batches = rng.integers(len(x), size=(400, size))  # 400 batches, one column of the kernel each
    coherence[size] = sign_coherence(gradients[batches].mean(axis=1).T)
    print(
        f"batch of {size:3d}: |sum of signs| / number of weights, mean over batches "
        f"{np.nanmean(coherence[size]):.2f}"
    )

figure, axes = panels(xlabel="examples in the batch", ylabel="mean sign coherence")
axes[0, 0].semilogx(
    sizes, [np.nanmean(c) for c in coherence.values()], "o-", color=look("raw").color
)
chance_line(axes[0, 0], null_coherence(x.shape[1]), "64 random signs")
show(figure, "1_one_neuron")

# %% [markdown]
# One example: all of one sign. In a batch the deltas of both classes mix, and the signs with them,
# yet not down to chance. Does what is left of the common sign cost anything?
#
# ## 2. Two weights, so that everything fits into a picture
#
# Sum the ink of twelve pixels (an 8 is closed there, a 3 is open) and add a constant 1: two
# positive inputs, two weights. Centering the ink is a change of coordinates, b' = b + w * mean: the
# neuron, its start and its minimum stay the same functions.

# %%
images = x.reshape(-1, 8, 8)
ink = images[:, 1:5, 0:3].sum(axis=(1, 2))
raw = jnp.stack([ink, jnp.ones_like(ink)], axis=1)
mean = ink.mean()
inputs = {"raw": raw, "centered": raw - jnp.array([mean, 0.0])}


def neuron(theta, x):
    """Return the neuron's one output for every example."""
    return x @ theta[:, None]


def loss_of(theta, x):
    """Return the mean nll of the neuron, in nats."""
    return jnp.mean(likelihood.nll(neuron(theta, x), y))


@jax.jit
def natural_step(theta, x):
    """Return what a step of natural gradient subtracts from the weights."""
    A = fisher_factor(neuron, likelihood, theta, x)  # A.T @ A is the Fisher
    return natural_gradient(A, jax.grad(loss_of)(theta, x), damping=0.0)


best = {
    arm: jnp.zeros(2) for arm in inputs
}  # of a convex loss: twenty such steps go to the minimum
for arm in 20 * list(inputs):
    best[arm] -= natural_step(best[arm], inputs[arm])
factor = {arm: fisher_factor(neuron, likelihood, best[arm], inputs[arm]) for arm in inputs}
eigenvalues = {arm: spectrum_of_gram(A) for arm, A in factor.items()}
for arm, (largest, least) in eigenvalues.items():
    print(f"{arm:8s}: lambda_max {largest:.3f}, lambda_max / lambda_min {largest / least:.1f}")

# %% [markdown]
# ## 3. The learning rate is capped by 2 / lambda_max
#
# At the minimum the Fisher is the curvature of the loss. Gradient descent at a rate below
# 2 / lambda_max arrives; above it, it does not. Close to the cap the path goes back and forth
# across the valley: that is the zig-zag. At a small rate nothing turns back, and it is slow all the
# same.


# %%
@jax.jit
def descend(x, theta, rate, target):
    """Return gradient descent's path and losses, and the share of turns back before the target."""

    def step(carry, _):
        theta, path, there = carry
        loss, grad = jax.value_and_grad(loss_of)(theta, x)
        there |= loss <= target
        path = extend(path, -rate * grad, where=~there)
        return (theta - rate * grad, path, there), (theta, loss)

    begin = theta, empty_path(theta), jnp.array(False)
    (_, path, _), (thetas, losses) = jax.lax.scan(step, begin, length=1000)
    return thetas, losses, reversal_fraction(path)


start = {"raw": jnp.array([-0.2, 0.2])}
start["centered"] = jnp.array([-0.2, 0.2 - 0.2 * mean])  # the same function
target = loss_of(best["raw"], raw) + 1e-4
paths = {}
for arm in inputs:
    for factor_of_cap in (0.2, 0.9, 1.1):
        rate = factor_of_cap * critical_learning_rate(eigenvalues[arm][0])
        thetas, losses, turns = descend(inputs[arm], start[arm], rate, target)
        there = np.asarray(losses <= target)
        steps = f"{there.argmax()} steps" if there[-1] else "does not arrive"
        paths[arm, factor_of_cap] = thetas
        print(f"{arm:8s} at {factor_of_cap} of the cap: {steps}, {turns:.0%} of the turns go back")

figure, axes = panels(1, 2, height=2.8, sharex=False, sharey=False, titles=list(inputs))
for ax, arm in zip(axes.flat, inputs, strict=True):
    path = np.asarray(paths[arm, 0.9][:60])
    span = 1.3 * np.abs(path - best[arm]).max()
    ticks = np.linspace(-span, span, 61)
    grid = np.stack(np.meshgrid(best[arm][0] + ticks, best[arm][1] + ticks), axis=-1)
    logits = grid @ np.asarray(inputs[arm]).T
    excess = (np.logaddexp(0.0, logits) - np.asarray(y[:, 0]) * logits).mean(axis=-1) - target
    ax.contour(*np.moveaxis(grid, -1, 0), excess, levels=10.0 ** np.arange(-3, 1), colors="#bdbdbd")
    ax.plot(*path.T, "o-", color=look(arm).color, markersize=2.5, linewidth=0.8)
    ax.set(xlabel="weight of the ink", ylabel="weight of the constant", aspect="equal")
show(figure, "2_two_weights")

# %% [markdown]
# ## 4. Flip signs: the symptom goes, the trouble stays
#
# Now a network. Give every pixel and every hidden unit a random sign, and negate the weights that
# read it: the same function. Gradients lose their common sign. The loss stays the same at every
# step, bit for bit: negation is exact in floating point.

# %%
structure = Structure(MLP((16,), 10, "sigmoid"), categorical(), steps=100)
RATES = (0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
ARMS = {"raw": CENTERINGS["none"], "flipped": CENTERINGS["flip"], "centered": CENTERINGS["both"]}
points = [(arm, rate) for arm in ARMS for rate in RATES]
train = jax.jit(jax.vmap(make_train_fn(structure, digits), in_axes=(None, 0)))
hypers = stack_hypers([Hyper(rate, momentum=0.0, centering=ARMS[arm]) for arm, rate in points])
result = train(jax.random.key(0), hypers)
losses = dict(zip(points, np.asarray(result.loss), strict=True))

draw = draw_replica(structure.model, digits.x_train.shape, "float32", None, jax.random.key(0))


@jax.jit
def before_the_first_step(hyper):
    """Return the start of an arm, and every layer's inputs and deltas there."""
    begun = start_replica(structure, digits, draw, jax.tree.map(lambda leaf: leaf[0], hyper))
    examples = jnp.asarray(digits.x_train), jnp.asarray(digits.y_train)
    traces = trace_batch(structure.model, categorical(), begun.params, *examples, begun.sites)
    return begun, traces


first = {}
for arm, centering in ARMS.items():
    first[arm] = begun, traces = before_the_first_step(
        stack_hypers([Hyper(0.0, centering=centering)])
    )
    signs = np.mean(sign_coherence(traces.grads["dense_1"]["kernel"]))
    print(
        f"{arm:8s}: sign coherence of the readout's gradient {signs:.2f}, first loss "
        f"{losses[arm, 0.4][0]:.6f}"
    )
same = all(np.array_equal(losses["raw", rate], losses["flipped", rate]) for rate in RATES)
print(f"raw and flipped have the same loss at every step and rate, bit for bit: {same}")

# %% [markdown]
# ## 5. Remove the mean: the trouble goes
#
# Subtract each pixel's and each hidden unit's mean, and fold it into the next bias: the same
# function once more, but another path.

# %%
TARGET = 0.5
steps = {}
for arm in ARMS:
    reached = np.array([losses[arm, rate] <= TARGET for rate in RATES])
    count = np.where(reached.any(axis=1), reached.argmax(axis=1), np.inf)
    steps[arm] = count.min()
    print(
        f"{arm:8s}: {steps[arm]:.0f} steps to {TARGET} nats, at its best rate "
        f"{RATES[count.argmin()]}"
    )
print(f"raw / centered: {steps['raw'] / steps['centered']:.1f}")

figure, axes = panels(xlabel="step", ylabel="training loss (nats)")
for arm in ARMS:
    fastest = min(RATES, key=lambda rate, arm=arm: np.nan_to_num(losses[arm, rate].mean(), nan=9))
    shown = look(arm)
    axes[0, 0].semilogy(
        losses[arm, fastest],
        color=shown.color,
        linewidth=shown.width,
        dashes=shown.dash or (None, None),
        label=shown.label,
    )
key(figure)
show(figure, "3_flip_and_center")

# %% [markdown]
# ## 6. Why: a mean is one large eigenvalue
#
# What a layer reads has the second moment E[a a^T] = Cov(a) + mean mean^T. The last part has one
# eigenvalue, |mean|^2, and it towers over what the covariance has.

# %%
read = np.asarray(first["raw"][1].inputs[1], np.float64)  # hidden outputs, before the first step
moments = {
    "raw": spectrum_of_gram(jnp.asarray(read / np.sqrt(len(read)))),
    "centered": spectrum_of_gram(jnp.asarray((read - read.mean(0)) / np.sqrt(len(read)))),
}
print(f"|mean|^2 = {np.sum(read.mean(0) ** 2):.3f}")
for arm, values in moments.items():
    print(f"{arm:8s}: largest eigenvalues", *(f"{value:.4f}" for value in values[:3]))

# %% [markdown]
# ## 7. The Fisher inherits it
#
# The Fisher of a dense layer is made of what it reads and of the deltas. Its largest eigenvalue is
# the curvature that caps the learning rate (section 3); the mean's share of it, by
# `mean_covariance_split`, is what centering can take away.


# %%
@jax.jit
def spectrum(begun):
    """Return all eigenvalues of the Fisher of a network before its first step, on 64 digits."""

    def model(params, x):
        return apply_frozen(structure.model, params, x, begun.sites, begun.statistics)

    return fisher_spectrum(
        model, categorical(), begun.params, jnp.asarray(digits.x_train[:64])
    ).eigenvalues


spectra = {}
for arm in ("raw", "centered"):
    spectra[arm] = spectrum(first[arm][0])
    print(
        f"{arm:8s}: lambda_max {spectra[arm][0]:.3f}, 2 / lambda_max "
        f"{critical_learning_rate(spectra[arm][0]):.2f}, trace {spectra[arm].sum():.2f}"
    )
print(f"lambda_max, raw / centered: {spectra['raw'][0] / spectra['centered'][0]:.1f}")
split = mean_covariance_split(jnp.asarray(read / np.sqrt(len(read))))
print(
    f"the mean's share of what the readout reads: {split.mean_trace_share:.0%} of the trace, "
    f"{split.mean_lambda_max_share:.0%} of the largest eigenvalue"
)

figure, axes = panels(
    1,
    2,
    titles=["E[a a^T] of the hidden units", "Fisher of all weights"],
    xlabel="rank",
    ylabel="eigenvalue",
    sharex=False,
    sharey=False,
)
for arm in ("raw", "centered"):
    for ax, values in zip(axes.flat, (moments[arm], spectra[arm]), strict=True):
        ax.loglog(
            1 + np.arange(16),
            values[:16],
            look(arm).marker + "-",
            color=look(arm).color,
            markersize=4,
            label=look(arm).label,
        )
theory_line(axes[0, 0], np.array([1.0, 16.0]), np.full(2, np.sum(read.mean(0) ** 2)), "|mean|^2")
key(figure)
show(figure, "4_the_outlier")

# %% [markdown]
# ## 8. Natural gradient is blind to it
#
# The natural gradient F^-1 g takes the same step in function space whatever the coordinates are.
# Centering is a change of coordinates. So it cannot matter, and there is no valley to cross.

# %%
outputs = {}
for arm in inputs:
    theta, along = start[arm], []
    for step in range(8):
        along.append(neuron(theta, inputs[arm])[:, 0])
        excess = loss_of(theta, inputs[arm]) - target
        if excess <= 0:
            print(f"natural gradient, {arm:8s}: {step} steps")
            break
        theta -= natural_step(theta, inputs[arm])
    outputs[arm] = jnp.stack(along)
apart = jnp.max(jnp.abs(outputs["raw"] - outputs["centered"]))
print(f"outputs differ by less than 1e-9 at every step: {bool(apart < 1e-9)}")

# %% [markdown]
# ## 9. So
#
# * One example's gradient does have one sign, and something of it is left in a batch. That is a
#   matter of coordinates: flipped, it is gone, and nothing else changes.
# * The cause is the mean. It is one outlying eigenvalue, first of E[a a^T] and then of the Fisher,
#   which caps the learning rate. Steps near the cap zig-zag; small steps do not, and crawl.
# * Centering takes the outlier away; natural gradients never see it.
#
# The experiments behind this, with intervals and controls: `python -m experiments.all`.
