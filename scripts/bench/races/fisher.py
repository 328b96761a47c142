"""Fishers, their spectra and their largest eigenpairs: signdyn against curvature libraries."""

import itertools

from scripts.bench import tasks
from scripts.bench.race import HOST_DEVICES, ONE_DEVICE, Bound, Contender, Race

TOPIC = "Fisher and spectra"
SMALL = {"widths": [64, 32, 10], "examples": 1797}
LARGE = {"widths": [64, 128, 128, 10], "examples": 512}
FLEET = {"widths": [64, 8, 10], "examples": 512, "seeds": 64}
NUM_SMALL, NUM_LARGE = tasks.num_params(SMALL["widths"]), tasks.num_params(LARGE["widths"])
PEERS = {
    "nngeometry": "nngeometry",
    "curvlinops": "curvlinops-for-pytorch",
    "backpack": "backpack-for-pytorch",
    "func": "torch",
    "asdl": "asdfghjkl",
}
NAMES = {"backpack": "BackPACK", "func": "torch.func", "asdl": "ASDL"}


def ours(make: str, name: str = "signdyn", **more: object) -> Contender:
    """Return a contender of `fisher_jax`."""
    packages = {"laplax": ("laplax", "jax"), "matfree": ("matfree", "jax")}.get(name, ("jax",))
    path = f"scripts.bench.contenders.fisher_jax:{make}"
    return Contender(name, path, packages, ONE_DEVICE, more=more)


def theirs(make: str, way: str, suffix: str = "", **more: object) -> Contender:
    """Return a contender of `fisher_torch` that takes a tool's way."""
    name = NAMES.get(way, way) + suffix
    path = f"scripts.bench.contenders.fisher_torch:{make}"
    return Contender(name, path, (PEERS[way], "torch"), more={"way": way, **more})


def of_torch(make: str, name: str, package: str, **more: object) -> Contender:
    """Return a contender of `fisher_torch` that is one tool's only."""
    path = f"scripts.bench.contenders.fisher_torch:{make}"
    return Contender(name, path, (package, "torch"), more=more)


def at_least(ratio: float, *names: str) -> tuple[Bound, ...]:
    """Return bounds on signdyn's lead over each of the others."""
    return tuple(Bound(name, "signdyn", at_least=ratio) for name in names)


def pairs_flop(widths: list[int], examples: int) -> float:
    """Return 2 N (pairs of inputs)(pairs of deltas), summed over pairs of layers."""
    total, layers = 0, [(a + 1, b) for a, b in itertools.pairwise(widths)]
    for k, (a, u) in enumerate(layers):
        total += a * (a + 1) // 2 * (u * (u + 1) // 2)
        total += sum(a * b * u * v for b, v in layers[:k])
    return 2.0 * examples * total


TOPS = [
    Race(
        id=f"fisher_top_{name}",
        topic=TOPIC,
        work=f"the ten largest eigenpairs of the Fisher, P = {count:,}",
        case=case,
        contenders=(
            ours("top"),
            ours("laplax_top", "laplax"),
            ours("matfree_top", "matfree"),
            of_torch("curvlinops_top", "curvlinops", PEERS["curvlinops"]),
            of_torch("eigenthings_top", "hessian-eigenthings", "hessian-eigenthings"),
        ),
        bounds=(
            *at_least(1.0, "laplax"),
            *at_least(1.5, "matfree"),
            *at_least(4.0, "curvlinops"),
            *at_least(10.0, "hessian-eigenthings"),
        ),
        tolerance={"eigenvalues": 1e-4},
    )
    for name, case, count in (("small", SMALL, NUM_SMALL), ("large", LARGE, NUM_LARGE))
]

DENSITIES = [
    Race(
        id=f"fisher_density_{name}",
        topic=TOPIC,
        work=f"the density of the Fisher's eigenvalues, 10 probes x 80 steps, P = {count:,}",
        case=case,
        contenders=(
            ours("density", way=way),
            ours("matfree_density", "matfree"),
            Contender(
                "hessian-eigenthings",
                "scripts.bench.contenders.fisher_torch:eigenthings_density",
                ("hessian-eigenthings", "torch"),
                more={"probes": 2},
                share=0.2,
            ),
        ),
        bounds=(*at_least(1.0, "matfree"), *at_least(7.0, "hessian-eigenthings")),
        tolerance={"effective": 5e-4},  # of the same probes; float32, lambda down to the damping
    )
    for name, case, count, way in (
        ("small", SMALL, NUM_SMALL, "matrix"),
        ("large", LARGE, NUM_LARGE, "products"),
    )
]

RACES = (
    Race(
        id="fisher_matrix",
        topic=TOPIC,
        work=f"the exact Fisher [P, P] of a 64-32-10 network on 1,797 digits, P = {NUM_SMALL:,}",
        case=SMALL,
        contenders=(
            ours("matrix"),
            ours("matrix", "explicit factor", way="factor"),
            ours("laplax_matrix", "laplax"),
            *(theirs("matrix", way) for way in PEERS),
        ),
        bounds=at_least(11.0, "laplax", *(NAMES.get(way, way) for way in PEERS)),
        tolerance={"diagonal": 1e-5, "sums": 1e-4},
        flop=pairs_flop(SMALL["widths"], SMALL["examples"]),
        flop_of="2 N (pairs of inputs)(pairs of deltas), symmetric pairs once",
    ),
    Race(
        id="fisher_spectrum",
        topic=TOPIC,
        work="all eigenvalues of that Fisher, at the accuracy of the float32 factor",
        case=SMALL,
        contenders=(
            ours("spectrum"),
            *(
                theirs("spectrum", way, ", float64")
                for way in ("nngeometry", "curvlinops", "func", "backpack")
            ),
            Contender(
                "nngeometry, float32",
                "scripts.bench.contenders.fisher_torch:spectrum",
                (PEERS["nngeometry"], "torch"),
                more={"way": "nngeometry", "double": False},
                agrees=("eigenvalues",),  # the small ones are lost
            ),
        ),
        bounds=at_least(
            5.0,
            "nngeometry, float64",
            "curvlinops, float64",
            "torch.func, float64",
            "BackPACK, float64",
            "nngeometry, float32",
        ),
        tolerance={"eigenvalues": 1e-5, "number_above_1e-10": 0.02},
    ),
    Race(
        id="fisher_gram",
        topic=TOPIC,
        work=f"the dual Gram matrix of a 64-128-128-10 network on 512 digits, P = {NUM_LARGE:,}",
        case=LARGE,
        contenders=(
            ours("gram"),
            ours("gram", "explicit factor", way="factor"),
            of_torch("gram", "BackPACK", PEERS["backpack"]),
        ),
        bounds=at_least(40.0, "explicit factor", "BackPACK"),
        tolerance={"trace": 1e-5, "norm": 1e-5},
    ),
    Race(
        id="fisher_gram_spectrum",
        topic=TOPIC,
        work="all nonzero eigenvalues of that network's Fisher",
        case=LARGE,
        contenders=(
            ours("spectrum"),
            of_torch("gram_spectrum", "BackPACK, float64", PEERS["backpack"]),
            Contender(
                "BackPACK, float32",
                "scripts.bench.contenders.fisher_torch:gram_spectrum",
                (PEERS["backpack"], "torch"),
                more={"double": False},
                agrees=("eigenvalues",),  # the small ones are lost
            ),
        ),
        bounds=at_least(3.0, "BackPACK, float64", "BackPACK, float32"),
        tolerance={"eigenvalues": 1e-5, "number_above_1e-10": 0.02},
    ),
    *TOPS,
    *DENSITIES,
    Race(
        id="fisher_spectra_of_seeds",
        topic=TOPIC,
        work="the Fisher spectra of 64 networks 64-8-10 on 512 digits in one call",
        case=FLEET,
        contenders=(
            Contender(
                "signdyn",
                "scripts.bench.contenders.fisher_jax:spectra_of_seeds",
                ("jax",),
                HOST_DEVICES,
            ),
            *(theirs("spectra_of_seeds", way) for way in ("nngeometry", "func")),
        ),
        bounds=at_least(8.0, "nngeometry", "torch.func"),
        tolerance={"eigenvalues": 1e-4},
        units=64.0,
        unit="network",
    ),
)
