"""What the page of a large study costs: seconds to make, megabytes, and seconds until a browser can use it.

    python benchmarks/bench_report.py [--parcellations 220] [--targets 45] [--keep FOLDER]

The study is made by hand (`tests/made_study.py`): scores and configurations are drawn, but every file is written by the
library's own functions, and the page is made of them as for any study. It needs Chromium (`CORTAX_CHROMIUM`, or on the
path); without one, only what the page costs is measured.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import numpy as np
from made_study import MadeStudy

from cortax.brain.data.spaces import SPACES
from cortax.brain.parcellation.specs import atlas_from_spec
from cortax.brain.pictures.drawing import draw_parcellation, turnable
from cortax.report.blocks import PageSection
from cortax.report.figures import style
from cortax.report.page import render
from cortax.workloads.regions.report import sections as each_section
from cortax.workloads.regions.report.material import Material

PIPELINES = ("ridge", "elastic", "svm", "lgbm")
SORT = "document.querySelector('#all-scores thead th:nth-child(5) button')"


def pictures():
    """A picture of 400 regions, as large as that of any parcellation, and a brain that turns."""
    space = SPACES["fsaverage5"]
    spec = {"kind": "random-growth", "n_regions": 400, "seed": 1}
    drawn = draw_parcellation(atlas_from_spec(spec, name="random", space=space, root=Path()))
    return {"png": drawn, "turning": turnable(space, np.sin(np.arange(space.n_locations) / 1000), "made")}


def made(folder, n_parcellations, n_targets):
    """A study in a folder, with the reading of it still to be done."""
    sizes = np.geomspace(20, 1000, n_parcellations).astype(int)
    study = MadeStudy(
        folder,
        parcellations={f"parcellation-{k:03d}": int(size) for k, size in enumerate(sizes)},
        pipelines=PIPELINES,
        targets=tuple(f"target_{k:02d}" for k in range(n_targets)),
        n_subjects=500,
        n_outer=5,
        n_configs=20,
        **pictures(),
    )
    return study.build()


def timed(work):
    """What some work returns, and its seconds by the clock and of the processor."""
    clock, own = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - clock, time.process_time() - own


def sections(made):
    """Make the sections one by one, and say what each takes."""
    found, each = [], each_section(made)
    with style():
        while (done := timed(lambda: next(each, each)))[0] is not each:
            section, seconds, own = done
            if section is not None:
                found.append(section)
                size = len(render("t", simulated=True, sections=[section], study="s")) / 1e6
                print(f"  {section.name:<14} {seconds:6.1f} s ({own:5.1f} s of processor) {size:6.2f} MB", flush=True)
    return found


def opened(path):
    """Seconds until the page is ready, until a click has sorted its largest table, and until a word has filtered it."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CORTAX_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        session = page.context.new_cdp_session(page)
        # Seconds of the processor: those by the clock say more of what else the machine does.
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        _, ready, _ = timed(lambda: (page.goto(path.as_uri()), page.wait_for_selector("html[data-ready=yes]")))
        known = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        click = f"() => {{ const t = performance.now(); {SORT}.click(); return performance.now() - t; }}"
        sort = page.evaluate(click) / 1000
        typed = "() => { const box = document.querySelector('#all-scores input'); const t = performance.now(); "
        typed += (
            "box.value = 'parcellation-007'; box.dispatchEvent(new Event('input')); return performance.now() - t; }"
        )
        word = page.evaluate(typed) / 1000
        browser.close()
    return ready, known["ThreadTime"], sort, word


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parcellations", type=int, default=220)
    parser.add_argument("--targets", type=int, default=45)
    parser.add_argument("--keep", type=Path, help="keep the page in this folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="report") as folder:
        study, seconds, _ = timed(lambda: made(Path(folder) / "jobs", asked.parcellations, asked.targets))
        n_scores = len(Material(study).scores)
        print(f"{len(study.jobs)} jobs, {n_scores} scores ({seconds:.0f} s to make them up)", flush=True)
        _, check, _ = timed(study.check)
        found, seconds, own = timed(lambda: sections(study))
        page, rendering, _ = timed(lambda: render("Large", simulated=True, sections=found, study="large"))
        path = Path(asked.keep or folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        print(f"check of all jobs {check:.1f} s, page {seconds + rendering:.1f} s ({own:.1f} s of processor)")
        print(
            f"size {path.stat().st_size / 1e6:.1f} MB, {sum(isinstance(part, PageSection) for part in found)} sections"
        )
        if browsed := opened(path):
            ready, own, sort, word = browsed
            print(f"ready after {ready:.2f} s ({own:.2f} s of processor)")
            print(f"sorted {sort:.3f} s after a click, filtered {word:.3f} s after a word")


if __name__ == "__main__":
    main()
