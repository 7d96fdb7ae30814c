"""Which files make up a cohort: patterns such as `sub-{participant_id}/anat/*_hemi-{hemi}_thickness.func.gii`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortax.brain.data.dropped import NOT_LISTED, Dropped
from cortax.brain.data.image_names import Pattern, ScanKey, split_pick
from cortax.brain.data.scans import Choice, Row, choose_rows
from cortax.errors import InputError
from cortax.provenance import file_digest
from cortax.provenance.files import text_digest

if TYPE_CHECKING:
    from cortax.brain.data.name_lists import SubjectList

__all__ = [
    "NOT_LISTED",
    "MapFiles",
    "Scan",
    "content_of",
    "content_of_stacks",
    "data_files",
    "find_images",
    "find_maps",
    "inventory",
    "list_inventory",
    "split_pick",
]


@dataclass(frozen=True)
class Scan:
    """One scan of a row: its session and run, "" where patterns do not say, and its files, see `MapFiles.paths`."""

    session: str
    run: str
    paths: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class MapFiles:
    """The files of every complete subject.

    Attributes
    ----------
    root : Path
    subjects : tuple of str
        Sorted: people, or their sessions and runs where there is a row for each.
    maps : tuple of str
        Sorted.
    paths : tuple
        `paths[i][j]` holds subject i's file of map j relative to `root`: one for the whole brain or two, left and
        right; of several scans the first one's.
    picks : tuple
        `picks[j]` says which map of such a file is meant, None where the file has only one.
    dropped : tuple of Dropped
    scans : tuple
        `scans[i]` are the scans whose average subject i is; empty where nobody has more than one.
    lost : tuple of Dropped
        Scans that lack a file, of subjects that have others.
    endings : tuple of str
        What sessions and runs add to identifiers, each once, sorted.
    rows : mapping of map to mapping of subject to int
        Of maps of which one file holds everybody: each subject's row in it, from 0.
    """

    root: Path
    subjects: tuple[str, ...]
    maps: tuple[str, ...]
    paths: tuple[tuple[tuple[str, ...], ...], ...]
    picks: tuple[str | None, ...]
    dropped: tuple[Dropped, ...] = ()
    scans: tuple[tuple[Scan, ...], ...] = ()
    lost: tuple[Dropped, ...] = ()
    endings: tuple[str, ...] = ()
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def row_of(self, i: int, j: int) -> int | None:
        """Return the row of subject i in the file of map j; None if the file is the subject's own."""
        rows = self.rows.get(self.maps[j])
        return None if rows is None else rows[self.subjects[i]]

    def scans_of(self, i: int) -> tuple[Scan, ...]:
        """Return the scans of subject number `i`, at least one."""
        return self.scans[i] if self.scans else (Scan("", "", self.paths[i]),)


def find_maps(
    root: Path | str,
    patterns: Mapping[str, str],
    *,
    sessions: Choice = None,
    runs: Choice = "average",
    leave_out: Callable[[str], bool] = lambda _: False,
    subjects: SubjectList | None = None,
) -> MapFiles:
    """Find every subject's maps by the names of their files.

    Parameters
    ----------
    root : path
        Folder that the patterns start from.
    patterns : dict of map name -> pattern
        Literal text with `{participant_id}` (once or several times), `*` for any text within a name, and
        `{hemi}` (L, R) or `{hemi_fs}` (lh, rh) where there is one file a hemisphere. `{session}` and `{run}` are
        learnt from the names, too; a map whose pattern lacks them is the same in all. A final `#name` picks one map of
        a file with several. A pattern without `{participant_id}` is of one file that holds everybody.
    sessions, runs : "each", "average", "first" or names, optional
        See `cortax.brain.data.scans.choose_rows`.
    leave_out : callable of identifier -> bool
        Of whom no file is to be read, because nothing else is known of them. Where it is everybody, nobody is left
        out: identifiers are then written otherwise, and whoever compares them can say so.
    subjects : SubjectList, optional
        Who the rows of files that hold everybody are, in their order.

    Returns
    -------
    MapFiles
        Subjects and maps sorted; who is left out, or has not all files, is in `dropped`.

    Raises
    ------
    InputError
        No such folder, a pattern that cannot work or that no file fits, two files for one subject, map and
        hemisphere, several sessions without a word which are meant, or no complete subject; a file of everybody
        with other rows than `subjects`, or whose rows nobody names.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of maps")
    if not patterns:
        raise InputError(f"{root}: no pattern of maps given")
    slots = [(p, hemi) for name in sorted(patterns) for p in [Pattern(name, patterns[name])] for hemi in p.hemispheres]
    matched, stacked = [], dict[str, Mapping[str, int]]()
    for pattern, hemi in slots:
        if pattern.is_stack:
            path, stacked[pattern.name] = _stack(root, pattern, hemi, subjects)
            matched.append({ScanKey(subject, "", ""): [path] for subject in stacked[pattern.name]})
        else:
            matched.append(pattern.match(root, hemi))
    found = _Found(root, slots, matched, stacked)
    scans = found.scans()
    try:
        rows = choose_rows(scans, sessions, runs)
    except InputError as error:
        # Who is in no table may have any.
        known = {scan for scan in scans if not leave_out(scan.participant_id)}
        if sessions is not None or not known or known == scans:
            raise InputError(f"{root}: {error}") from error
        rows = [*choose_rows(known, sessions, runs), *choose_rows(scans - known, "average", runs)]
    others = {row.id for row in rows if leave_out(row.id)}
    others = others if len(others) < len(rows) else set()
    return found.files([row for row in rows if row.id not in others], others)


def find_images(
    about: Mapping[str, Any], root: Path | str, *, leave_out: Callable[[str], bool] = lambda _: False
) -> MapFiles:
    """Find the maps of a study; errors and the result are those of `find_maps`.

    Parameters
    ----------
    about : mapping
        Of `[images]`: `root`, `maps`, `subjects` and `id_prefix`, and perhaps `sessions` and `runs`.
    root : path
        The project, which paths are relative to.
    leave_out : callable of identifier -> bool
        See `find_maps`.
    """
    subjects = None
    if about["subjects"] is not None or about["id_prefix"]:
        from cortax.brain.data.name_lists import read_subjects

        subjects = read_subjects(about["subjects"], root, id_prefix=about["id_prefix"])
    return find_maps(
        Path(root) / about["root"],
        about["maps"],
        sessions=about.get("sessions"),
        runs=about.get("runs", "average"),
        leave_out=leave_out,
        subjects=subjects,
    )


def _stack(root: Path, pattern: Pattern, hemi: str, subjects: SubjectList | None) -> tuple[str, Mapping[str, int]]:
    """The one file of everybody, and the row of each."""
    # It reads images, which those who only have patterns need not wait for.
    from cortax.brain.data.stack_rows import rows_of

    path = pattern.find_stack(root, hemi)
    return path, rows_of(root / path, subjects)


@dataclass(frozen=True)
class _Found:
    """Files that fit the patterns: `matched[k]` of `slots[k]`, a map and a hemisphere; rows of those of everybody."""

    root: Path
    slots: list[tuple[Pattern, str]]
    matched: list[dict[ScanKey, list[str]]]
    stacked: dict[str, Mapping[str, int]]

    def scans(self) -> set[ScanKey]:
        """All scans: those of patterns that say session and run, and others that fit none of them."""
        every = frozenset().union(*(pattern.fields for pattern, _ in self.slots)) & {"session", "run"}
        whole = {
            key
            for (pattern, _), found in zip(self.slots, self.matched, strict=True)
            if every <= pattern.fields
            for key in found
        }
        if not whole:
            raise InputError(f"{self.root}: {{session}} and {{run}} must both be in the pattern of one of the maps")
        of_person: dict[str, list[ScanKey]] = {}
        for key in whole:
            of_person.setdefault(key.participant_id, []).append(key)
        parts = {key for found in self.matched for key in found} - whole
        return whole | {
            key for key in parts if not any(key.within(other) for other in of_person.get(key.participant_id, ()))
        }

    def files(self, rows: Sequence[Row], others: set[str]) -> MapFiles:
        """Gather the files of rows; `others` are left out."""
        dropped, lost = [Dropped(subject, NOT_LISTED) for subject in sorted(others)], []
        kept: list[tuple[Row, tuple[Scan, ...]]] = []
        for row in rows:
            gaps = {scan: self._gap(scan) for scan in row.scans}
            whole = [scan for scan, gap in gaps.items() if gap is None]
            missing = [Dropped(_called(row, scan), *gap) for scan, gap in gaps.items() if gap]
            if whole:
                kept.append((row, tuple(Scan(scan.session, scan.run, self._paths(scan)) for scan in whole)))
                lost += missing
            else:
                first = missing[0] if missing else Dropped(row.id, row.lacking)
                dropped.append(Dropped(row.id, first.reason, first.file))
        if not kept:
            raise InputError(
                f"{self.root}: none of {len(rows) + len(others)} subjects has all files; "
                f"the first: {dropped[len(others)].reason}"
            )
        maps = {pattern.name: split_pick(pattern.text)[1] for pattern, _ in self.slots}
        several = any(len(scans) > 1 for _, scans in kept)
        return MapFiles(
            self.root,
            tuple(row.id for row, _ in kept),
            tuple(maps),
            tuple(scans[0].paths for _, scans in kept),
            tuple(maps.values()),
            tuple(sorted(dropped, key=lambda drop: drop.participant_id)),
            tuple(scans for _, scans in kept) if several else (),
            tuple(lost),
            tuple(sorted({row.ending for row in rows if row.ending})),
            {name: {row.id: of[row.scans[0].participant_id] for row, _ in kept} for name, of in self.stacked.items()},
        )

    def _gap(self, scan: ScanKey) -> tuple[str, str] | None:
        """Why a scan is not whole, and the first file that it lacks."""
        for (pattern, hemi), found in zip(self.slots, self.matched, strict=True):
            if not (paths := found.get(pattern.own(scan))):
                if pattern.is_stack:
                    return f"no row: {pattern.find_stack(self.root, hemi)}", ""
                path = pattern.fill(scan, hemi)
                return f"missing file: {path}", path
            if len(paths) > 1:
                where = f"{scan.describe()}, map {pattern.name!r}" + (f", hemisphere {hemi}" if hemi else "")
                raise InputError(
                    f"{self.root}: two files for {where}: {paths[0]!r} and {paths[1]!r}; make {pattern.text!r} narrower"
                )
        return None

    def _paths(self, scan: ScanKey) -> tuple[tuple[str, ...], ...]:
        of_map: dict[str, tuple[str, ...]] = {}
        for (pattern, _), found in zip(self.slots, self.matched, strict=True):
            of_map[pattern.name] = (*of_map.get(pattern.name, ()), found[pattern.own(scan)][0])
        return tuple(of_map.values())


def _called(row: Row, scan: ScanKey) -> str:
    """A scan of a row that has several, in words."""
    more = [f"{what} {value}" for what, value in (("session", scan.session), ("run", scan.run)) if value]
    return ", ".join([row.id, *more])


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
        Sorted lines "sha256 relative/path" ("gone" for a link that leads nowhere or a file that may not be read),
        "rows of map 'name'" where one file holds everybody; then "missing relative/path" for the files that subjects
        were dropped for.
    digest : str
        sha256 of the text.
    """
    every: dict[str, str] = {}
    for i in range(len(files.subjects)):
        every.update(content_of(files, i, digest_of))
    every.update(content_of_stacks(files, digest_of))
    return list_inventory(every, [*files.dropped, *files.lost])


def content_of(files: MapFiles, i: int, digest_of: Callable[[Path], str] = file_digest) -> dict[str, str]:
    """Return the digests of one subject's own files by relative path, see `inventory`."""
    found = {}
    every = (pair for scan in files.scans_of(i) for pair in zip(files.maps, scan.paths, strict=True))
    for path in (path for name, pair in every if name not in files.rows for path in pair):
        beside = [more for more in data_files(files.root / path) if more.exists()]
        for file in (files.root / path, *beside):
            name = path if file not in beside else str(Path(path).with_name(file.name))
            try:
                found[name] = digest_of(file)
            except InputError:
                # Not a reason to stop: it is the subject's damaged file.
                found[name] = "gone"
    return found


def content_of_stacks(files: MapFiles, digest_of: Callable[[Path], str] = file_digest) -> dict[str, str]:
    """Return the digests of the files that hold everybody, and of whose row is where, see `inventory`."""
    found: dict[str, str] = {}
    for j, name in enumerate(files.maps):
        if name in files.rows:
            found |= {path: digest_of(files.root / path) for path in files.paths[0][j]}
            found[f"rows of map {name!r}"] = text_digest(json.dumps(sorted(files.rows[name].items())))
    return found


def data_files(path: Path) -> list[Path]:
    """List the files that a GIFTI file may keep its values in: `NAME.dat` beside `NAME.gii` or `NAME.shape.gii`.

    SPM and CAT12 write such pairs. They are an input as soon as they are there, so that a change of them shows; a
    GIFTI file that names any other file is not read.
    """
    name = path.name.removesuffix(".gii")
    if name == path.name:
        return []
    stems = dict.fromkeys((name, re.sub(r"\.(shape|func|label|surf|coord|time)$", "", name)))
    return [path.with_name(f"{stem}.dat") for stem in stems]


def list_inventory(digests: Mapping[str, str], dropped: Iterable[Dropped]) -> tuple[str, str]:
    """Write the lines of `inventory` from digests by relative path."""
    lines = sorted(f"{digest} {path}\n" for path, digest in digests.items())
    lines += sorted(f"missing {d.file}\n" for d in dropped if d.file)
    text = "".join(lines)
    return text, hashlib.sha256(text.encode()).hexdigest()
