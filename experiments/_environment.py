"""What a run ran on: versions, device, precision, commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "xarray")


def environment() -> dict[str, Any]:
    """Return a JSON-able description of the software and hardware of this process."""
    device = jax.local_devices()[0]
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": device.platform,
        "device": cpu_model() if device.platform == "cpu" else device.device_kind,
        "devices": jax.local_device_count(),
        **({"processes": jax.process_count()} if jax.process_count() > 1 else {}),
        "precision": str(jax.config.jax_default_matmul_precision),  # pyrefly: ignore[missing-attribute]
        "x64": bool(jax.config.jax_enable_x64),  # pyrefly: ignore[missing-attribute]
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "commit": _commit(),
    }


def cpu_model() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    root = Path(__file__).parent
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-dirty" if dirty else "")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
