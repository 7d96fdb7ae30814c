"""Exax methods of cortax, and the rules of every process that runs one.

The server and each of its runners import this package before any method, the build scripts import it
through `dev`: so this is where the rules are made, before numpy is loaded.
"""

import importlib.machinery
import os
import sys

# One BLAS or OpenMP thread a process: a build runs one process a slice.
for _name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles a module from its source, always.

    Python trusts cached bytecode by the size and the second of the source: an edit within the same second
    would run the old code, and its results would be filed under the new one.
    """

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _ProjectFinder:
    """Finds the project's own modules; installed packages keep their bytecode."""

    packages = ("cortax", "methods", "dev")

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in cls.packages:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _SourceLoader(spec.loader.name, spec.loader.path)
            spec.cached = None
        return spec


sys.meta_path.insert(0, _ProjectFinder)

# Remembers how the project's files looked before any of them was loaded.
import cortax.provenance.closure  # noqa: E402, F401
