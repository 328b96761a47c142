"""A natural-gradient step and a K-FAC step, in plain training steps of the same network."""

from scripts.bench.race import Bound, Contender, Race

ENVIRONMENT = {"XLA_FLAGS": "", "OPENBLAS_NUM_THREADS": "1"}
"""JAX as it comes, LAPACK on one thread as in the experiments: with more, small factorizations wait
for each other."""

OURS = "scripts.bench.contenders.natural_jax:descend"
TORCH = "scripts.bench.contenders.natural_torch:descend"
STEPS = 20
SGD = Contender(
    "SGD, a jitted step", OURS, ("jax",), ENVIRONMENT, more={"way": "sgd"}, agrees=False
)
NETWORKS = {
    "2k_64": ((64, 32, 10), 64),
    "2k_512": ((64, 32, 10), 512),
    "26k_256": ((64, 128, 128, 10), 256),
}
EXACT_AT_MOST = {"2k_64": 26.0, "2k_512": 390.0, "26k_256": 136.0}
KFAC_AT_MOST = 5.5


def _ours(name: str, way: str, *, agrees: bool = True, **more: int) -> Contender:
    return Contender(name, OURS, ("jax",), ENVIRONMENT, more={"way": way, **more}, agrees=agrees)


def _torch(name: str, way: str, package: str, *, agrees: bool = True) -> Contender:
    return Contender(name, TORCH, ("torch", package), more={"way": way}, agrees=agrees)


def _exact(network: str, damping: float, label: str) -> Race:
    widths, batch = NETWORKS[network]
    ours = "signdyn, exact"
    # a dense Fisher of 26 thousand parameters is 2.8 GB, and its factor an hour of rounds
    dense = network.startswith("2k")
    peers = (_torch("nngeometry, dense", "nngeometry_dense", "nngeometry"),) if dense else ()
    return Race(
        id=f"natural_{network}_{label}",
        topic="Exact natural-gradient step",
        work=f"one step (F + {damping:g} I)^-1 g, {'-'.join(map(str, widths))}, batch {batch}",
        case={"widths": widths, "batch": batch, "steps": 4, "damping": damping},
        contenders=(_ours(ours, "natural"), SGD, *peers),
        bounds=(
            Bound(ours, SGD.name, at_most=EXACT_AT_MOST[network]),
            *(Bound(peer.name, ours, at_least=1.0) for peer in peers),
        ),
        tolerance={"direction": 1e-3},
        units=4,
        unit="step",
    )


def _kfac(network: str) -> Race:
    widths, batch = NETWORKS[network]
    sampled, sampled_5 = "signdyn, sampled Fisher", "signdyn, sampled Fisher, period 5"
    exact = "signdyn, exact Fisher"
    peers = (
        _torch("nngeometry", "nngeometry_kfac", "nngeometry"),
        _torch("curvlinops", "curvlinops_kfac", "curvlinops-for-pytorch"),
        _torch("BackPACK", "backpack_kfac", "backpack-for-pytorch", agrees=False),
        _torch("ASDL", "asdl_kfac", "asdfghjkl", agrees=False),
    )
    kfac_jax = [
        Contender(
            f"kfac-jax, period {period}",
            "scripts.bench.contenders.kfac_jax:descend",
            ("jax", "kfac-jax"),
            ENVIRONMENT,
            python="kfac",
            more={"inverse_period": period},
            agrees=False,
        )
        for period in (1, 5)
    ]
    return Race(
        id=f"kfac_{network}",
        topic="K-FAC step",
        work=f"one K-FAC step, factored damping .01, {'-'.join(map(str, widths))}, batch {batch}",
        case={"widths": widths, "batch": batch, "steps": STEPS, "damping": 0.01},
        contenders=(
            _ours(exact, "natural_kfac_factored"),
            _ours(sampled, "natural_kfac_sampled", agrees=False),
            _ours(sampled_5, "natural_kfac_sampled", agrees=False, inverse_period=5),
            SGD,
            *peers,
            *kfac_jax,
        ),
        bounds=(
            Bound(sampled, SGD.name, at_most=KFAC_AT_MOST),
            Bound(exact, SGD.name, at_most=KFAC_AT_MOST),
            *(Bound(peer.name, exact, at_least=3.0) for peer in peers),
            Bound("kfac-jax, period 1", sampled, at_least=1.0),
            Bound("kfac-jax, period 5", sampled_5, at_least=1.0),
        ),
        tolerance={"direction": 1e-3},
        units=STEPS,
        unit="step",
    )


RACES = (
    *(
        _exact(network, damping, label)
        for network in NETWORKS
        for damping, label in ((1e-2, "d2"), (1e-3, "d3"))
    ),
    *map(_kfac, NETWORKS),
)
