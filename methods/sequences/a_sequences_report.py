"""One page of HTML: how well networks predict, what a second target is worth, and which job made it."""

from cortax.provenance.closure import manifest

description = "One page of HTML: how well networks predict, what a second target is worth, and which job made it"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "title": "",
    "simulated": False,
    "templates": {},  # digest of each file that the page is made from, beside the code
    "identities": [],  # what the build calls each job and what it is of, in the same order
}
jobs = (["made"],)


def synthesis(job):
    from cortax.report.page import write_page
    from cortax.workloads.sequences.report import sections

    write_page(job, options, jobs.made, sections)
