"""The version of this package, in a place that everything below may import."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
