"""Patterns of image files: who is which subject, session and run, by the names of files alone."""

from __future__ import annotations

import functools
import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cortax.errors import InputError, choices

__all__ = ["Pattern", "ScanKey", "natural", "split_pick"]

_FIELD = re.compile(r"\{([^{}]*)\}")
_HEMI_NAMES = {"hemi": {"L": "L", "R": "R"}, "hemi_fs": {"L": "lh", "R": "rh"}}
# Places of a file's name that are learnt from it.
_LEARNT = ("participant_id", "session", "run")
_FIELDS = (*_LEARNT, *_HEMI_NAMES)


class ScanKey(NamedTuple):
    """Whose scan a file is of; session and run are "" where its pattern does not say."""

    participant_id: str
    session: str
    run: str

    def within(self, other: ScanKey) -> bool:
        """Whether a key, of which session or run may not be known, fits another of the same person."""
        return self.session in ("", other.session) and self.run in ("", other.run)

    def describe(self) -> str:
        """Name it, for messages."""
        more = [f"{field} {value!r}" for field, value in zip(_LEARNT[1:], self[1:], strict=True) if value]
        return ", ".join([f"subject {self.participant_id!r}", *more])


def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return what texts are sorted by so that numbers in them sort as numbers: "ses-2" before "ses-10"."""
    parts = re.split(r"(\d+)", text)
    return tuple((not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts if part)


def split_pick(pattern: str) -> tuple[str, str | None]:
    """Take the name of one of several maps off the end of a file's: `a.dlabel.nii#Yeo17`."""
    path, mark, pick = pattern.partition("#")
    return path, pick if mark else None


@dataclass(frozen=True)
class Pattern:
    """The pattern of one map's files.

    Parameters
    ----------
    name : str
        The map.
    text : str
        Literal text with `{participant_id}`, perhaps `{session}`, `{run}`, `{hemi}` or `{hemi_fs}`, and `*`. Without
        `{participant_id}` it is of one file that holds everybody.

    Raises
    ------
    InputError
        It cannot work: an unknown field, a session of nobody's, no text between fields and `*`.
    """

    name: str
    text: str

    def __post_init__(self) -> None:
        path, what = split_pick(self.text)[0], f"map {self.name!r}, pattern {self.text!r}"
        fields = _FIELD.findall(path)
        for field in fields:
            if field not in _FIELDS:
                raise InputError(f"{what}: {choices(field, _FIELDS)}")
        if "participant_id" not in fields and set(fields) & {"session", "run"}:
            raise InputError(
                f"{what}: it must hold {{participant_id}}; a file of all subjects is of one session and run"
            )
        if "participant_id" not in fields and "#" in self.text:
            raise InputError(f"{what}: '#' picks one of several maps of a subject's file; here rows are subjects")
        if "**" in path or Path(path).is_absolute():
            raise InputError(f"{what}: it must be relative to the root and without '**'")
        for field in _LEARNT:
            # Beside a wildcard there is no telling where a name ends; elsewhere in the pattern there must be.
            if field in fields and not re.search(rf"(?<![*}}])\{{{field}\}}(?![*{{])", path):
                raise InputError(f"{what}: text must separate {{{field}}} from '*' and others")

    @functools.cached_property
    def fields(self) -> frozenset[str]:
        """The names in braces."""
        return frozenset(_FIELD.findall(split_pick(self.text)[0]))

    @property
    def hemispheres(self) -> tuple[str, ...]:
        """Which files it asks for: L and R, or one ("")."""
        return ("L", "R") if self.fields & set(_HEMI_NAMES) else ("",)

    @property
    def is_stack(self) -> bool:
        """Whether one file (of a hemisphere) holds everybody."""
        return "participant_id" not in self.fields

    def find_stack(self, root: Path, hemi: str) -> str:
        """Return the relative path of the file that holds everybody.

        Raises
        ------
        InputError
            There is none, or more than one.
        """
        paths = sorted(glob.glob(self._glob(hemi), root_dir=root))
        if len(paths) != 1:
            raise InputError(
                f"{root}: map {self.name!r}, pattern {self.text!r}: it must hold {{participant_id}}, or be one file of "
                f"all subjects; found {paths[:3]}"
            )
        return paths[0]

    def match(self, root: Path, hemi: str) -> dict[ScanKey, list[str]]:
        """Find its files of one hemisphere: relative paths by scan.

        Raises
        ------
        InputError
            No file fits, or a file's name can be read in two ways.
        """
        found: dict[ScanKey, list[str]] = {}
        lazy, greedy = (re.compile(self._regex(hemi, more)) for more in ("+?", "+"))
        for path in sorted(glob.glob(self._glob(hemi), root_dir=root)):
            if not (matched := lazy.fullmatch(path)):
                continue
            key = self._key(matched)
            other = greedy.fullmatch(path)
            if self.fields & {"session", "run"} and other and self._key(other) != key:
                raise InputError(
                    f"{root / path}: map {self.name!r}, pattern {self.text!r}: it may be of {key.describe()} or of "
                    f"{self._key(other).describe()}; put more text between the fields"
                )
            found.setdefault(key, []).append(path)
        if not found:
            side = f" (hemisphere {hemi})" if hemi else ""
            raise InputError(f"{root}: no file fits the pattern {self.text!r} of map {self.name!r}{side}")
        return found

    def fill(self, key: ScanKey, hemi: str) -> str:
        """Return the path of a scan; what is not known of it stays `*`."""
        values = key._asdict()
        return "".join(values[text] or "*" if field else text for text, field in self._pieces(hemi))

    def own(self, key: ScanKey) -> ScanKey:
        """Return a key without what the pattern does not say."""
        known = {*self.fields, "participant_id"}
        return ScanKey(*(value if field in known else "" for field, value in key._asdict().items()))

    def _key(self, matched: re.Match[str]) -> ScanKey:
        groups = matched.groupdict()
        return ScanKey(*(groups.get(field, "") for field in _LEARNT))

    def _pieces(self, hemi: str) -> list[tuple[str, bool]]:
        """Cut into literal texts and learnt fields (True), the hemisphere filled in."""
        path = split_pick(self.text)[0]
        for field, value in _HEMI_NAMES.items():
            path = path.replace(f"{{{field}}}", value.get(hemi, ""))
        parts = re.split(r"\{(participant_id|session|run)\}", path)
        return [(part, place % 2 == 1) for place, part in enumerate(parts)]

    def _glob(self, hemi: str) -> str:
        return "".join(
            "*" if field else "*".join(map(glob.escape, text.split("*"))) for text, field in self._pieces(hemi)
        )

    def _regex(self, hemi: str, more: str) -> str:
        seen, out = set[str](), ""
        pieces = self._pieces(hemi)
        for place, (text, field) in enumerate(pieces):
            if not field:
                out += "[^/]*".join(map(re.escape, text.split("*")))
            elif text in seen:
                out += f"(?P={text})"
            else:
                seen.add(text)
                # As in BIDS a session or run has no `_`, unless it is the name of a folder.
                folder = pieces[place - 1][0].endswith("/") and pieces[place + 1][0].startswith("/")
                letters = "[^/]" if text == "participant_id" or folder else "[^/_]"
                out += f"(?P<{text}>{letters}{more})"
        return out
