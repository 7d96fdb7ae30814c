"""The code that a method's result depends on: its import closure, as a manifest that Exax hashes.

Exax sees a method's own file and the files named in `depend_extra`. A manifest is ONE such file that
stands for everything else: a digest of every project module that the method can reach by imports,
and the version of every package that computes for it.

This module takes part in no computation, so it is no part of any closure. Nor are those of `ASIDE`.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from cortax.errors import ProjectError

__all__ = [
    "PACKAGES",
    "changes",
    "check_class_code",
    "class_code",
    "closure",
    "edited",
    "manifest",
    "manifest_entries",
    "manifest_path",
    "manifest_text",
    "source_digest",
    "versions",
]

PACKAGES = ("cortax", "methods", "dev")

# Modules that decide in which order work is done, by whom and where, and nothing else.
ASIDE = frozenset(
    """
    cortax.grid.planning.costs cortax.grid.planning.cost_table cortax.grid.planning.jobspec cortax.grid.work.crews
    cortax.grid.engines cortax.grid.engines.capsule cortax.grid.engines.crew cortax.grid.engines.scratch
    """.split()
)

# What numerical packages require and what cannot change a number. Anything not named here counts.
INERT = frozenset(
    """
    certifi charset-normalizer idna packaging requests six typing-extensions tzdata urllib3
    annotated-doc annotated-types click markdown-it-py mdurl pydantic pydantic-core pygments rich
    shellingham typer typing-inspection setproctitle bottle waitress setuptools importlib-resources
    alembic colorlog greenlet mako markupsafe pyyaml sqlalchemy tqdm
    """.split()
)

# What pandas computes with wherever it happens to be installed.
OPTIONAL = {"pandas": ("bottleneck", "numexpr")}

# Spares a look into every installed distribution, which is what other differing names cost.
KNOWN_AS = {"PIL": "pillow", "sklearn": "scikit-learn"}

_ROOT = Path(__file__).resolve().parents[2]
_Stamp = tuple[int, int, int, int]


def _stamp(path: str | Path) -> _Stamp:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _stamps() -> dict[str, _Stamp]:
    found = {}
    for package in PACKAGES:
        for folder, _, names in os.walk(_ROOT / package, followlinks=True):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(folder, name)
                    # Editors keep dangling links (`.#name.py`) and files that are gone the next moment.
                    with contextlib.suppress(FileNotFoundError):
                        found[path] = _stamp(path)
    return found


# `methods/__init__.py` imports this module before any other of the project, so these stamps are
# older than every module that this process has loaded.
_AT_START = _stamps()


def source_digest(source: bytes, path: str = "<source>") -> str:
    """Return a digest of Python code that comments, docstrings and formatting leave as it is.

    Raises
    ------
    ProjectError
        The source does not parse; the message names `path` and the line.
    """
    tree = _tree(source, path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _tree(source: bytes, path: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ProjectError(f"{path}: not valid Python ({error})") from error


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        node.body = node.body[1:]


def _module_file(name: str, root: Path) -> Path | None:
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every dotted name that the code may import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield base
            # `from package import module` names a module that only the file system can tell.
            yield from (f"{base}.{alias.name}" for alias in node.names)  # a star stands for whatever there is


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def closure(module: str, root: str | os.PathLike[str] = _ROOT) -> tuple[dict[str, Path], set[str]]:
    """Follow the imports of a module through the project.

    Parameters
    ----------
    module : str
        Dotted name of a module of the project.
    root : path
        The folder that holds the project's packages.

    Returns
    -------
    dict of str to Path
        Every project module that can be reached, the packages' `__init__` included.
    set of str
        Top-level names of everything imported from elsewhere.

    Raises
    ------
    ProjectError
        A module has no file, or does not parse.
    """
    root = Path(root)
    if _module_file(module, root) is None:
        raise ProjectError(f"module {module!r} has no file below {root}")
    modules: dict[str, Path] = {}
    elsewhere: set[str] = set()
    todo = [*_with_parents(module)]
    while todo:
        name = todo.pop()
        if name in modules or name in ASIDE or name == __name__:
            continue
        if name.endswith(".*"):
            package = root.joinpath(*name.split(".")[:-1])
            todo += [f"{name[:-1]}{path.stem}" for path in package.glob("*.py") if path.stem != "__init__"]
            todo += [f"{name[:-1]}{path.parent.name}" for path in package.glob("*/__init__.py")]
            continue
        if name.split(".")[0] not in PACKAGES:
            elsewhere.add(name.split(".")[0])
            continue
        path = _module_file(name, root)
        if path is None:
            continue  # an attribute: `from package import function`
        modules[name] = path
        todo += [part for found in _look_at(name, path)[1] for part in _with_parents(found)]
    return modules, elsewhere


# What was found in a source before, by its bytes: parsing is what takes the time. Kept on disk, too.
_known_sources: dict[str, tuple[str, list[str]]] = {}


def _look_at(name: str, path: Path) -> tuple[str, list[str]]:
    """Digest of a module, and the names that it may import."""
    source = path.read_bytes()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    key = hashlib.sha256(source).hexdigest() + package
    if key not in _known_sources:
        found = sorted(set(_imported(_tree(source, str(path)), package)))
        _known_sources[key] = source_digest(source, str(path)), found
    return _known_sources[key]


# What is found depends on the finder, too: this very file, as it was loaded, and the version of Python's parser.
_FINDER = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def _sources_file() -> Path:
    return _ROOT / ".cortax" / f"sources-{platform.python_version()}-{_FINDER}.json"


def _recall_sources() -> None:
    try:
        _known_sources.update(json.loads(_sources_file().read_text()))
    except (OSError, ValueError, TypeError):
        return  # there is none, or it is damaged: everything is parsed again


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

    Packages in `INERT` (networking, terminal, typing) cannot change a number and are left out.
    """
    todo = [_normal(d) for name in sorted(imports) for d in _distributions(name)]
    found: dict[str, str] = {}
    while todo:
        name = todo.pop()
        if name in found or name in INERT:
            continue
        version = _version(name)
        if version is not None:
            found[name] = version
            todo += [*_needs(name), *OPTIONAL.get(name, ())]
    found.pop("cortax", None)
    return dict(sorted(found.items()))


def manifest_text(module: str, root: str | os.PathLike[str] = _ROOT) -> str:
    """Return the manifest of a module: `sha256 path` lines, then versions, both sorted."""
    root = Path(root)
    modules, elsewhere = closure(module, root)
    lines = []
    for name, path in modules.items():
        lines.append(f"{_look_at(name, path)[0]} {path.relative_to(root).as_posix()}")
    lines.sort(key=lambda line: line.split(" ", 1)[1])
    lines.append(f"python {platform.python_version()} {platform.python_implementation()} {platform.machine()}")
    lines += [f"{name} {version}" for name, version in versions(elsewhere).items()]
    return "\n".join(lines) + "\n"


def class_code(classes: Iterable[str | None]) -> dict[str, str]:
    """Say what the classes depend on that a study names: no import statement of the project leads to them.

    Parameters
    ----------
    classes : "module:Class", or None

    Raises
    ------
    ProjectError
        A module is neither of the project nor of an installed package.
    """
    code: dict[str, str] = {}
    for module in sorted({name.partition(":")[0] for name in classes if name}):
        if module.partition(".")[0] in PACKAGES:
            code[module] = hashlib.sha256(manifest_text(module).encode()).hexdigest()
        elif found := versions([module.partition(".")[0]]):
            code |= found
        else:
            raise ProjectError(f"{module}: a pipeline's class must come from an installed package or from the project")
    return code


def check_class_code(classes: Iterable[str | None], planned: Mapping[str, str]) -> None:
    """Make sure that the classes are still those that the build planned with; before and after their use.

    They are imported by the job itself, not with its method: whoever edits one while jobs wait would
    have its results filed under the code of before.

    Raises
    ------
    ProjectError
        One was edited.
    """
    if class_code(classes) != planned:
        raise ProjectError(f"{sorted(filter(None, classes))}: edited since the build began; start it again")


def manifest_path(module: str, root: str | os.PathLike[str] = _ROOT) -> Path:
    """Return where the manifest of a module is kept."""
    return Path(root) / ".cortax" / "manifests" / f"{module}.txt"


def edited(module: str) -> list[str]:
    """Return the files that a module can reach and that changed since this process began."""
    now = _stamps()
    return sorted(path for path in map(str, closure(module)[0].values()) if now.get(path) != _AT_START.get(path))


def manifest(module: str) -> tuple[str]:
    """Write the manifest of a method and return its path, as Exax's `depend_extra` wants it.

    Every project module of the closure is loaded now, so that the code that a job runs is the code
    that was hashed, however long the job waits and whatever is edited meanwhile.

    Parameters
    ----------
    module : str
        The method's `__name__`.

    Raises
    ------
    ProjectError
        A file was edited while it was being loaded (start again), or does not parse.
    """
    n_known = len(_known_sources)
    text = manifest_text(module)
    modules, _ = closure(module)
    for name in sorted(modules):
        if name != module:
            importlib.import_module(name)
    if found := edited(module):
        raise ProjectError(f"edited while it was being loaded, start the build again: {found}")
    path = manifest_path(module)
    if not path.exists() or path.read_text() != text:
        _write(path, text)
    if len(_known_sources) > n_known:
        _write(_sources_file(), json.dumps(_known_sources))
    return (str(path),)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def changes(before: str, after: str) -> list[str]:
    """Say what differs between two manifests, one file or package an item."""
    old, new = manifest_entries(before), manifest_entries(after)
    said = [f"{key} is new" for key in new if key not in old]
    said += [f"{key} is gone" for key in old if key not in new]
    for key in sorted(set(old) & set(new)):
        if old[key] != new[key]:
            is_file = key.endswith(".py")
            said.append(f"{key} changed" if is_file else f"{key} {old[key]} -> {new[key]}")
    return sorted(said)


def manifest_entries(text: str) -> dict[str, str]:
    """Return the digest of each source file and the version of each package that a manifest lists."""
    entries = {}
    for line in text.splitlines():
        first, _, rest = line.partition(" ")
        entries.update({rest: first} if rest.endswith(".py") else {first: rest})
    return entries


_recall_sources()
