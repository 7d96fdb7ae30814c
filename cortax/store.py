"""Arrays and JSON kept one way: as files of a folder, or sealed in bytes. And files that are never half-written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from cortax.errors import CortaxError, ProjectError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build", "load", "naming", "pack", "replacing", "save", "save_dataset", "split", "unpack", "write_whole"]

Array = npt.NDArray[Any]
T = TypeVar("T")

_SEAL = 16


def save(
    folder: str | Path, files: Mapping[str, Any], *, indent: int | None = 1, sort_keys: bool = True, end: str = ""
) -> list[str]:
    """Write files by name into an existing folder and return their names. Same values, same bytes.

    `.npz` holds arrays by name, `.npy` one array, neither of objects; `.json` JSON, numpy's scalars included, in the
    style that `indent`, `sort_keys` and `end` (what follows it) say; `.parquet` a DataFrame without its index; a file
    with any other ending, bytes.
    """
    for name, content in files.items():
        path = Path(folder) / name
        if path.suffix == ".npz":
            np.savez(path, allow_pickle=False, **content)
        elif path.suffix == ".npy":
            np.save(path, content, allow_pickle=False)
        elif path.suffix == ".json":
            text = json.dumps(content, indent=indent, sort_keys=sort_keys, default=_plain)
            path.write_text(text + end, encoding="utf-8")
        elif path.suffix == ".parquet":
            content.to_parquet(path, index=False)
        else:
            path.write_bytes(content)
    return list(files)


def load(folder: str | Path, *names: str) -> list[Any]:
    """Return what `save` wrote, one content a name; `.npy` is mapped read-only, all else is read.

    A ProjectError names the file that is missing or damaged.
    """
    return [_load(Path(folder) / name) for name in names]


def _load(path: Path) -> Any:
    with naming(path):
        if path.suffix == ".npy":
            return np.lib.format.open_memmap(path, mode="r")
        if path.suffix == ".npz":
            # numpy leaves a damaged file open that it has opened itself.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return dict(stored)
        content = path.read_bytes()
        return json.loads(content) if path.suffix == ".json" else content


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file or folder in every error that reading from it can raise, as a ProjectError."""
    try:
        yield
    except (CortaxError, MemoryError):
        raise
    except Exception as error:
        # Parsers raise whatever a damaged byte leads them to: the kind says little, the file much.
        raise ProjectError(f"{path}: missing or damaged ({type(error).__name__}: {error})") from error


def split(value: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the fields of a dataclass by name: those that hold arrays, and the others."""
    content = {field.name: getattr(value, field.name) for field in fields(value)}
    arrays = {name: part for name, part in content.items() if isinstance(part, np.ndarray)}
    return arrays, {name: part for name, part in content.items() if name not in arrays}


def build(kind: type[T], *parts: Mapping[str, Any]) -> T:
    """Build a dataclass from its fields, wherever among the parts they are; other names are left alone.

    Later parts win over earlier ones. Lists, which is what JSON makes of tuples, become tuples. ProjectError if a field
    without a default is nowhere.
    """
    own = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    found = {name: value for part in parts for name, value in part.items() if name in own}
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()})
    except TypeError as error:
        raise ProjectError(f"not a stored {kind.__name__}: {error}") from error


def pack(arrays: Mapping[str, Array], about: Any) -> bytes:
    """Return arrays, of any type but objects, and JSON as bytes: exact to the bit, no pickles, sealed by a digest."""
    head = json.dumps([about, list(arrays)], default=_plain).encode()
    out = io.BytesIO()
    out.write(struct.pack("<I", len(head)) + head)
    for values in arrays.values():
        np.lib.format.write_array(out, np.asarray(values), allow_pickle=False)
    return _digest(out.getbuffer()) + out.getvalue()


def unpack(content: bytes) -> tuple[dict[str, Array], Any]:
    """Return the arrays and the JSON that `pack` was given; ProjectError if a byte is not as it was."""
    if _digest(memoryview(content)[_SEAL:]) != content[:_SEAL]:
        raise ProjectError(f"{len(content)} bytes are not what was packed: their digest is not the one they begin with")
    stream = io.BytesIO(content)
    stream.seek(_SEAL)
    (size,) = struct.unpack("<I", stream.read(4))
    about, names = json.loads(stream.read(size))
    return {name: np.lib.format.read_array(stream, allow_pickle=False) for name in names}, about


def _digest(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_SEAL).digest()


def _plain(value: Any) -> Any:
    """Write numpy's scalars as Python's and mappings as dict; anything else is no JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new file's path beside `path`; it takes its place and permissions when the block ends without error."""
    # A name of its own: two processes may write the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        yield temporary
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, *, sync: bool = False) -> None:
    """Write a file such that it is whole whenever somebody looks; if it cannot be written, the old one stays.

    `sync` puts it on disk before it takes the old one's place. Text is UTF-8. OSError is that of a plain write.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def save_dataset(job: Any, table: pd.DataFrame, file: str) -> None:
    """Write a table of float64, int64 and text as a Parquet file of a job, and as the job's dataset for `ax ds`.

    `job` is what Exax hands to a method's `synthesis`.
    """
    table.to_parquet(job.filename(file), index=False)
    kinds = {name: str(kind) for name, kind in table.dtypes.items()}
    columns = {name: kind if kind in ("float64", "int64") else "unicode" for name, kind in kinds.items()}
    # One slice holds it all: such tables are small, and do not depend on the number of slices.
    writer = job.datasetwriter(columns=columns, allow_missing_slices=True)
    writer.set_slice(0)
    for row in table.to_dict("records"):
        writer.write_dict(row)
    writer.finish()
