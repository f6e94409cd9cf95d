"""Which versions of packages numbers were computed with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

#: Packages whose version can change a number.
PACKAGES = (
    "affekt",
    "numpy",
    "openvino",
    "nncf",
    "scipy",
    "scikit-learn",
    "soundfile",
    "soxr",
    "torch",
    "transformers",
    "lightning",
    "librosa",
)


def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
