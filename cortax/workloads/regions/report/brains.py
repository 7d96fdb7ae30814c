"""Where in the brain: parcellations, and what models make of their regions."""

from __future__ import annotations

import html

import pandas as pd

from cortax.brain.pictures.gallery import Gallery, Picture, open_pictures
from cortax.learning.classes import is_by_class
from cortax.learning.importance.found import open_table, strongest
from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text, job_link
from cortax.report.figures import embed_png
from cortax.report.page import MadeJob
from cortax.workloads.regions.class_names import name_classes
from cortax.workloads.regions.plan.names import evaluation_name
from cortax.workloads.regions.report.material import Material

__all__ = ["section"]

# Each that turns is two to three megabytes of page.
MAX_TURNING = 1
# Bytes of pictures of regions; those of more parcellations stay in their jobs.
MAX_BYTES = 1_000_000
# So many regions of each target, kind and map are listed.
MAX_REGIONS = 10
MAX_ROWS = 10_000


def section(material: Material) -> PageSection | None:
    """Return the section."""
    jobs = {"/".join(job.key.values()): job for job in material.of("picture")}
    galleries = {name: open_pictures(job.folder) for name, job in jobs.items()}
    of_models = {name: gallery for name, gallery in galleries.items() if "pipeline" in jobs[name].key}
    blocks: list[Block] = []
    for name, gallery in of_models.items():
        if gallery.pictures:
            figures = tuple((picture.title, _figure(picture)) for picture in gallery.pictures)
            blocks.append(Choice(f"map-{_anchor(name)}", f"{name}: target and map", figures))
    turning = [gallery.turning for gallery in of_models.values() if gallery.turning][:MAX_TURNING]
    blocks += [_turning(title, page) for title, page in turning]
    blocks += _importance_table(material)
    blocks += _parcellations({name: gallery for name, gallery in galleries.items() if name not in of_models}, jobs)
    blocks += [Text(f"<p>{html.escape(note)}.</p>") for note in _notes(galleries)]
    if any(gallery.pictures for gallery in of_models.values()) and (numbers := _class_numbers(material)):
        blocks.append(Text(f"<p>Numbers of classes: {html.escape(numbers)}.</p>"))
    return PageSection("brains", "Where in the brain", tuple(blocks)) if blocks else None


def _parcellations(galleries: dict[str, Gallery], jobs: dict[str, MadeJob]) -> list[Block]:
    """Pictures of regions, as many as the page has room for, and links to the others."""
    shown: list[tuple[str, Figure]] = []
    left, used = [], 0
    for name, gallery in galleries.items():
        used += sum(len(picture.data) for picture in gallery.pictures)
        if used > MAX_BYTES:
            left.append(name)
        else:
            shown += [(picture.title, _figure(picture)) for picture in gallery.pictures]
    blocks: list[Block] = [Choice("parcellations", "parcellation", tuple(shown))] if shown else []
    if left:
        links = ", ".join(job_link(jobs[name].id, name) for name in left)
        blocks.append(Text(f"<p>Pictures of {len(left)} more parcellations are in their jobs: {links}.</p>"))
    return blocks


def _importance_table(material: Material) -> list[Block]:
    """The regions that matter most, of everything whose importance was worked out."""
    jobs = {_model(job): job for job in material.of("importance") if set(job.key) == {"parcellation", "pipeline"}}
    jobs |= {_model(job): job for job in material.of("importances")}
    parts: list[pd.DataFrame] = []
    for called, job in jobs.items():
        if sum(map(len, parts)) > MAX_ROWS:
            break
        table = name_classes(open_table(job.folder), material.class_names)
        parts.append(strongest(table, MAX_REGIONS).assign(model=called, job=job.id))
    if not parts:
        return []
    shown = pd.concat(parts, ignore_index=True)
    shown = shown[["model", *(name for name in shown if name != "model")]]
    by_class = ("class",) if "class" in shown else ()
    shown = shown.fillna(dict.fromkeys(by_class, ""))
    within = "target, kind, class and map" if by_class else "target, kind and map"
    caption = f"The {MAX_REGIONS} strongest regions of each model, {within}: mean over outer folds"
    filters = ("model", "target", "kind", *by_class)
    blocks: list[Block] = [Sheet("importance", caption, shown, filters=filters, jobs={"mean": "job"})]
    if left := len(jobs) - len(parts):
        blocks.append(Text(f"<p>{left} more models are not in this table; <code>cortax export</code> has them.</p>"))
    return blocks


def _class_numbers(material: Material) -> str:
    """Which class a number stands for: in pictures, which are drawn without the names."""
    targets = zip(material.targets.names, material.targets.tasks, strict=True)
    several = [name for name, task in targets if is_by_class(task, len(material.class_names[name]))]
    named = {name: ", ".join(f"{n} {each}" for n, each in enumerate(material.class_names[name])) for name in several}
    return "; ".join(f"{name}: {numbers}" for name, numbers in named.items())


def _model(job: MadeJob) -> str:
    return evaluation_name(job.key)


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _figure(picture: Picture) -> Figure:
    return Figure(embed_png(picture.data, picture.alt), html.escape(picture.caption))


def _turning(title: str, page: str) -> Figure:
    quoted = html.escape(page, quote=True)
    # A page of its own within the page: its scripts touch nothing outside, and it loads when it is opened.
    frame = (
        f"<details><summary>Show a brain that turns: {html.escape(title)}</summary>"
        f'<iframe title="Brain that turns: {html.escape(title)}" loading="lazy" sandbox="allow-scripts" '
        f'srcdoc="{quoted}"></iframe></details>'
    )
    caption = f"{html.escape(title)}: turn it with the mouse or a finger. The pictures above show the same values."
    return Figure(frame, caption)


def _notes(galleries: dict[str, Gallery]) -> list[str]:
    return [gallery.note for gallery in galleries.values() if gallery.note]
