"""Every operation there is, by its name: those of this package, and those of packages that are installed beside it."""

from workers.registry.extensions import Extension, members
from workers.registry.finding import build, extensions, forget, operations

__all__ = ["Extension", "build", "extensions", "forget", "members", "operations"]
