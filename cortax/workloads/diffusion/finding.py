"""Which volumes a study has: by the names of files, as BIDS names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cortax.brain.data.image_names import Pattern, ScanKey, natural
from cortax.errors import InputError
from cortax.workloads.diffusion.study import Volumes

__all__ = ["VolumeFiles", "find_volumes"]


@dataclass(frozen=True)
class VolumeFiles:
    """The files of one volume.

    Attributes
    ----------
    scan : ScanKey
        Whose it is; session and run are "" where patterns do not have them.
    files : mapping of kind to str
        dwi, bval, bvec and perhaps mask; relative to the project, or absolute.
    """

    scan: ScanKey
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """What it is called in names of jobs and in tables, such as sub-01_ses-1."""
        return "_".join(filter(None, self.scan))


def find_volumes(asked: Volumes, root: Path) -> list[VolumeFiles]:
    """Find the volumes of a study.

    Parameters
    ----------
    asked : Volumes
        The section of the study.
    root : Path
        The project.

    Returns
    -------
    list of VolumeFiles
        Sorted by participant, session and run, numbers as numbers.

    Raises
    ------
    InputError
        No such folder, a pattern that cannot work or that no file fits, a pattern of subjects that fits nobody, or a
        volume that lacks a file or has two of a kind; the message says which.
    """
    folder = root / asked.root
    if not folder.is_dir():
        raise InputError(f"volumes.root = {asked.root!r}: no such folder: {folder}")
    patterns = {kind: Pattern(kind, text) for kind, text in asked.patterns.items()}
    matched = {kind: pattern.match(folder, "") for kind, pattern in patterns.items()}
    keys = sorted(matched["dwi"], key=lambda key: tuple(map(natural, key)))
    asked.subjects.check("volumes.subjects", sorted({key.participant_id for key in keys}), InputError)
    return [
        VolumeFiles(
            key,
            {kind: str(Path(asked.root) / _file(folder, patterns[kind], matched[kind], key)) for kind in patterns},
        )
        for key in keys
        if asked.subjects.matches(key.participant_id)
    ]


def _file(folder: Path, pattern: Pattern, matched: Mapping[ScanKey, list[str]], key: ScanKey) -> str:
    paths = matched.get(pattern.own(key), [])
    if not paths:
        raise InputError(
            f"{folder / pattern.fill(key, '')}: missing file, volumes.{pattern.name} of {key.describe()}; add it, or "
            "leave the subject out by volumes.subjects"
        )
    if len(paths) > 1:
        raise InputError(
            f"{folder}: two files are volumes.{pattern.name} of {key.describe()}: {paths[0]!r} and {paths[1]!r}; make "
            f"{pattern.text!r} narrower"
        )
    return paths[0]
