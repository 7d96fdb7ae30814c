"""Where the numbers come from and what they cost: every job, its time and memory, when it was made, and its code."""

from __future__ import annotations

import datetime
import html

import pandas as pd

from cortax.report.blocks import Block, Figure, Section, Sheet, Text, job_link
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.report.material import MadeJob, Material

__all__ = ["section"]


def section(material: Material) -> Section:
    """Return the section."""
    table = _job_table(material)
    return Section("work", "Work and provenance", (_summary(material, table), *_by_method(table), _sheet(table)))


def _job_table(material: Material) -> pd.DataFrame:
    return pd.DataFrame([_row(job) for job in material.jobs.values()])


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


def _summary(material: Material, table: pd.DataFrame) -> Text:
    days = table["made (UTC)"].str.slice(0, 10).value_counts().sort_index()
    made = ", ".join(f"{n} on {day}" for day, n in days.items())
    versions = next(iter(material.jobs.values())).setup["versions"]
    python, accelerator = versions["python"].split()[0], versions["accelerator"]
    return Text(
        f"<p>{len(table)} jobs, {table['seconds'].sum():.0f} seconds of work in all; made: {html.escape(made)}. "
        "A job is made once, and reused until its code, its options or what it rests on changes; the date tells "
        f"which build made it. Python {html.escape(python)}, accelerator {html.escape(accelerator)}.</p>"
        "<p>Every id leads to the job on the board (<code>cortax up --board</code>): its options, its inputs, its "
        "files, and in <code>method.tar.gz</code> its source with a digest of every module and the version of every "
        f"package that it rests on, as in that of {job_link(material.jobs['split'].id, 'split')}.</p>"
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
