"""The files that a study's table of people is made of, without what it takes to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cortax.provenance.files import file_digest

__all__ = ["people_digests", "people_files", "sidecar_of", "table_files"]


def table_files(people: Mapping[str, Any]) -> list[str]:
    """Return the tables of `[phenotypes]`, as the study has them."""
    file = people["file"]
    return [file] if isinstance(file, str) else list(file)


def sidecar_of(path: Path) -> Path | None:
    """Return the JSON file of the same stem beside a `.tsv` file, where there is one."""
    beside = path.with_suffix(".json")
    return beside if path.suffix.lower() == ".tsv" and beside.is_file() else None


def people_files(people: Mapping[str, Any], root: Path) -> list[str]:
    """List all files that `[phenotypes]` rests on, each once: tables, their sidecars, lists of identifiers.

    Paths are as the study has them: those of a project that is moved are the same.
    """
    tables = table_files(people)
    sidecars = [str(Path(table).with_suffix(".json")) for table in tables if sidecar_of(root / table)]
    lists = [file for key in ("include", "exclude") if isinstance(file := people[key], str)]
    return list(dict.fromkeys([*tables, *sidecars, *lists]))


def people_digests(
    people: Mapping[str, Any], root: Path, digest_of: Callable[[Path], str] = file_digest
) -> dict[str, str]:
    """Return the digest of every such file.

    Raises
    ------
    InputError
        One is missing.
    """
    return {file: digest_of(root / file) for file in people_files(people, root)}
