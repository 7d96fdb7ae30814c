"""A study of decoding: what a user asks for, read from a file with `kind = "decoding"`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cortax.study.patterns import Patterns
from cortax.study.section import Name, PageOptions, Section, Study, expand_paths

__all__ = [
    "Decoder",
    "DecodingPage",
    "DecodingSearch",
    "DecodingStatistics",
    "DecodingStudy",
    "EpochsOptions",
    "Features",
    "Interval",
]

Positive = Annotated[float, Field(gt=0)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


def _check_interval(name: str, interval: list[float] | None) -> None:
    if interval is not None and not interval[0] < interval[1]:
        raise ValueError(f"{name} = {interval}: the first time must be before the second")


class EpochsOptions(Section):
    """Where the trials of every subject and phase are, and what is taken of them; times are seconds."""

    files: str
    subjects: list[str] = Field(min_length=1)
    train: Name
    test: list[Name] = Field(min_length=1)
    label: str = "labels"
    classes: list[str] | None = Field(default=None, min_length=2)
    group: str | None = None
    channels: Patterns = Patterns(("*",))
    exclude: Patterns = Patterns(())
    baseline: Interval | None = None
    window: Interval | None = None
    rate: Positive | None = None
    file_rate: Positive | dict[str, Positive] | None = None
    file_start: float | dict[str, float] = 0.0

    @field_validator("files")
    @classmethod
    def _place(cls, files: str) -> str:
        return expand_paths(files)

    @model_validator(mode="after")
    def _consistent(self) -> EpochsOptions:
        for field in ("{subject}", "{phase}"):
            if field not in self.files:
                raise ValueError(f"files = {self.files!r}: must have {field}, which differs from file to file")
        for name, values in (("subjects", self.subjects), ("test", self.test), ("classes", self.classes or [])):
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"{name}: {twice} occur more than once")
        _check_interval("baseline", self.baseline)
        _check_interval("window", self.window)
        for name in ("file_rate", "file_start"):
            given = getattr(self, name)
            if isinstance(given, dict) and sorted(given) != sorted(self.subjects):
                raise ValueError(f"{name}: must have one number for each of {self.subjects}; got {sorted(given)}")
        return self

    def of_subject(self, key: Literal["file_rate", "file_start"], subject: str) -> float | None:
        """Return the sampling rate (Hz) or the time of the first sample (s) of files that do not say it."""
        given: float | dict[str, float] | None = getattr(self, key)
        return given[subject] if isinstance(given, dict) else given

    @property
    def phases(self) -> list[str]:
        """The phase that decoders are trained in, and those that they are tested in."""
        return list(dict.fromkeys([self.train, *self.test]))


class Features(Section):
    """What a decoder looks at in each bin of time."""

    kind: Literal["amplitude", "morlet", "band-power"] = "amplitude"
    n_bins: int = Field(ge=1)
    window: Interval | None = None
    points: int | None = Field(default=None, ge=1)
    frequencies: list[Positive] | None = Field(default=None, min_length=1)
    n_cycles: Positive = 5.0
    bands: dict[str, Interval] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _of_kind(self) -> Features:
        _check_interval("window", self.window)
        needs = {"amplitude": None, "morlet": "frequencies", "band-power": "bands"}
        for kind, key in needs.items():
            if key is not None and (getattr(self, key) is None) == (kind == self.kind):
                raise ValueError(
                    f"kind = {self.kind!r}: {key} {'is missing' if kind == self.kind else f'is of {kind}'}"
                )
        if self.kind == "band-power" and self.points is not None:
            raise ValueError("kind = 'band-power': points is of the other kinds; a band's power is of the whole bin")
        if self.kind != "morlet" and "n_cycles" in self.model_fields_set:
            raise ValueError(f"kind = {self.kind!r}: n_cycles is of morlet")
        for name, band in (self.bands or {}).items():
            if not 0 < band[0] < band[1]:
                raise ValueError(f"bands.{name} = {band}: must be two frequencies above 0, the lower one first")
        return self


_GRIDS = {"svm": "C", "logistic": "C", "lda": "shrinkage", "ridge": "alpha", "sklearn": "grid"}
_OF_CLASSES, _OF_NUMBERS = ("balanced_accuracy", "accuracy", "roc_auc"), ("pearson_r", "r2")


class Decoder(Section):
    """A family of decoders, of which inner folds choose one for each outer fold and bin."""

    kind: Literal["svm", "logistic", "lda", "ridge", "sklearn"]
    select: float | None = Field(default=None, gt=0, lt=1)
    C: list[Positive] | None = Field(default=None, min_length=1)
    shrinkage: list[Annotated[float, Field(gt=0, le=1)]] | None = Field(default=None, min_length=1)
    alpha: list[Positive] | None = Field(default=None, min_length=1)
    estimator: str | None = None
    grid: list[dict[str, Any]] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _of_kind(self) -> Decoder:
        own = _GRIDS[self.kind]
        for key in ("C", "shrinkage", "alpha", "grid"):
            if (given := getattr(self, key)) is not None and key != own:
                raise ValueError(f"kind = {self.kind!r}: {key} is of another kind; its configurations are in {own}")
            if given is not None and key != "grid" and given != sorted(set(given)):
                raise ValueError(f"{key} = {given}: must rise, so that a tie is won by the smallest")
        if (self.estimator is not None) != (self.kind == "sklearn"):
            raise ValueError(f"kind = {self.kind!r}: estimator = 'module:Class' is of kind = 'sklearn', which needs it")
        return self

    @property
    def configurations(self) -> list[Any]:
        """What inner folds choose from: penalties C or alpha, shrinkages, or parameters of an estimator."""
        defaults = {
            "svm": [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            "logistic": [1e-4, 1e-2, 1.0],
            "lda": [0.1, 0.5, 0.9],
            "ridge": [1.0, 10.0, 100.0, 1e3, 1e4, 1e5],
        }
        given = getattr(self, _GRIDS[self.kind])
        return list(given) if given is not None else defaults.get(self.kind, [{}])


class DecodingSearch(Section):
    """How decoders are cross-validated."""

    n_outer: int = Field(default=10, ge=2)
    n_inner: int = Field(default=3, ge=2)
    scoring: Literal["accuracy", "balanced_accuracy", "r2"] | None = None
    solver: Literal["fast", "scikit-learn"] = "fast"


class DecodingStatistics(Section):
    """What maps of scores are tested for, and how."""

    metric: Literal["balanced_accuracy", "accuracy", "roc_auc", "pearson_r", "r2"] | None = None
    smoothing: float = Field(default=0.0, ge=0)
    permutations: int = Field(default=500, ge=1)
    exchange: Literal["within-groups", "whole-groups"] = "within-groups"
    group: bool = True
    null: list[Literal["labels", "signs"]] = Field(default=["labels", "signs"], min_length=1)
    threshold: float = Field(default=0.05, gt=0, lt=0.5)
    draws: int = Field(default=10_000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class DecodingPage(PageOptions):
    """The page of HTML that a build writes, and where electrodes are if no file says it: a montage of MNE."""

    montage: str | None = None


class DecodingStudy(Study):
    """Signals over time, decoded bin by bin in one phase, and the same decoders tested in others."""

    kind: Literal["decoding"]
    epochs: EpochsOptions
    features: dict[Name, Features] = Field(min_length=1)
    decoders: dict[Name, Decoder] = Field(min_length=1)
    search: DecodingSearch = DecodingSearch()
    statistics: DecodingStatistics = DecodingStatistics()
    report: DecodingPage = DecodingPage()

    @property
    def continuous(self) -> bool:
        """Whether labels are numbers to predict, and no classes."""
        return all(decoder.kind == "ridge" for decoder in self.decoders.values())

    @property
    def scoring(self) -> str:
        """By what inner folds choose."""
        return self.search.scoring or ("r2" if self.continuous else "balanced_accuracy")

    @property
    def metric(self) -> str:
        """What maps show."""
        return self.statistics.metric or ("pearson_r" if self.continuous else "balanced_accuracy")

    @model_validator(mode="after")
    def _of_one_kind_of_labels(self) -> DecodingStudy:
        ridge = [name for name, decoder in self.decoders.items() if decoder.kind == "ridge"]
        if others := sorted(set(self.decoders) - set(ridge)) if ridge else []:
            raise ValueError(
                f"decoders {ridge} of kind 'ridge' predict continuous labels, and {others} tell classes; epochs.label "
                "is one or the other: make two studies"
            )
        metrics = _OF_NUMBERS if self.continuous else _OF_CLASSES
        for key, value in (("statistics.metric", self.metric), ("search.scoring", self.scoring)):
            if value not in metrics:
                of = "continuous labels" if self.continuous else "classes"
                raise ValueError(f"{key} = {value!r}: these decoders are of {of}; use one of {list(metrics)}")
        if self.continuous and self.epochs.classes:
            raise ValueError(
                "epochs.classes: decoders of kind 'ridge' predict continuous labels, which have no classes"
            )
        return self

    @model_validator(mode="after")
    def _can_be_a_group(self) -> DecodingStudy:
        n_subjects = len(self.epochs.subjects)
        if self.statistics.group and n_subjects < 2:
            raise ValueError(
                f"statistics.group = true: tests over subjects need at least 2; epochs.subjects has {n_subjects}. "
                "Say group = false: each subject is then tested alone"
            )
        return self
