"""The installed packages that can change a number: their versions, and digests of what is installed."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement

from cortax.provenance.closure.installed import installed_digest

__all__ = ["versions"]

# What numerical packages require and what cannot change a number. Anything not named here counts.
INERT = frozenset(
    """
    certifi charset-normalizer idna packaging psutil requests six typing-extensions tzdata urllib3
    annotated-doc annotated-types click markdown-it-py mdurl pydantic pydantic-core pygments rich
    shellingham typer typing-inspection setproctitle bottle waitress setuptools importlib-resources
    markupsafe pyyaml
    """.split()
)

# What pandas computes with wherever it happens to be installed.
OPTIONAL = {"pandas": ("bottleneck", "numexpr")}

# Spares a look into every installed distribution, which is what other differing names cost.
KNOWN_AS = {"PIL": "pillow", "sklearn": "scikit-learn"}


@functools.cache
def _all_distributions() -> dict[str, list[str]]:
    return {name: sorted(set(found)) for name, found in importlib.metadata.packages_distributions().items()}


def _distributions(import_name: str) -> list[str]:
    """Distributions that an import name may come from."""
    if import_name in sys.stdlib_module_names:
        return []
    name = KNOWN_AS.get(import_name, import_name)
    if _version(name) is not None:
        return [name]
    # What is not installed comes from nowhere, and a list of all that is takes a quarter of a second.
    if importlib.util.find_spec(import_name) is None:
        return []
    return _all_distributions().get(import_name, [])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def _needs(distribution: str) -> tuple[str, ...]:
    names = []
    for line in importlib.metadata.requires(distribution) or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.append(_normal(requirement.name))
    return tuple(names)


@functools.cache
def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(imports: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that serve these imports, and of what they compute with.

    With each version comes a digest of the installed files: a patched file, or an editable install, is another package
    of the same version. Packages in `INERT` (networking, terminal, typing) cannot change a number and are left out.
    """
    return dict(_versions(frozenset(imports)))


@functools.cache
def _versions(imports: frozenset[str]) -> dict[str, str]:
    todo = [_normal(d) for name in sorted(imports) for d in _distributions(name)]
    found: dict[str, str] = {}
    while todo:
        name = todo.pop()
        if name in found or name in INERT:
            continue
        version = _version(name)
        if version is not None:
            found[name] = f"{version} {digest}" if (digest := installed_digest(name)) else version
            todo += [*_needs(name), *OPTIONAL.get(name, ())]
    found.pop("cortax", None)
    return dict(sorted(found.items()))
