"""The files that a parcellation's spec depends on, without what it takes to read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cortax.brain.data.map_files import data_files, split_pick
from cortax.provenance.files import file_digest

__all__ = ["PATHS", "spec_digests", "spec_files"]

Spec = Mapping[str, Any]

PATHS = ("file", "left", "right", "names")


def spec_files(spec: Spec, root: Path | str) -> list[Path]:
    """List the files that a spec depends on, sorted, each once: their content decides what the atlas is.

    Meshes by name are not among them: they come with the installed nilearn, whose version says as much.
    """
    files = {Path(root) / split_pick(path)[0] for path in _paths(spec)}
    return sorted(files | {more for file in files for more in data_files(file) if more.exists()})


def spec_digests(spec: Spec, root: Path | str, digest_of: Callable[[Path], str] = file_digest) -> dict[str, str]:
    """Return the digest of every file that a spec depends on, by its path relative to the project."""
    return {os.path.relpath(path, root): digest_of(path) for path in spec_files(spec, root)}


def _paths(spec: Spec) -> Iterator[str]:
    yield from (spec[key] for key in PATHS if key in spec)
    if isinstance(spec.get("mesh"), Mapping):
        yield from _paths(spec["mesh"])
    features = spec.get("features", [])
    values = features if isinstance(features, list) else [features]
    for value in [*values, *([spec["mask"]] if "mask" in spec else [])]:
        if isinstance(value, Mapping):
            yield from _paths(value)
        elif value != "coordinates":
            yield value
