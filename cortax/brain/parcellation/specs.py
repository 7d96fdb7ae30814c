"""From a study's table `[parcellations.<name>]` to an Atlas, and to the files that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.brain.data.meshes import FSAVERAGE, SURFACES
from cortax.brain.data.spaces import Space
from cortax.brain.parcellation.apply import STATISTICS
from cortax.brain.parcellation.atlas import Atlas
from cortax.brain.parcellation.made import make_icosahedral, make_random_growth, make_voronoi, make_ward
from cortax.brain.parcellation.probabilistic import read_probabilistic
from cortax.brain.parcellation.readers import RESAMPLE, Parts, check_label_keys, read_label_files, read_weights
from cortax.brain.parcellation.spec_files import PATHS
from cortax.errors import AtlasError, InputError, choices

__all__ = ["KINDS", "Kind", "atlas_from_spec", "check_spec"]

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """One value of `kind`: what builds it, and the keys that it must and may have."""

    build: Callable[[Spec, Space, Path], Parts]
    required: tuple[str, ...]
    optional: tuple[str, ...]


KINDS: dict[str, Kind] = {
    "labels": Kind(read_label_files, (), ("file", "left", "right", "names", "resample")),
    "weights": Kind(read_weights, ("file",), ("names",)),
    "probabilistic": Kind(read_probabilistic, ("file",), ("names", "threshold")),
    "random-growth": Kind(make_random_growth, ("n_regions", "seed"), ("mesh", "mask")),
    "voronoi": Kind(make_voronoi, ("n_regions", "seed"), ("mesh", "surface", "mask")),
    "icosahedral": Kind(make_icosahedral, ("level",), ("mesh", "mask")),
    "ward": Kind(make_ward, ("n_regions",), ("mesh", "surface", "mask", "features")),
}
COMMON = ("kind", "statistic")
NUMBERS: dict[str, tuple[int, int | None]] = {"n_regions": (2, None), "seed": (0, None), "level": (0, 4)}
WORDS: dict[str, Collection[str]] = {"resample": RESAMPLE, "statistic": STATISTICS, "surface": SURFACES}


def atlas_from_spec(spec: Spec, *, name: str, space: Space, root: Path | str) -> Atlas:
    """Read or make the parcellation that a study asks for.

    Parameters
    ----------
    spec : mapping
        `kind`, one of KINDS, and the keys of that kind; `statistic` may say what to apply ("mean").
    name : str
        The parcellation's name, which begins every message.
    space : Space
        Of the maps that it is for.
    root : path
        The folder that relative paths start from.

    Raises
    ------
    AtlasError
        An unknown kind or key, a missing key, or whatever the readers and makers of the kind find wrong.
    """
    try:
        check_spec(spec)
        regions, weights, own = KINDS[spec["kind"]].build(spec, space, Path(root))
        return Atlas(name, own or space, regions, weights, spec.get("statistic", "mean"))
    except (AtlasError, InputError) as error:
        raise AtlasError(f"parcellation {name!r}: {error}") from error


def check_spec(spec: Spec) -> None:
    """Check all of a spec that can be checked without opening a file.

    Raises
    ------
    AtlasError
        An unknown kind, key, mesh, statistic or way to resample; a missing key; a number out of its range.
    """
    if "kind" not in spec:
        raise AtlasError(f"has no key 'kind', which must be one of {sorted(KINDS)}")
    _one_of("kind", spec["kind"], KINDS)
    kind = KINDS[spec["kind"]]
    missing = [key for key in kind.required if key not in spec]
    if missing:
        raise AtlasError(f"kind {spec['kind']!r} needs the keys {list(kind.required)}, missing: {missing}")
    allowed = (*COMMON, *kind.required, *kind.optional)
    for key, value in spec.items():
        if key not in allowed:
            raise AtlasError(f"unknown key: {choices(key, allowed)}")
        if key in NUMBERS:
            _check_number(key, value)
        if key in WORDS:
            _one_of(key, value, WORDS[key])
        if key == "threshold" and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise AtlasError(f"threshold: must be a number above 0, got {value!r}")
        if key in PATHS and not isinstance(value, str):
            raise AtlasError(f"{key}: must be a path, got {value!r}")
    if isinstance(spec.get("mesh"), str):
        _one_of("mesh", spec["mesh"], FSAVERAGE)
    if spec["kind"] == "labels":
        check_label_keys(spec)
    if isinstance(spec.get("mask"), Mapping):
        check_spec({**spec["mask"], "kind": "labels"})


def _check_number(key: str, value: object) -> None:
    low, high = NUMBERS[key]
    # bool is an int to Python, but not to whoever writes a study
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise AtlasError(f"{key}: must be a whole number {span}, got {value!r}")


def _one_of(key: str, value: object, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise AtlasError(f"{key}: {choices(str(value), allowed)}")
