"""The code that a method's result depends on: its import closure, as a manifest that Exax hashes.

Exax sees a method's own file and the files named in `depend_extra`. A manifest is ONE such file that
stands for everything else: a digest of every project module that the method can reach by imports,
and the version of every package that computes for it.

Two packages take part in no computation and are no part of any closure: `cortax.workflow`, which decides what runs
when, where and by whom (an import contract holds it to that), and this one.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import importlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.provenance.closure.packages import versions
from cortax.provenance.closure.places import (
    find_root,
    home,
    is_project_code,
    module_file,
    root_or_none,
    source_name,
    user_cache,
)
from cortax.provenance.closure.sources import Source, edited_files, look_at, promise, save_sources
from cortax.provenance.files import file_digest
from cortax.provenance.memory import write_text

__all__ = [
    "Look",
    "changes",
    "check_class_code",
    "class_code",
    "closure",
    "edited",
    "file_code",
    "find_root",
    "home",
    "load_promised",
    "manifest",
    "manifest_entries",
    "manifest_path",
    "manifest_text",
    "user_cache",
]

_EXEMPT = ("cortax.workflow", __name__)


def _exempt(name: str) -> bool:
    return name.startswith(_EXEMPT) and any(name == each or name.startswith(f"{each}.") for each in _EXEMPT)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


class Look:
    """One look at the project's code: each module is looked for, and its source read, once.

    Closures share most of their modules. A look is as old as its first question: whoever waits in between must take
    another one.

    Parameters
    ----------
    root : path, optional
        The project; by default that of this process.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = root_or_none() if root is None else Path(root)
        self._found: dict[str, tuple[Path | None, Source | None]] = {}

    def source(self, name: str) -> tuple[Path | None, Source | None]:
        """Return the file of a module and what there is to know about it; None twice of an attribute's name."""
        if name not in self._found:
            path = module_file(name, self.root)
            self._found[name] = (path, None) if path is None else (path, look_at(name, path))
        return self._found[name]


def closure(module: str, look: Look | None = None) -> tuple[dict[str, Path], set[str]]:
    """Follow the imports of a module through the project's code.

    Parameters
    ----------
    module : str
        Dotted name of a module of the project.
    look : Look, optional
        By default a new one at the project of this process.

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
    look = look or Look()
    if look.source(module)[0] is None:
        raise ProjectError(f"module {module!r} has no file in the project or beside an installed cortax")
    modules: dict[str, Path] = {}
    elsewhere: set[str] = set()
    seen: set[str] = set()
    todo = [*_with_parents(module)]
    while todo:
        name = todo.pop()
        if name in seen or _exempt(name):
            continue
        seen.add(name)
        package = name.partition(".")[0]
        if package in elsewhere or not is_project_code(package, look.root):
            elsewhere.add(package)
            continue
        if name.endswith(".*"):
            todo += _members(name[:-2], look.root)
            continue
        path, source = look.source(name)
        if path and source:  # none of an attribute: `from package import function`
            modules[name] = path
            todo += [part for found in source.imports for part in _with_parents(found) if part not in seen]
    return modules, elsewhere


def _members(package: str, root: Path | None) -> Iterator[str]:
    """Everything that a star may stand for."""
    if (path := module_file(package, root)) and path.name == "__init__.py":
        yield from (f"{package}.{found.stem}" for found in path.parent.glob("*.py") if found != path)
        yield from (f"{package}.{found.parent.name}" for found in path.parent.glob("*/__init__.py"))


def manifest_text(module: str, look: Look | None = None) -> str:
    """Return the manifest of a module: `sha256 path` lines, then versions, both sorted."""
    look = look or Look()
    modules, elsewhere = closure(module, look)
    return _text(modules, _sources(modules, look), elsewhere)


def _sources(modules: Iterable[str], look: Look) -> dict[str, Source]:
    return {name: source for name in modules if (source := look.source(name)[1])}


def _text(modules: Mapping[str, Path], sources: Mapping[str, Source], elsewhere: Iterable[str]) -> str:
    names = {source_name(name, path): sources[name].digest for name, path in modules.items()}
    lines = [f"{digest} {name}" for name, digest in sorted(names.items())]
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
    look = Look()
    for module in sorted({name.partition(":")[0] for name in classes if name}):
        if is_project_code(module.partition(".")[0], look.root):
            code[module] = hashlib.sha256(manifest_text(module, look).encode()).hexdigest()
        elif found := versions([module.partition(".")[0]]):
            code |= found
        else:
            raise ProjectError(f"{module}: a pipeline's class must come from an installed package or from the project")
    return code


# Before the path of a file among the code of classes: no module is called so.
_FILE = "file "


def file_code(paths: Iterable[str], root: Path, digest_of: Callable[[Path], str]) -> dict[str, str]:
    """Say what the files hold that classes of a study are said to read; beside what `class_code` says.

    Parameters
    ----------
    paths : relative to the project, or absolute
    root : Path
        The project.
    digest_of : callable

    Raises
    ------
    InputError
        A file cannot be read.
    """
    return {f"{_FILE}{path}": digest_of(root / path) for path in paths}


def check_class_code(classes: Iterable[str | None], planned: Mapping[str, str]) -> None:
    """Make sure that the classes are still those that the build planned with; before and after their use.

    They are imported by the job itself, not with its method: whoever edits one while jobs wait would
    have its results filed under the code of before.

    Raises
    ------
    ProjectError
        One was edited, or a file among them.
    """
    paths = [key.removeprefix(_FILE) for key in planned if key.startswith(_FILE)]
    if class_code(classes) | file_code(paths, find_root(), file_digest) != planned:
        raise ProjectError(f"{sorted(filter(None, classes))}: edited since the build began; start it again")


def manifest_path(module: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Return where the manifest of a module is kept."""
    return home(None if root is None else Path(root)) / "manifests" / f"{module}.txt"


def edited(module: str) -> list[str]:
    """Return the files that a module can reach and that changed since this process began."""
    return edited_files(closure(module)[0])


# Modules of the closures of this process's methods, as long as they are not loaded.
_pending: set[str] = set()


def manifest(module: str) -> tuple[str]:
    """Write the manifest of a method and return its path, as Exax's `depend_extra` wants it.

    Nothing is loaded for it. The code that a job runs is still the code that is digested here, however long the job
    waits and whatever is edited meanwhile: a source that is not, but for its comments, is refused when it is loaded.

    Parameters
    ----------
    module : str
        The method's `__name__`.

    Raises
    ------
    ProjectError
        A file was edited while it was being loaded (start again), or does not parse.
    """
    modules, elsewhere = closure(module, _at_start())
    sources = _sources(modules, _at_start())
    text = _text(modules, sources, elsewhere)
    promise(modules, sources)
    _pending.update(modules)
    path = manifest_path(module)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)
    save_sources()
    return (str(path),)


@functools.cache
def _at_start() -> Look:
    """What all methods of this process are digested by: whatever is edited later is refused by `promise`."""
    return Look()


def load_promised() -> None:
    """Load the closures of all methods, as the handler of a fork that is about to happen.

    Exax forks each job from one process. It calls this before the first, so that not every job has to import what
    takes seconds, and a build that runs no job imports nothing. A module that cannot be loaded is left to the jobs
    that need it: they fail and say why.
    """
    names = sorted(_pending)
    if not names:
        return
    _pending.clear()
    with _handlers_of_this_fork():
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    # Exax collects garbage as soon as it has forked, before it notes the job as one that can be stopped.
    gc.freeze()


@contextlib.contextmanager
def _handlers_of_this_fork() -> Iterator[None]:
    """Call at once what modules want to be called before a fork: for this one Python would call only their other half.

    `concurrent.futures` takes a lock before a fork and gives it back after it.
    """
    register = os.register_at_fork

    def register_and_call(**handlers: Any) -> None:
        register(**handlers)
        if "before" in handlers:
            handlers["before"]()

    os.register_at_fork = register_and_call
    try:
        yield
    finally:
        os.register_at_fork = register


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
