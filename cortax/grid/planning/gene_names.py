"""Which genes a matrix has, known before its jobs run; and which of them a study asks for."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cortax.errors import InputError, StudyError, choices
from cortax.provenance.closure import class_code
from cortax.provenance.files import text_digest
from cortax.study.network import Expression, Genes

__all__ = ["GeneNames", "Measured", "choose_genes"]

_READER = "cortax.data.expression:read_expression"


@dataclass(frozen=True)
class Measured:
    """What a matrix has: names of its genes, in its order, and the number of its samples."""

    names: tuple[str, ...]
    n_samples: int


class GeneNames:
    """Names of genes by the content of their file.

    Parameters
    ----------
    folder : Path
        Where they are remembered. It is a cache: what is damaged is made anew.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, root: Path, asked: Expression, digest: str) -> Measured:
        """Return what the file of a study has, which is read where it is not known by its digest.

        Raises
        ------
        InputError
            It is no matrix of expression.
        """
        # Another way to read may find other genes in the same file.
        code = class_code([_READER])
        key = text_digest(json.dumps([digest, asked.genes_in, asked.names_in, code], sort_keys=True))
        known = self._folder / f"{key[:40]}.json"
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads(known.read_text(encoding="utf-8"))
            return Measured(tuple(found["names"]), int(found["n_samples"]))
        # Imported here: a build of nothing new does not wait for what reads files.
        from cortax.data.expression import read_expression

        expression = read_expression(root / asked.file, genes_in=asked.genes_in, names_in=asked.names_in)
        measured = Measured(expression.genes, len(expression.samples))
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = known.with_suffix(".new")
            temporary.write_text(json.dumps({"names": measured.names, "n_samples": measured.n_samples}))
            temporary.replace(known)
        return measured


def choose_genes(key: str, asked: Genes, names: Sequence[str], root: Path) -> list[str]:
    """Return the genes that a section of a study asks for, sorted: their order in files is of no account.

    Parameters
    ----------
    key : str
        The section.
    asked : Genes
    names : sequence of str
        All genes of the matrix.
    root : Path
        What the path of a list is relative to.

    Raises
    ------
    CortaxError
        A pattern fits no gene; or the list cannot be read, is empty, or has none of the genes. A list may name genes
        that the matrix does not have, as lists of transcription factors do: they are told and left out.
    """
    if asked.file is not None:
        return _listed(key, root / asked.file, names)
    chosen: set[str] = set()
    there = set(names)
    for pattern in asked.names:
        found = names if pattern == "*" else [pattern] if pattern in there else fnmatch.filter(names, pattern)
        if not found:
            raise StudyError(f"{key}.names: no gene is called so: {_nearest(pattern, names)}")
        chosen.update(found)
    return sorted(chosen)


def _listed(key: str, path: Path, names: Sequence[str]) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {key}.file cannot be read ({error})") from error
    wanted = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    chosen = wanted.intersection(names)
    if not chosen:
        raise InputError(
            f"{path}: {key}.file names {len(wanted)} genes, none of which is among the {len(names)} there are"
        )
    if absent := sorted(wanted - chosen):
        print(f"{path}: {len(absent)} of {len(wanted)} genes are not in the matrix and left out: {_some(absent)}")
    return sorted(chosen)


def _nearest(name: str, names: Collection[str]) -> str:
    # Of tens of thousands of names nobody wants to read all.
    return choices(name, names) if len(names) <= 30 else f"got {name!r}, there are {len(names)}: {_some(sorted(names))}"


def _some(names: Sequence[str], n: int = 5) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
