"""One page of HTML: what a study found, how sure it is, and which job made it."""

from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.report.material import MadeJob, Material
from cortax.report.page import make_sections, render

description = "One page of HTML: what a study found, how sure it is, and which job made it"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "title": "",
    "simulated": False,
    "templates": {},  # digest of each file that the page is made from, beside the code
    "names": [],  # what the build calls each job, in the same order
}
jobs = (["made"],)


def synthesis(job):
    made = [
        MadeJob(name, str(source), Path(source.path)) for name, source in zip(options.names, jobs.made, strict=True)
    ]
    material = Material(options.study, options.title, options.simulated, made)
    material.check()
    page = render(options.title, simulated=options.simulated, sections=make_sections(material), study=options.study)
    Path(job.filename("report.html")).write_text(page, encoding="utf-8")
    outputs.record(job.path, ["report.html"], method=job.method, name=job.params.caption)
