"""Sign dynamics of training: what signs of weights and gradients do, and what centering changes.

Nothing is imported with the package: take what you need from its modules, such as
:mod:`signdyn.analysis.spectrum`, which loads JAX and no framework.
"""

__version__ = "0.1.0"
"""Version of the package, as in pyproject.toml."""
