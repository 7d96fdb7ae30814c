"""The page of a toy."""

from cortax.provenance.closure import manifest

description = "The page of a toy"
depend_extra = manifest(__name__)
options = {"study": "", "title": "", "simulated": False, "templates": {}, "identities": []}
jobs = (["made"],)


def synthesis(job):
    from toy.report import sections

    from cortax.report.page import write_page

    write_page(job, options, jobs.made, sections)
