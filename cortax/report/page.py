"""What a page rests on, the jobs of one study, and how it is put together: in one file that needs no network."""

from __future__ import annotations

import datetime
import functools
import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.provenance import outputs
from cortax.report.blocks import Block, Figure, PageSection, Sheet, Text, job_link
from cortax.report.figures import COLOURS, as_svg, new_figure, style

__all__ = ["MadeJob", "StudyJobs", "render", "work_section", "write_page"]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class MadeJob:
    """A finished job: what the build calls it, its id, its folder, what it is of and the names of the jobs it needs.

    It may be one of an earlier build that gave the same results. What it took itself is in its `setup`; what it stands
    for in this study is here.
    """

    name: str
    id: str
    folder: Path
    key: Mapping[str, str] = field(default_factory=dict, compare=False)
    jobs: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @functools.cached_property
    def setup(self) -> dict[str, Any]:
        """What Exax noted when it began: method, options, inputs."""
        return dict(json.loads((self.folder / "setup.json").read_text()))

    @functools.cached_property
    def post(self) -> dict[str, Any]:
        """What Exax noted when it ended: times and files."""
        return dict(json.loads((self.folder / "post.json").read_text()))

    @functools.cached_property
    def pool(self) -> dict[str, Any]:
        """What its workers did: seconds, peak memory, attempts; empty of a job without workers."""
        path = self.folder / "pool.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def beside(self, name: str) -> MadeJob:
        """Return a job that it took, by its id."""
        return MadeJob(name, name, self.folder.parent / name)

    @property
    def method(self) -> str:
        """The Exax method."""
        return str(self.setup["method"])


@dataclass(frozen=True)
class StudyJobs:
    """The finished jobs of a study, in the order of the plan."""

    study: str
    title: str
    simulated: bool
    jobs: Sequence[MadeJob]

    def of(self, method: str) -> list[MadeJob]:
        """Return the jobs of a method."""
        return [job for job in self.jobs if job.method == method]

    def one(self, method: str) -> MadeJob:
        """Return the only job of a method."""
        (job,) = self.of(method)
        return job

    def table(self, method: str, file: str) -> pd.DataFrame:
        """Return the tables of all jobs of a method, each after its job's key, with the job's id; empty of none."""
        parts = []
        for job in self.of(method):
            part = pd.read_parquet(job.folder / file)
            for place, (axis, value) in enumerate(job.key.items()):
                part.insert(place, axis, value)
            parts.append(part.assign(job=job.id))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def check(self) -> None:
        """Check that every job's files are as they were recorded.

        Raises ProjectError: a file is missing or altered.
        """
        for job in self.jobs:
            outputs.check(job.folder)


def work_section(material: StudyJobs) -> PageSection:
    """Return the section."""
    table = _job_table(material)
    return PageSection("work", "Work and provenance", (_summary(material, table), *_by_method(table), _sheet(table)))


def _job_table(material: StudyJobs) -> pd.DataFrame:
    return pd.DataFrame([_row(job) for job in material.jobs])


def _row(job: MadeJob) -> dict[str, object]:
    started = datetime.datetime.fromtimestamp(job.setup["starttime"], datetime.timezone.utc)
    return {
        "job": job.name,
        "id": job.id,
        "method": job.method,
        "made (UTC)": f"{started:%Y-%m-%d %H:%M:%S}",
        "seconds": float(job.post["exectime"]["total"]),
        "memory of a worker, MB": job.pool.get("peak", float("nan")) / 1e6,
        "workers": str(job.pool.get("n_workers", "\u2013")),
        "back-end": str(job.pool.get("backend", "\u2013")),
    }


def _summary(material: StudyJobs, table: pd.DataFrame) -> Text:
    days = table["made (UTC)"].str.slice(0, 10).value_counts().sort_index()
    made = ", ".join(f"{n} on {day}" for day, n in days.items())
    first = material.jobs[0]
    versions = first.setup["versions"]
    python, accelerator = versions["python"].split()[0], versions["accelerator"]
    return Text(
        f"<p>{len(table)} jobs, {table['seconds'].sum():.0f} seconds of work in all; made: {html.escape(made)}. "
        "A job is made once, and reused until its code, its options or what it rests on changes; the date tells "
        f"which build made it. Python {html.escape(python)}, accelerator {html.escape(accelerator)}.</p>"
        "<p>Every id leads to the job on the board (<code>cortax up --board</code>): its options, its inputs, its "
        "files, and in <code>method.tar.gz</code> its source with a digest of every module and the version of every "
        f"package that it rests on, as in that of {job_link(first.id, first.name)}.</p>"
    )


def _by_method(table: pd.DataFrame) -> list[Block]:
    total = table.groupby("method", sort=False)["seconds"].sum().iloc[::-1]
    figure = new_figure(6.5, 0.7 + 0.24 * len(total))
    axes = figure.subplots()
    axes.barh(total.index, total.to_numpy(), color=COLOURS[0])
    for place, seconds in enumerate(total):
        axes.text(seconds, place, f" {seconds:.1f}", va="center", fontsize=8)
    axes.set_xlabel("seconds of all jobs of a method")
    words = ", ".join(f"{method} {seconds:.1f}" for method, seconds in total.iloc[::-1].items())
    return [Figure(as_svg(figure, f"Seconds by method: {words}."), "Where the time went when these jobs were made.")]


def _sheet(table: pd.DataFrame) -> Sheet:
    return Sheet("jobs", "Every job", table, filters=("method",), jobs={"job": "id"})


def write_page(
    job: Any, options: Any, made: Sequence[Any], sections: Callable[[StudyJobs], Iterable[PageSection | None]]
) -> None:
    """Write the page of a study as the result of a job: all that the method of a workload's page does.

    `job` and `options`: what Exax hands to the method; the options are those of `report_job`. `made`: the job inputs of
    `report_job`. `sections`: makes the sections, each None where it has nothing to show.
    """
    jobs = [
        MadeJob(what["name"], str(source), Path(source.path), what["key"], what["jobs"])
        for what, source in zip(options.identities, made, strict=True)
    ]
    material = StudyJobs(options.study, options.title, options.simulated, jobs)
    material.check()
    with style():
        shown = [section for section in sections(material) if section is not None]
    page = render(options.title, simulated=options.simulated, sections=shown, study=options.study)
    Path(job.filename("report.html")).write_text(page, encoding="utf-8")
    outputs.record(job.path, ["report.html"], method=job.method, name=job.params.caption)


def render(title: str, *, simulated: bool, sections: Sequence[PageSection], study: str) -> str:
    """Return the page.

    `title` and `study`: of the study; plain text. `simulated`: whether the data are; the title says so.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = f"SIMULATED DATA: {title}" if simulated and "SIMULATED" not in title else title
    return environment.get_template("page.html").render(
        title=shown,
        study=study,
        simulated=simulated,
        sections=sections,
        css=(TEMPLATES / "page.css").read_text(),
        script=(TEMPLATES / "page.js").read_text(),
    )
