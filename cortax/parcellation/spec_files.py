"""The files that a parcellation's spec depends on, without what it takes to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["PATHS", "spec_files"]

Spec = Mapping[str, Any]

PATHS = ("file", "left", "right", "names")


def spec_files(spec: Spec, root: Path | str) -> list[Path]:
    """List the files that a spec depends on, sorted, each once: their content decides what the atlas is.

    Meshes by name are not among them: they come with the installed nilearn, whose version says as much.
    """
    return sorted({Path(root) / path for path in _paths(spec)})


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
