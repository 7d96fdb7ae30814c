"""How a build works, as opposed to what it builds: nothing here is ever part of a reuse key."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cortax.errors import ProjectError, choices
from cortax.provenance.memory import write_text
from cortax.workflow.work.backends import BACKEND_MODULES, check_address, check_backend

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "BACKENDS",
    "BACKEND_VARIABLES",
    "Settings",
    "machine_memory",
    "parse_duration",
    "parse_size",
    "read_settings",
    "save_settings",
    "settle",
]

# Where units may run.
BACKENDS = ("slices", *BACKEND_MODULES)
# What back-ends are told by the environment, which jobs do not share with the build.
BACKEND_VARIABLES = ("CORTAX_RAY_ADDRESS", "CORTAX_DASK_ADDRESS", "CORTAX_SLURM_OPTIONS", "CORTAX_SLURM_HOST")

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?)b?", re.I)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def parse_size(text: Any) -> int:
    """Return a number of bytes: a number, or a text such as "4GB" (10^9 bytes each) or "4GiB" (2^30).

    Raises
    ------
    ValueError
        It is no size.
    """
    match = _SIZE.fullmatch(str(text).strip())
    found = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if found <= 0:
        raise ValueError('must be a size above zero such as "4GB", "500MB" or a number of bytes')
    return found


def parse_duration(text: Any) -> float | None:
    """Return seconds of a number, or of a text such as "12h", "30m" or "2d"; None of "never".

    Raises
    ------
    ValueError
        It is no duration above zero.
    """
    if text is None or text == "never":
        return None
    match = _DURATION.fullmatch(str(text).strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise ValueError('must be a time above zero such as "12h", "30m", "2d" or a number of seconds, or "never"')
    return seconds


def _backend(name: Any) -> Any:
    if name not in BACKENDS:
        raise ValueError(choices(str(name), BACKENDS))
    return name


class Settings(BaseModel):
    """How units of work are run.

    Attributes
    ----------
    backend : str
        Where: one of `BACKENDS`.
    workers : int, optional
        How many processes work at once; as many as Exax has slices where it is not said.
    memory : int
        Bytes that all workers together may allocate; four fifths of what the machine or the control group has
        where it is not said.
    cell_seconds : float, optional
        How long a unit may take; as long as it likes where it is not said.
    server_idle : float, optional
        After how many seconds without work the Exax server is ended; None where it stays.
    engine : dict
        What the back-end is told by its own environment variables.
    build : str
        Of which build; what it found to be impossible is not tried again within it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Annotated[str, BeforeValidator(_backend)] = "slices"
    workers: Annotated[int, Field(ge=1)] | None = None
    memory: Annotated[int, BeforeValidator(parse_size)] = Field(default_factory=lambda: machine_memory() * 4 // 5)
    cell_seconds: Annotated[float, Field(gt=0)] | None = None
    server_idle: Annotated[float | None, BeforeValidator(parse_duration)] = 12 * 3600.0
    engine: dict[str, str] = {}
    build: str = ""


_KEYS = ("backend", "workers", "memory", "cell_seconds", "server_idle")


def machine_memory() -> int:
    """Return the bytes of memory that this machine has, or that its control group allows."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUPS:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        found += [int(text)] if text.isdigit() else []
    return min(found)


def save_settings(root: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settle how this build works, and write it down for its jobs, which do not share its environment.

    Parameters
    ----------
    root : Path
        The project. Its `cortax.toml`, if there is one, says what is usual there.
    environ : mapping
        `CORTAX_BACKEND`, `CORTAX_WORKERS`, `CORTAX_MEMORY` and `CORTAX_CELL_SECONDS` say what is to be otherwise.

    Raises
    ------
    ProjectError
        A key is unknown or a value not allowed, or the back-end is not installed or not there; the message says what
        would be.
    """
    settings = settle(root, environ)
    if settings.backend in BACKEND_MODULES:
        check_backend(settings.backend)
        check_address(settings.backend, environ)
    settings = settings.model_copy(update={"build": secrets.token_hex(8)})
    write_text(_saved(root), settings.model_dump_json(indent=1))
    return settings


def read_settings(root: Path) -> Settings:
    """Return what `save_settings` wrote last; where it never did, what it would write.

    Raises
    ------
    ProjectError
        See `save_settings`; or what it wrote is damaged.
    """
    try:
        return Settings.model_validate(json.loads(_saved(root).read_text()))
    except FileNotFoundError:
        return settle(root, os.environ)
    except (OSError, ValueError) as error:
        raise ProjectError(f"{_saved(root)}: damaged ({error}); build again") from error


def _saved(root: Path) -> Path:
    return root / ".cortax" / "settings.json"


def settle(root: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return how a build would work that began now; see `save_settings`."""
    path = root / "cortax.toml"
    said = {key: (value, f"{path}: {key}") for key, value in _read_toml(path).items()}
    for key, (_, where) in said.items():
        if key not in _KEYS:
            raise ProjectError(f"{where}: unknown key; {choices(key, _KEYS)}")
    for key in _KEYS:
        name = f"CORTAX_{key.upper()}"
        if environ.get(name):
            said[key] = environ[name], name
    engine = {name: environ[name] for name in BACKEND_VARIABLES if environ.get(name)}
    try:
        return Settings.model_validate({"engine": engine, **{key: value for key, (value, _) in said.items()}})
    except ValidationError as error:
        raise ProjectError("; ".join(_explain(dict(detail), said) for detail in error.errors())) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ProjectError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path}: not valid TOML: {error}") from error


def _explain(detail: dict[str, Any], said: Mapping[str, tuple[Any, str]]) -> str:
    value, where = said[detail["loc"][0]]
    message = str(detail["msg"]).removeprefix("Value error, ")
    # The message of a wrong choice names what was found.
    return f"{where}: {message}" if message.startswith("got ") else f"{where}: {message}; got {value!r}"
