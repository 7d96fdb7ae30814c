"""The build of a study that is shown: its log and links to what people look for, in one folder behind one link.

Every build that differs gets a folder of its own, `.cortax/builds/STUDY/NUMBER`, and `results/STUDY` is a link to the
newest. That link is replaced in one step: whoever looks sees one build, whatever was killed and whoever built.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.store import write_whole

__all__ = ["LOG", "file_build", "shown_log"]

LOG = "build.json"
# Whoever reads the build before the newest may go on.
_N_KEPT = 2
# What makes a build another one. What ran in it, and why, does not.
_SAME = ("kind", "jobs", "what", "failed", "skipped", "lacking")


def file_build(root: Path, study: str, log: Mapping[str, Any], links: Mapping[str, Path]) -> None:
    """Show a build in `results/STUDY`, unless it is what is shown there.

    Parameters
    ----------
    root : Path
        The project.
    study : str
    log : mapping
        The content of `build.json`.
    links : mapping of str to Path
        For each name below `results/STUDY` the file of a job.

    Raises
    ------
    ProjectError
        It cannot be written. What was shown stays.
    """
    shown, home = root / "results" / study, root / ".cortax" / "builds" / study
    try:
        home.mkdir(parents=True, exist_ok=True)
        shown.parent.mkdir(exist_ok=True)
        if shown.is_dir() and not shown.is_symlink():
            shown.rename(home / "0")  # of an earlier version of cortax, which wrote into it
            shown.symlink_to(home / "0")
        before = shown_log(root, study) or _log(_newest(home) / LOG)
        is_same = all(key in before and before[key] == log[key] for key in _SAME)
        if is_same and _links(shown) == {name: str(path) for name, path in links.items()}:
            return
        new = home / str(int(_newest(home).name) + 1)
        _write(new, before if is_same else log, links)
        old = shown.resolve()
        # Links are absolute: Exax's board follows them from elsewhere.
        temporary = shown.with_name(f".{study}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(new.resolve())
        temporary.replace(shown)
        _hand_over(old, new)
        for number in _numbers(home)[:-_N_KEPT]:
            _remove(home / str(number))
    except OSError as error:
        raise ProjectError(
            f"{error.filename or home}: the build cannot be filed ({error.strerror or error}); {shown} is as it was. "
            "All jobs are kept: build again when that is mended"
        ) from error


def shown_log(root: Path, study: str) -> dict[str, Any]:
    """Return the log of the build that is shown; empty where there is none that can be read."""
    return _log(root / "results" / study / LOG)


def _log(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _numbers(home: Path) -> list[int]:
    return sorted(int(path.name) for path in home.iterdir() if path.name.isdigit())


def _newest(home: Path) -> Path:
    return home / str(max(_numbers(home), default=0))


def _links(folder: Path) -> dict[str, str]:
    """Return the links below a folder that lead somewhere, by name."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        for path in _files(folder)
        if path.is_symlink() and path.exists()
    }


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _write(folder: Path, log: Mapping[str, Any], links: Mapping[str, Path]) -> None:
    folder.mkdir()
    for name, path in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(path)
    write_whole(folder / LOG, json.dumps(log, indent=2))


def _hand_over(old: Path, new: Path) -> None:
    """Move along what people have put beside the links."""
    for path in list(_files(old)):
        place = new / path.relative_to(old)
        if not path.is_symlink() and path.name != LOG and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)


def _remove(folder: Path) -> None:
    """Remove links, a log and the folders that held nothing else."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in (Path(place, name) for name in names):
            if path.is_symlink() or path.name == LOG:
                path.unlink()
        with contextlib.suppress(OSError):
            os.rmdir(place)
