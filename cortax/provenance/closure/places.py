"""Where the project's code is, and where what is remembered about it goes.

A module belongs to the project's code, whose sources are read and digested, if its top-level package is

- `cortax` or `methods`, wherever they are installed,
- a package or a module in the project's folder itself, or
- the package of an installed entry point of the group `cortax.workloads`.

Everything else is a package that counts by its version.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cortax.errors import ProjectError

__all__ = [
    "ROOT_VARIABLE",
    "code_files",
    "find_root",
    "home",
    "is_project_code",
    "module_file",
    "nearest_project",
    "root_or_none",
    "source_name",
    "user_cache",
]

# Names the project to the jobs and helpers of a build, which work in folders of their own.
ROOT_VARIABLE = "CORTAX_ROOT"

_LIBRARY = frozenset({"cortax", "methods"})


def nearest_project(start: str | os.PathLike[str] = ".") -> Path | None:
    """Return the nearest folder up that has `accelerator.conf`, if there is one."""
    here = Path(start).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "accelerator.conf").is_file()), None)


def find_root() -> Path:
    """Return the project of this process: what `CORTAX_ROOT` names, else the one that it works in.

    Raises
    ------
    ProjectError
        There is none.
    """
    root = root_or_none()
    if root is None:
        raise ProjectError(f"{Path.cwd()}: not inside a cortax project (no accelerator.conf here or above)")
    return root


def root_or_none() -> Path | None:
    """Return the project of this process as `find_root` does, None if there is none."""
    named = os.environ.get(ROOT_VARIABLE)
    return Path(named).resolve() if named else nearest_project()


def home(root: Path | None = None) -> Path:
    """Return the folder of what is remembered between runs: the project's `.cortax`, or the user's cache without one.

    Never beside an installed package, which may be read-only and shared.
    """
    if found := root or root_or_none():
        return found / ".cortax"
    return user_cache()


def user_cache() -> Path:
    """Return the folder of what is remembered for all projects of a user: of `XDG_CACHE_HOME`, or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "cortax"


@functools.cache
def _workload_packages() -> frozenset[str]:
    points = importlib.metadata.entry_points(group="cortax.workloads")
    return frozenset(point.value.partition(":")[0].partition(".")[0].strip() for point in points)


def _lies_in(root: Path, package: str) -> bool:
    # Thousands of names are looked for: a Path for each would take longer than the system's answer.
    return os.path.isfile(f"{root}/{package}/__init__.py") or os.path.isfile(f"{root}/{package}.py")


def is_project_code(package: str, root: Path | None = None) -> bool:
    """Say whether a top-level package belongs to the project's code."""
    if package in _LIBRARY:
        return True
    if package in sys.stdlib_module_names:
        return False
    root = root or root_or_none()
    return (root is not None and _lies_in(root, package)) or package in _workload_packages()


@functools.cache
def _installed_in(package: str) -> Path | None:
    """The folder that holds a package or module outside of the project."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    return path.parents[1] if spec.submodule_search_locations else path.parent


def _holder(package: str, root: Path | None) -> Path | None:
    if root is not None and _lies_in(root, package):
        return root  # the first on the path of every process of a build
    return _installed_in(package)


def module_file(name: str, root: Path | None = None) -> Path | None:
    """Return the source of a module of the project's code; None for any other name, such as that of an attribute."""
    package = name.partition(".")[0]
    root = root or root_or_none()
    if not is_project_code(package, root) or (holder := _holder(package, root)) is None:
        return None
    base = f"{holder}/{name.replace('.', '/')}"
    return next((Path(path) for path in (f"{base}/__init__.py", f"{base}.py") if os.path.isfile(path)), None)


def source_name(module: str, path: Path) -> str:
    """Return what a manifest calls the source of a module, wherever it is installed: `cortax/learning/x.py`."""
    return module.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")


def code_files() -> Iterator[str]:
    """Yield the sources of `cortax`, of `methods` and of the project's folder."""
    root = root_or_none()
    packages = set(_LIBRARY)
    if root is not None:
        yield from map(str, root.glob("*.py"))
        packages |= {path.parent.name for path in root.glob("*/__init__.py")}
    for package in sorted(packages):
        holder = _holder(package, root)
        for folder, _, names in os.walk(holder / package, followlinks=True) if holder else ():
            yield from (os.path.join(folder, name) for name in names if name.endswith(".py"))
