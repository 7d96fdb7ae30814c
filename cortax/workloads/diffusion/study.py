"""A study of diffusion: what a user asks for, read from a file with `kind = "diffusion"`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cortax.study.patterns import ALL, Patterns
from cortax.study.section import Name, PageOptions, Section, Study, expand_paths
from cortax.workloads.diffusion.models.maps import MAPS
from cortax.workloads.diffusion.names import bids_label

__all__ = ["DiffusionGrid", "DiffusionMaps", "DiffusionModel", "DiffusionStudy", "Volumes"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_FILES = ("dwi", "bval", "bvec", "mask")
# Which keys each kind of model has, beside kind and solver.
_KEYS = {
    "dti": ("method",),
    "fwdti": ("method",),
    "csd": ("sh_order", "tau", "shell", "response", "fa_threshold"),
    "dipy": ("name", "arguments", "outputs"),
}
_METHODS = {"dti": ("wls", "ols"), "fwdti": ("nls", "wls")}


class Volumes(Section):
    """Where the diffusion-weighted volumes are."""

    root: str
    dwi: str = "{participant_id}/dwi/{participant_id}_dwi.nii.gz"
    bval: str = "{participant_id}/dwi/{participant_id}_dwi.bval"
    bvec: str = "{participant_id}/dwi/{participant_id}_dwi.bvec"
    mask: str | None = None
    subjects: Patterns = ALL
    b0_threshold: float = Field(default=50.0, ge=0)

    @field_validator("root")
    @classmethod
    def _place(cls, root: str) -> str:
        return expand_paths(root)

    @field_validator("subjects")
    @classmethod
    def _some(cls, subjects: Patterns) -> Patterns:
        if not len(subjects):
            raise ValueError("must have at least one pattern")
        return subjects

    @model_validator(mode="after")
    def _of_each(self) -> Volumes:
        for key, pattern in self.patterns.items():
            if "{participant_id}" not in pattern:
                raise ValueError(f"{key} = {pattern!r}: must have {{participant_id}}: each person has a file")
            for field in ("{hemi}", "{hemi_fs}", "#"):
                if field in pattern:
                    raise ValueError(f"{key} = {pattern!r}: {field} is of maps of the cortex")
        for field in ("{session}", "{run}"):
            if field not in self.dwi and any(field in pattern for pattern in self.patterns.values()):
                raise ValueError(f"dwi = {self.dwi!r}: must have {field}, as other files do")
        return self

    @property
    def patterns(self) -> dict[str, str]:
        """The pattern of each file of a volume."""
        return {key: pattern for key in _FILES if (pattern := getattr(self, key)) is not None}


class DiffusionModel(Section):
    """A model that is fitted in every voxel."""

    kind: Literal["dti", "fwdti", "csd", "dipy"]
    subjects: Patterns = ALL
    solver: Literal["cortax", "dipy"] = "cortax"
    method: Literal["wls", "ols", "nls"] | None = None
    sh_order: int = Field(default=8, ge=2, le=16)
    tau: Positive = 0.1
    shell: Positive | None = None
    response: Literal["auto"] | Annotated[list[Positive], Field(min_length=3, max_length=3)] = "auto"
    fa_threshold: float = Field(default=0.7, gt=0, lt=1)
    name: str | None = None
    arguments: dict[str, Any] = {}
    outputs: list[str] = []

    @model_validator(mode="after")
    def _of_kind(self) -> DiffusionModel:
        own = _KEYS[self.kind]
        for key in sorted(self.model_fields_set - {"kind", "solver", "subjects", *own}):
            kinds = [kind for kind, keys in _KEYS.items() if key in keys]
            raise ValueError(f"kind = {self.kind!r}: {key} is of kind {' or '.join(map(repr, kinds))}")
        if self.method is not None and self.method not in _METHODS[self.kind]:
            raise ValueError(f"method = {self.method!r}: must be one of {list(_METHODS[self.kind])} of {self.kind}")
        if self.sh_order % 2:
            raise ValueError(f"sh_order = {self.sh_order}: must be even")
        if self.response != "auto":
            along, across, _ = self.response
            if along <= across:
                raise ValueError(
                    f"response = {self.response}: must be diffusivity along a fibre and the smaller one across it "
                    "(mm2/s), and the signal S0"
                )
        if self.kind == "dipy" and self.name is None:
            raise ValueError("kind = 'dipy': name is missing, such as 'dki.DiffusionKurtosisModel' of dipy.reconst")
        if self.kind == "dipy" and "solver" in self.model_fields_set:
            raise ValueError("kind = 'dipy': solver is of other kinds; a class of DIPY is fitted by DIPY")
        return self

    @property
    def needs_dipy(self) -> bool:
        """Whether DIPY must be installed: csd has its spherical harmonics, and the others are fitted by it."""
        return self.kind in ("csd", "dipy") or self.solver == "dipy"

    @property
    def options(self) -> dict[str, Any]:
        """What the model is made with, see `make_model`."""
        values: dict[str, Any] = {key: getattr(self, key) for key in _KEYS[self.kind] if key != "response"}
        if self.kind in _METHODS:
            values["method"] = self.method or _METHODS[self.kind][0]
        values.pop("fa_threshold", None)
        return values


class DiffusionMaps(Section):
    """Which maps are made of the fits."""

    names: Patterns = ALL

    @field_validator("names")
    @classmethod
    def _known(cls, names: Patterns) -> Patterns:
        names.check("names", sorted(MAPS))
        return names


class DiffusionGrid(Section):
    """How fits are cut into units; no number depends on it."""

    voxels_per_unit: int = Field(default=1024, ge=1)


class DiffusionStudy(Study):
    """Models fitted in every voxel of diffusion-weighted volumes, and maps of what they found."""

    kind: Literal["diffusion"]
    volumes: Volumes
    models: dict[Name, DiffusionModel] = Field(min_length=1)
    maps: DiffusionMaps = DiffusionMaps()
    grid: DiffusionGrid = DiffusionGrid()
    report: PageOptions = PageOptions()

    @field_validator("models")
    @classmethod
    def _named(cls, models: dict[str, DiffusionModel]) -> dict[str, DiffusionModel]:
        labels: dict[str, str] = {}
        for name in models:
            if (other := labels.setdefault(bids_label(name), name)) != name:
                raise ValueError(f"{other!r} and {name!r}: names must differ in letters or digits: files are named so")
        return models
