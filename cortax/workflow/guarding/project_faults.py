"""Faults in a project's settings, method files and folders that stop Exax, and how some of them are mended."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cortax.project import jobs_folder, without_lock
from cortax.provenance.closure.places import module_file
from cortax.store import write_whole
from cortax.workflow.guarding.faults import Fault
from cortax.workflow.guarding.quarantine import Quarantine

__all__ = ["code_faults", "folder_faults", "setting_faults"]

# Exax reads its own settings best; here nothing imports it.
_READ_SETTINGS = """
import json, sys
from accelerator.configfile import load_config
try:
    print(json.dumps(load_config(sys.argv[1])))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
# Jobs whose datasets have rows in slices beyond a number of slices.
_FIND_BEYOND = """
import sys
from glob import glob
from accelerator import blob
for path in glob(sys.argv[1] + "/main-*/DS/**/*.p", recursive=True):
    data = blob.load(path)
    if sum(data["lines"][int(sys.argv[2]):]):
        print(path[len(sys.argv[1]) + 1:].split("/")[0])
"""


def _python(root: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=root, env=without_lock(), capture_output=True, text=True, check=False)


def setting_faults(root: Path) -> Iterator[Fault]:
    """Find errors in `accelerator.conf`, and a number of slices that is not that of the workdir."""
    reading = _python(root, _READ_SETTINGS, str(root / "accelerator.conf"))
    if reading.returncode:
        yield Fault("accelerator.conf", reading.stderr.strip().replace("\n", " "), "put this right in the file")
        return
    settings = json.loads(reading.stdout)
    for package in settings["method_directories"]:
        if module_file(package, root) is None:
            problem = (
                f"names the method package {package!r}, of which there is no {package.replace('.', '/')}/__init__.py"
            )
            yield Fault("accelerator.conf", problem, "restore the folder, or take its name out of the file")
    yield from _slice_faults(root, int(settings["slices"]))


def _slice_faults(root: Path, n_slices: int) -> Iterator[Fault]:
    path = jobs_folder(root) / ".slices"
    if not path.exists():
        return
    text = path.read_text(errors="replace").strip()
    if text == str(n_slices):
        return
    problem = f"the workdir was made with {text!r} slices, now there are {n_slices}"
    search = _python(root, _FIND_BEYOND, str(path.parent), str(n_slices))
    if search.returncode or search.stdout:
        jobs = ", ".join(sorted(set(search.stdout.split()))) or search.stderr.strip().rpartition("\n")[2]
        remedy = f"set AX_SLICES to what it was, or AX_WORKDIR to another folder: datasets would lose rows ({jobs})"
        yield Fault(f"slices {path}", problem, remedy)
    else:
        # All rows of cortax's own datasets are in the first slice, and no other result knows of slices.
        remedy = "noted the new number; no dataset loses a row"
        text = f"{n_slices}\n"
        yield Fault(f"slices {path}", problem, remedy, lambda _: write_whole(path, text, sync=True), offline=True)


def code_faults(root: Path) -> Iterator[Fault]:
    """Find methods and build scripts that are not valid Python: one of them stops every build."""
    for path in sorted({*root.glob("methods/**/*.py"), *root.glob("dev/*.py")}):
        try:
            ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError, OSError) as error:
            yield Fault(f"code {path.relative_to(root)}", str(error), "mend it, or move it out of the folder")


def folder_faults(root: Path) -> Iterator[Fault]:
    """Find folders that must be writable and are not."""
    for path in (jobs_folder(root), root / ".cortax", root / "urd.db", root / "results"):
        files = [path, *sorted(path.glob("*/*.urd"))] if path.name == "urd.db" else [path]
        for each in files:
            if each.exists() and not os.access(each, os.R_OK | os.W_OK | (os.X_OK if each.is_dir() else 0)):
                yield _locked(each)


def _locked(path: Path) -> Fault:
    mine = path.stat().st_uid == os.geteuid()
    wanted = path.stat().st_mode & 0o777 | (0o700 if path.is_dir() else 0o600)
    problem = f"not writable for you (mode {path.stat().st_mode & 0o777:o})"
    # If the mode says that its owner may write, the file system is read-only.
    if not mine or wanted == path.stat().st_mode & 0o777:
        remedy = "make it writable: it is somebody else's, or its file system is read-only"
        return Fault(f"folder {path}", problem, remedy)

    def mend(_: Quarantine) -> None:
        path.chmod(wanted)

    return Fault(f"folder {path}", problem, f"made writable for you (mode {wanted:o})", mend)
