"""A SIMULATED cohort on the real fsaverage5 surface, written to disk the way a laboratory would have it.

The mean anatomy is real (nilearn's fsaverage5); every subject, family, phenotype and effect is invented. Each
effect lives at one spatial scale, so that parcellations of different sizes differ in what they can see. Some files
are damaged on purpose; the cohort's README lists them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from cortax.brain.data.meshes import edges, fsaverage_mesh
from cortax.errors import InputError

__all__ = ["DAMAGE", "MARKER", "TRAITS", "Trait", "simulate"]

Floats = NDArray[np.float64]
nib: Any = nibabel  # its own type hints are partial

MARKER = ".complete"
HEMISPHERES = {"L": "left", "R": "right"}
MAPS = {"thickness": "thick", "sulc": "sulc"}
# Spatial scales: fsaverage nests, so the first vertices are evenly spread centres; smoothing steps to match.
_SCALES = {42: 218, 162: 54, 642: 14, 2562: 4}
# Spread between subjects at each scale and from vertex to vertex (mm; sulcal depth in its own unit).
_SPREAD = {"thickness": (0.10, 0.09, 0.10, 0.12, 0.15), "sulc": (0.05, 0.06, 0.08, 0.10, 0.08)}
_FAMILY_SHARE = 0.4  # of the anatomical variance
_SITES = ("site-A", "site-B", "site-C", "site-D")
_WALL = 0.5  # mm: thinner on the template is medial wall, 0 in every subject


@dataclass(frozen=True)
class Trait:
    """One phenotype: at what scale it shows in the brain, how strongly, and how it is written down.

    `effect` is in spreads of the anatomy at that scale per SD of the trait (0: a null trait); `family` is the
    share of its variance that siblings have in common; `prevalence` makes it a yes/no trait.
    """

    name: str
    scale: int
    effect: float
    family: float
    text: str
    mean: float = 0.0
    sd: float = 1.0
    prevalence: float | None = None


TRAITS = (
    Trait("fluid", 42, 0.17, 0.4, "Fluid reasoning score", 100, 15),
    Trait("reading", 162, 0.13, 0.4, "Reading score", 50, 10),
    Trait("motor", 642, 0.10, 0.2, "Motor score", 30, 6),
    Trait("body_mass", 42, 0.16, 0.5, "Body mass index, kg/m2; differs between sites", 21, 3),
    # Shared by siblings although unrelated to the brain: folds that split families score above chance on it.
    Trait("lottery", 162, 0.0, 0.8, "Winnings in a lottery: a null target", 10, 4),
    Trait("attention", 642, 0.08, 0.3, "Attention problems diagnosed", prevalence=0.15),
    Trait("smoker", 42, 0.14, 0.3, "Smokes", prevalence=0.3),
    Trait("left_handed", 162, 0.0, 0.8, "Left-handed: a null target", prevalence=0.2),
)
_SEX_EFFECT = 0.11  # at scale 162
_AGE_EFFECT = 0.15  # at scale 42, besides thinning everywhere
_MISSING = 0.04  # of each phenotype

DAMAGE = {
    "truncated": "the left thickness GIFTI is cut off half-way",
    "missing hemisphere": "there is no rh.sulc.mgh",
    "empty": "the right thickness GIFTI is empty",
    "not finite": "a quarter of the left hemisphere's thickness is NaN or infinite",
    "outlier": "thickness is noise of 20 mm",
    "no images": "in the table, but without images",
    "few not finite": "1 % of the left hemisphere's thickness is NaN (a subject worth keeping)",
    "outlier fluid": "fluid is 9999 (a missing value code left in)",
    "outlier body_mass": "body_mass is 9999 (a missing value code left in)",
    "no phenotypes": "images, but not in the table",
}


def simulate(folder: Path | str, *, n_subjects: int = 300, seed: int = 2021) -> bool:
    """Write the cohort, unless this very cohort is there already.

    Parameters
    ----------
    folder : path
        For example `input/simulated`. It appears all at once, when it is complete; a cohort of other parameters
        is replaced.
    n_subjects : int
        Rows of participants.tsv, at least 20; one more subject has images only. 0.17 MB a subject.
    seed : int
        The same seed and number of subjects give the same bytes.

    Returns
    -------
    bool
        Whether it was written by this call.

    Raises
    ------
    InputError
        Too few subjects, or the folder holds something that this function did not write.
    """
    if n_subjects < 20:
        raise InputError(f"a simulated cohort needs at least 20 subjects for its damaged ones, got {n_subjects}")
    folder = Path(folder)
    marker, digest = folder / MARKER, _digest(n_subjects, seed)
    if marker.is_file() and marker.read_text(encoding="utf-8") == digest:
        return False
    if folder.exists() and not marker.is_file():
        raise InputError(f"{folder}: exists and is no simulated cohort (it has no {MARKER}); move it away first")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write_cohort(partial, n_subjects, seed)
    (partial / MARKER).write_text(digest, encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return True


def _digest(n_subjects: int, seed: int) -> str:
    """Digest everything that the files depend on: this code, the numerical packages, the parameters."""
    packages = [f"{name} {version(name)}" for name in ("nibabel", "nilearn", "numpy", "pandas", "scipy")]
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return hashlib.sha256("\n".join([source, *packages, f"{n_subjects} {seed}"]).encode()).hexdigest() + "\n"


def _write_cohort(folder: Path, n_subjects: int, seed: int) -> None:
    ids = [f"sub-{i:04d}" for i in range(1, n_subjects + 2)]
    damaged = _damaged(ids)
    people, latent = _people(ids, seed)
    for name, hemi, values in _images(people, latent, seed):
        for subject, row in zip(ids, values, strict=True):
            if subject != damaged["no images"]:
                _write_map(folder / subject / "anat", subject, name, hemi, row)
    _damage_images(folder, damaged, seed)
    _write_tables(folder, people, damaged, seed)


def _damaged(ids: list[str]) -> dict[str, str]:
    """Spread the damage over the cohort; the subject without phenotypes is the last."""
    step = (len(ids) - 1) // len(DAMAGE)
    return {kind: ids[-1] if kind == "no phenotypes" else ids[(i + 1) * step] for i, kind in enumerate(DAMAGE)}


def _rng(seed: int, *purpose: str) -> np.random.Generator:
    """Give every purpose its own stream, so that no one depends on the order of the others."""
    return np.random.default_rng([seed, *hashlib.sha256(" ".join(purpose).encode()).digest()])


def _people(ids: list[str], seed: int) -> tuple[pd.DataFrame, dict[str, Floats]]:
    """Phenotypes, and what of them shows in the brain (standardised, by name)."""
    rng = _rng(seed, "people")
    n = len(ids)
    sizes = rng.choice([1, 2, 3, 4], p=[0.5, 0.3, 0.15, 0.05], size=n)
    family = np.repeat(np.arange(n), sizes)[:n]
    age = np.round(rng.uniform(9, 21, n), 2)
    female = rng.random(n) < 0.5
    site = rng.choice(len(_SITES), p=[0.4, 0.3, 0.2, 0.1], size=n)[family]
    people = pd.DataFrame(
        {
            "participant_id": ids,
            "family_id": [f"fam-{f + 1:04d}" for f in family],
            "site": np.array(_SITES)[site],
            "age": age,
            "sex": np.where(female, "F", "M"),
        }
    )
    latent = {"age": (age - 15) / 3.5, "sex": np.where(female, 1.0, -1.0)}
    for trait in TRAITS:
        own, shared = rng.standard_normal((2, n))
        z = np.sqrt(trait.family) * shared[family] + np.sqrt(1 - trait.family) * own
        if trait.name in ("fluid", "reading"):
            z = z + 0.3 * latent["age"]
        if trait.name == "body_mass":
            z = z + 0.4 * (site == 0)
        latent[trait.name] = (z - z.mean()) / z.std()
        people[trait.name] = _written(trait, latent[trait.name])
    return people, latent


def _written(trait: Trait, z: Floats) -> NDArray[Any]:
    if trait.prevalence is None:
        return np.round(trait.mean + trait.sd * z, 2)
    return np.where(z > np.quantile(z, 1 - trait.prevalence), "yes", "no")


def _images(people: pd.DataFrame, latent: dict[str, Floats], seed: int) -> Iterator[tuple[str, str, Floats]]:
    """Map name, hemisphere and values of shape (n_subjects, n_vertices)."""
    family = pd.factorize(people["family_id"])[0]
    site = pd.Categorical(people["site"], categories=list(_SITES)).codes
    effects = [("age", 42, _AGE_EFFECT), ("sex", 162, _SEX_EFFECT), *((t.name, t.scale, t.effect) for t in TRAITS)]
    for hemi in HEMISPHERES:
        smooth, bases = _bases(hemi)
        for name in MAPS:
            rng = _rng(seed, "images", name, hemi)
            template, wall = _template(name, hemi)
            n, n_vertices = len(people), len(template)
            noise = smooth @ rng.standard_normal((n_vertices, n))
            values = template[:, None] + _SPREAD[name][-1] * noise / noise.std()
            for (scale, basis), spread in zip(bases.items(), _SPREAD[name], strict=False):
                own, shared = rng.standard_normal((2, scale, n))
                weights = np.sqrt(_FAMILY_SHARE) * shared[:, family] + np.sqrt(1 - _FAMILY_SHARE) * own
                for trait, at, effect in effects:
                    pattern = _rng(seed, "effect", trait, name, hemi).standard_normal(scale)
                    weights += (at == scale) * effect * np.outer(pattern, latent[trait])
                if scale == min(_SCALES):
                    # Scanners differ everywhere, and somewhat more in some places.
                    offsets = _rng(seed, "site", name).normal(0, 0.4, len(_SITES))
                    weights += offsets[site] + 0.3 * rng.standard_normal((scale, len(_SITES)))[:, site]
                values += spread * (basis @ weights)
            if name == "thickness":
                values -= 0.05 * latent["age"]  # mm per SD (3.5 years)
                values = np.maximum(values, 0.5)
            values[wall] = 0
            # Rounded far above the last bits, in which machines differ: the files do not.
            yield name, hemi, np.round(values, 4).T


@functools.cache
def _bases(hemi: str) -> tuple[scipy.sparse.csr_array, dict[int, scipy.sparse.csr_array]]:
    """One smoothing step, and bumps around the centres of every scale: (n_vertices, n_centres), unit spread."""
    near = edges(fsaverage_mesh("fsaverage5", "white", hemi=hemi)) > 0
    step = scipy.sparse.csr_array(near.astype(np.float64) + scipy.sparse.eye_array(near.shape[0]))
    step = scipy.sparse.csr_array(scipy.sparse.diags_array(1 / step.sum(axis=1)) @ step)
    bases = {}
    for scale, n_steps in _SCALES.items():
        bumps = scipy.sparse.csr_array(scipy.sparse.eye_array(step.shape[0]).tocsc()[:, :scale])
        for _ in range(n_steps):
            bumps = step @ bumps
        bumps.data[bumps.data < 1e-3 * bumps.data.max()] = 0
        bumps.eliminate_zeros()
        length = np.sqrt(bumps.multiply(bumps).sum(axis=1))
        bases[scale] = scipy.sparse.csr_array(scipy.sparse.diags_array(1 / np.maximum(length, 1e-12)) @ bumps)
    return step, bases


@functools.cache
def _template(name: str, hemi: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Real mean map and, for thickness, the medial wall."""
    from nilearn.datasets import fetch_surf_fsaverage

    files = fetch_surf_fsaverage("fsaverage5")
    values = np.asarray(nib.load(files[f"{MAPS[name]}_{HEMISPHERES[hemi]}"]).agg_data(), np.float64)
    return values, (values < _WALL) if name == "thickness" else np.zeros(len(values), bool)


def _map_file(anat: Path, subject: str, name: str, hemi: str) -> Path:
    if name == "thickness":
        return anat / f"{subject}_hemi-{hemi}_thickness.shape.gii"
    return anat / f"{hemi.lower()}h.{name}.mgh"


def _write_map(anat: Path, subject: str, name: str, hemi: str, values: NDArray[np.floating[Any]]) -> None:
    anat.mkdir(parents=True, exist_ok=True)
    file, single = _map_file(anat, subject, name, hemi), np.ascontiguousarray(values, dtype=np.float32)
    if file.suffix == ".mgh":
        nib.MGHImage(single[:, None, None], np.eye(4)).to_filename(file)
        return
    array = nib.gifti.GiftiDataArray(
        single, intent="NIFTI_INTENT_SHAPE", datatype="NIFTI_TYPE_FLOAT32", encoding="GIFTI_ENCODING_B64GZ"
    )
    structure = f"Cortex{HEMISPHERES[hemi].capitalize()}"
    meta = nib.gifti.GiftiMetaData(AnatomicalStructurePrimary=structure)
    file.write_bytes(nib.gifti.GiftiImage(darrays=[array], meta=meta).to_bytes())


def _damage_images(folder: Path, damaged: dict[str, str], seed: int) -> None:
    def file(kind: str, name: str, hemi: str) -> Path:
        return _map_file(folder / damaged[kind] / "anat", damaged[kind], name, hemi)

    cut = file("truncated", "thickness", "L")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    file("missing hemisphere", "sulc", "R").unlink()
    file("empty", "thickness", "R").write_bytes(b"")
    for kind, every in (("not finite", 4), ("few not finite", 100)):
        values = np.array(nib.load(file(kind, "thickness", "L")).agg_data())
        values[::every] = np.nan
        if kind == "not finite":
            values[:: 2 * every] = np.inf
        _write_map(folder / damaged[kind] / "anat", damaged[kind], "thickness", "L", values)
    for hemi in HEMISPHERES:
        noise = np.round(_rng(seed, "outlier", hemi).normal(0, 20, len(_template("thickness", hemi)[0])), 4)
        _write_map(folder / damaged["outlier"] / "anat", damaged["outlier"], "thickness", hemi, noise)


def _write_tables(folder: Path, people: pd.DataFrame, damaged: dict[str, str], seed: int) -> None:
    table = people[people["participant_id"] != damaged["no phenotypes"]].copy()
    names = [trait.name for trait in TRAITS]
    rng = _rng(seed, "missing")
    for name in names:
        table[name] = table[name].astype(object).mask(rng.random(len(table)) < _MISSING, None)
    for name in ("fluid", "body_mass"):
        table.loc[table["participant_id"] == damaged[f"outlier {name}"], name] = 9999.0
    table.to_csv(folder / "participants.tsv", sep="\t", na_rep="n/a", index=False, lineterminator="\n")
    told = {
        "participant_id": "Subject",
        "family_id": "Siblings have the same; families have 1 to 4 members",
        "site": "Scanner; sites differ in mean thickness and sulcal depth",
        "age": "Age in years",
        "sex": "F or M",
    } | {trait.name: trait.text for trait in TRAITS}
    columns = {name: {"Description": f"{text}. SIMULATED."} for name, text in told.items()}
    _write_json(folder / "participants.json", columns)
    about = {"Name": "SIMULATED cohort on fsaverage5", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    _write_json(folder / "dataset_description.json", about | {"GeneratedBy": [{"Name": "cortax.brain.data.simulate"}]})
    lines = [f"- {damaged[kind]}: {text}" for kind, text in DAMAGE.items()]
    (folder / "README").write_text(
        "SIMULATED cohort. The mean anatomy is fsaverage5's; no person is behind any of these files.\n\n"
        "Damaged on purpose:\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
