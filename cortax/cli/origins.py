"""A job and all that it was made from, as a tree."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from cortax.terminal import console, plain_console
from cortax.workflow.lookup.lookups import Origin, find_job, provenance

__all__ = ["print_origins"]

_SHORT = 12
_LONG = 60
_FEW = 8
# Longer than paths are: voxels, as text.
_LONG_TEXT = 1000


def print_origins(root: Path, job: str, *, as_json: bool = False) -> None:
    """Print what a job was made from."""
    found = provenance(root, find_job(root, job))
    asked = next(iter(found.values()))
    if as_json:
        print(json.dumps({"job": asked.id, "jobs": {name: asdict(each) for name, each in found.items()}}, indent=1))
        return
    tree = Tree("", hide_root=True)
    _code(_branch(tree, "", asked, found, set()), asked)
    # A path that is cut is of no use: in a terminal long lines go on in the next, elsewhere they stay whole.
    wide = console() if console().is_terminal else plain_console(1000)
    wide.print(tree)


def _branch(above: Tree, slot: str, job: Origin, found: dict[str, Origin], told: set[str]) -> Tree:
    """One job below what it was made for; told before, it is only named."""
    called: list[str | tuple[str, str]] = [
        (f"{slot} " if slot else "", "dim"),
        (job.name or job.method, "bold"),
        f" {job.id}",
    ]
    if job.id in told:
        return above.add(Text.assemble(*called, " (see above)"))
    told.add(job.id)
    took = f"{job.seconds:.1f} s" if job.seconds is not None else (job.state, "red")
    branch = above.add(Text.assemble(*called, f", {job.method}, {job.started} UTC, ", took))
    set_ones = [f"{key} = {_value(value)}" for key, value in job.options.items() if value not in (None, "", [], {})]
    if set_ones:
        branch.add("options: " + ", ".join(set_ones))
    _files(branch, job.input_files)
    for slot, ids in job.inputs.items():
        for each in ids:
            _branch(branch, f"{slot}:", found[each], found, told)
    return branch


def _value(value: Any) -> str:
    """An option in few letters: of tables and long lists only how much there is."""
    if isinstance(value, dict) and len(str(value)) > _LONG:
        return f"{{{', '.join(list(value)[:_FEW])}{', ...' if len(value) > _FEW else ''}}}"
    if isinstance(value, list) and len(str(value)) > _LONG:
        return f"[{value[0]!r}, ... {len(value)} in all]"
    if isinstance(value, str) and len(value) > _LONG_TEXT:
        return f"{value[:_FEW]}... ({len(value)} letters in all)"
    return str(value)


def _files(branch: Tree, files: dict[str, str]) -> None:
    """Input files with the beginnings of their digests; of many only the first, and how many."""
    for path, digest in list(files.items())[:_FEW]:
        branch.add(Text.assemble((path, "green"), f" sha256 {digest[:_SHORT]}"))
    if len(files) > _FEW:
        branch.add(f"and {len(files) - _FEW} more input files, see --json")


def _code(tree: Tree, job: Origin) -> None:
    """What the asked job itself ran with and made."""
    results = tree.add(f"results: {len(job.results)} files")
    for name, digest in job.results.items():
        results.add(f"{name} sha256 {digest[:_SHORT]}")
    tree.add("packages: " + ", ".join(f"{name} {version}" for name, version in job.packages.items()))
    sources = tree.add(f"code: {len(job.sources)} files")
    for path, digest in job.sources.items():
        sources.add(f"{path} sha256 {digest[:_SHORT]}")
