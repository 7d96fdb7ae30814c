"""Which files make up a cohort: patterns such as `sub-{participant_id}/anat/*_hemi-{hemi}_thickness.func.gii`."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cortax.data.dropped import Dropped
from cortax.errors import InputError, choices
from cortax.provenance import file_digest

__all__ = ["MapFiles", "find_maps", "inventory", "list_inventory"]

_FIELD = re.compile(r"\{([^{}]*)\}")
_HEMI_NAMES = {"hemi": {"L": "L", "R": "R"}, "hemi_fs": {"L": "lh", "R": "rh"}}
_FIELDS = ("participant_id", *_HEMI_NAMES)


@dataclass(frozen=True)
class MapFiles:
    """The files of every complete subject.

    `paths[i][j]` holds subject i's file of map j relative to `root`: one for the whole brain or two, left and
    right. `picks[j]` says which map of such a file is meant, None where the file has only one.
    """

    root: Path
    subjects: tuple[str, ...]
    maps: tuple[str, ...]
    paths: tuple[tuple[tuple[str, ...], ...], ...]
    picks: tuple[str | None, ...]
    dropped: tuple[Dropped, ...] = ()


def find_maps(root: Path | str, patterns: Mapping[str, str]) -> MapFiles:
    """Find every subject's maps by the names of their files.

    Parameters
    ----------
    root : path
        Folder that the patterns start from.
    patterns : dict of map name -> pattern
        Literal text with `{participant_id}` (once or several times), `*` for any text within a name, and
        `{hemi}` (L, R) or `{hemi_fs}` (lh, rh) where there is one file a hemisphere. A final `#name` picks one
        map of a file with several.

    Returns
    -------
    MapFiles
        Subjects and maps sorted; a subject without all of its files is in `dropped`.

    Raises
    ------
    InputError
        No such folder, a pattern that cannot work or that no file fits, two files for one subject, map and
        hemisphere, or no complete subject.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of maps")
    if not patterns:
        raise InputError(f"{root}: no pattern of maps given")
    names = tuple(sorted(patterns))
    slots = [(name, hemi) for name in names for hemi in _hemispheres(name, patterns[name])]
    found = {slot: _match(root, patterns[slot[0]], *slot) for slot in slots}
    everyone = sorted(set().union(*found.values()))
    dropped, subjects = [], []
    for subject in everyone:
        gap = next((slot for slot in slots if subject not in found[slot]), None)
        if gap is None:
            subjects.append(subject)
        else:
            path = _fill(patterns[gap[0]], subject, gap[1])
            dropped.append(Dropped(subject, f"missing file: {path}", path))
    if not subjects:
        raise InputError(f"{root}: none of {len(everyone)} subjects has all files; the first: {dropped[0].reason}")
    paths = tuple(tuple(tuple(found[s][i] for s in slots if s[0] == name) for name in names) for i in subjects)
    picks = tuple(_split(patterns[name])[1] for name in names)
    return MapFiles(root, tuple(subjects), names, paths, picks, tuple(dropped))


def inventory(files: MapFiles, digest_of: Callable[[Path], str] = file_digest) -> tuple[str, str]:
    """List the content of a cohort's files, and digest the list.

    Parameters
    ----------
    files : MapFiles
    digest_of : callable of path -> str
        A remembering one lets an unchanged cohort be listed without being read.

    Returns
    -------
    text : str
        Sorted lines "sha256 relative/path", then "missing relative/path" for the files that subjects were
        dropped for.
    digest : str
        sha256 of the text.
    """
    every = {path: digest_of(files.root / path) for maps in files.paths for pair in maps for path in pair}
    return list_inventory(every, files.dropped)


def list_inventory(digests: Mapping[str, str], dropped: Iterable[Dropped]) -> tuple[str, str]:
    """Write the lines of `inventory` from digests by relative path."""
    lines = sorted(f"{digest} {path}\n" for path, digest in digests.items())
    lines += sorted(f"missing {d.file}\n" for d in dropped)
    text = "".join(lines)
    return text, hashlib.sha256(text.encode()).hexdigest()


def _split(pattern: str) -> tuple[str, str | None]:
    path, mark, pick = pattern.partition("#")
    return path, pick if mark else None


def _hemispheres(name: str, pattern: str) -> tuple[str, ...]:
    """Check a pattern, and say which files it asks for: L and R, or one ("")."""
    path = _split(pattern)[0]
    fields = _FIELD.findall(path)
    for field in fields:
        if field not in _FIELDS:
            raise InputError(f"map {name!r}, pattern {pattern!r}: {choices(field, _FIELDS)}")
    if "participant_id" not in fields:
        raise InputError(f"map {name!r}, pattern {pattern!r}: it must hold {{participant_id}}")
    if "**" in path or Path(path).is_absolute():
        raise InputError(f"map {name!r}, pattern {pattern!r}: it must be relative to the root and without '**'")
    # Beside a wildcard there is no telling where the identifier ends; elsewhere in the pattern there must be.
    if not re.search(r"(?<![*}])\{participant_id\}(?![*{])", path):
        raise InputError(
            f"map {name!r}, pattern {pattern!r}: text must separate {{participant_id}} from '*' and others"
        )
    return ("L", "R") if set(fields) & set(_HEMI_NAMES) else ("",)


def _match(root: Path, pattern: str, name: str, hemi: str) -> dict[str, str]:
    """Relative path by subject."""
    found: dict[str, str] = {}
    regex = re.compile(_regex(pattern, hemi))
    for path in sorted(glob.glob(_glob(pattern, hemi), root_dir=root)):
        matched = regex.fullmatch(path)
        if matched is None:
            continue
        subject = matched["id"]
        if subject in found:
            where = f"subject {subject!r}, map {name!r}" + (f", hemisphere {hemi}" if hemi else "")
            raise InputError(
                f"{root}: two files for {where}: {found[subject]!r} and {path!r}; make {pattern!r} narrower"
            )
        found[subject] = path
    if not found:
        side = f" (hemisphere {hemi})" if hemi else ""
        raise InputError(f"{root}: no file fits the pattern {pattern!r} of map {name!r}{side}")
    return found


def _pieces(pattern: str, hemi: str) -> list[tuple[str, bool]]:
    """Cut into (text, whether it is a participant's place), the hemisphere filled in."""
    path = _split(pattern)[0]
    for field, value in _HEMI_NAMES.items():
        path = path.replace(f"{{{field}}}", value.get(hemi, ""))
    parts = path.split("{participant_id}")
    return [piece for part in parts for piece in ((part, False), ("", True))][:-1]


def _glob(pattern: str, hemi: str) -> str:
    return "".join(
        "*" if here else "*".join(map(glob.escape, text.split("*"))) for text, here in _pieces(pattern, hemi)
    )


def _regex(pattern: str, hemi: str) -> str:
    first, out = True, ""
    for text, here in _pieces(pattern, hemi):
        if here:
            out += r"(?P<id>[^/]+?)" if first else r"(?P=id)"
            first = False
        else:
            out += "[^/]*".join(map(re.escape, text.split("*")))
    return out


def _fill(pattern: str, subject: str, hemi: str) -> str:
    return "".join(subject if here else text for text, here in _pieces(pattern, hemi))
