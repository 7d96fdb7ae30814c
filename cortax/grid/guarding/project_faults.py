"""The project's own settings, method files and folders: what of them stops Exax, and the part that can be mended."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cortax.grid.guarding.faults import Fault
from cortax.grid.guarding.quarantine import Quarantine, replace_text
from cortax.project import jobs_folder, without_lock

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
# Jobs whose datasets have rows in slices that there would not be any more.
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
    """Find what is wrong in `accelerator.conf`, and another number of slices than the workdir was made with."""
    read = _python(root, _READ_SETTINGS, str(root / "accelerator.conf"))
    if read.returncode:
        yield Fault("accelerator.conf", read.stderr.strip().replace("\n", " "), "put this right in the file")
        return
    settings = json.loads(read.stdout)
    for package in settings["method_directories"]:
        if not (root / package / "__init__.py").is_file():
            found = f"names the method package {package!r}, of which there is no {package}/__init__.py"
            yield Fault("accelerator.conf", found, "restore the folder, or take its name out of the file")
    yield from _slice_faults(root, int(settings["slices"]))


def _slice_faults(root: Path, n_slices: int) -> Iterator[Fault]:
    path = jobs_folder(root) / ".slices"
    if not path.exists():
        return
    text = path.read_text(errors="replace").strip()
    if text == str(n_slices):
        return
    found = f"the workdir was made with {text!r} slices, now there are {n_slices}"
    looked = _python(root, _FIND_BEYOND, str(path.parent), str(n_slices))
    if looked.returncode or looked.stdout:
        which = ", ".join(sorted(set(looked.stdout.split()))) or looked.stderr.strip().rpartition("\n")[2]
        remedy = f"set AX_SLICES to what it was, or AX_WORKDIR to another folder: datasets would lose rows ({which})"
        yield Fault(f"slices {path}", found, remedy)
    else:
        # All rows of cortax's own datasets are in the first slice, and no other result knows of slices.
        remedy = "noted the new number; no dataset loses a row"
        yield Fault(f"slices {path}", found, remedy, lambda _: replace_text(path, f"{n_slices}\n"), offline=True)


def code_faults(root: Path) -> Iterator[Fault]:
    """Find methods and build scripts that are not even Python: one of them stops every build."""
    for path in sorted([*root.glob("methods/*.py"), *root.glob("dev/*.py")]):
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
    found = f"not writable for you (mode {path.stat().st_mode & 0o777:o})"
    # One's own, and its mode says that it can be written: then it is the file system that is read-only.
    if not mine or wanted == path.stat().st_mode & 0o777:
        remedy = "make it writable: it is somebody else's, or its file system is read-only"
        return Fault(f"folder {path}", found, remedy)

    def mend(_: Quarantine) -> None:
        path.chmod(wanted)

    return Fault(f"folder {path}", found, f"made writable for you (mode {wanted:o})", mend)
