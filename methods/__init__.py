"""Exax methods of cortax, and the rules of every process that runs one.

The server and each of its runners import this package before any method, the build scripts import it
through `dev`: so this is where the rules are made, before numpy is loaded.
"""

import functools
import importlib.machinery
import os
import sys

# One BLAS or OpenMP thread a process: a build runs one process a slice.
for _name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles a module from its source, always, and only if that is what the build began with.

    Python trusts cached bytecode by the size and the second of the source: an edit within the same second
    would run the old code, and its results would be filed under the new one.
    """

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        source = self.get_data(path)
        if _sources is not None:
            _sources.check_loaded(path, source)
        return self.source_to_code(source, path)


class _ProjectFinder:
    """Finds the project's own modules; installed packages keep their bytecode."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if not _is_project_code(name.partition(".")[0]):
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not cls)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _SourceLoader(spec.loader.name, spec.loader.path)
            spec.cached = None
        return spec


@functools.cache
def _is_project_code(package):
    return package in ("cortax", "methods") if _sources is None else places.is_project_code(package)


# What knows the project's code is loaded by these rules itself.
_sources = None
sys.meta_path.insert(0, _ProjectFinder)

# Remembers how the project's files looked before any other of them was loaded.
import cortax.provenance.closure.sources as _sources  # noqa: E402
from cortax.provenance import reads  # noqa: E402
from cortax.provenance.closure import load_promised, places  # noqa: E402

_is_project_code.cache_clear()

# In Exax's runner, which forks each job: jobs and their helpers know the project, wherever they work, and find
# their code loaded.
if str(getattr(sys.modules["__main__"], "__file__", "")).endswith(os.path.join("accelerator", "runner.py")):
    os.environ[places.ROOT_VARIABLE] = str(places.find_root())
    os.register_at_fork(before=load_promised)
    reads.watch(places.find_root())
