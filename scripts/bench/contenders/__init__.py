"""The same work done by signdyn and by its peers: ``make(**case) -> run``.

See `scripts.bench.race`. A module imports one tool's world, JAX or PyTorch, and runs in a process
of its own.
"""
