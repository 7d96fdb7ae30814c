"""Workloads are found by the kind of a study, cortax's own and those of other packages; what is wrong is named."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cortax.errors import ProjectError, StudyError
from cortax.workflow.workload import Workload, kinds, read_study, resolve, workload_of

CORTAX = Path(__file__).parents[1]
OWN = ("regions", "network", "decoding", "diffusion", "sequences", "bench")

# A workload of another package: one job a word, and a command of its own.
TOY = '''
import typer
from cortax.study.section import Study
from cortax.workflow.plan.jobspec import JobSpec
from cortax.workflow.workload import Workload

class ToyStudy(Study):
    words: list[str]

def jobs(study, planning):
    return [JobSpec(f"spell/{word}", "spell", {"word": word}, key={"word": word}) for word in study.words]

def check(study, root):
    pass

commands = typer.Typer()

@commands.command()
def spell(word: str) -> None:
    """Spell a word."""
    print("-".join(word))

@commands.command()
def count(word: str) -> None:
    print(len(word))

workload = Workload(
    kind="toy", axes=("word",), study="toy:ToyStudy", plan="toy:jobs", check="toy:check", essential="spell",
    finding="words", narrowed=("spell",), commands="toy:commands",
)
'''


class Packages:
    """Packages as an installer leaves them, and a project beside them."""

    def __init__(self, folder):
        self.folder, self.root = folder / "site", folder / "project"
        (self.root / "studies").mkdir(parents=True)
        (self.root / "accelerator.conf").write_text("method packages:\n\tspelling auto-discover\n")
        (self.root / "spelling").mkdir()
        (self.root / "spelling/__init__.py").write_text("")
        (self.root / "workdirs/main").mkdir(parents=True)
        (self.root / "spelling/a_spell.py").write_text("def synthesis():\n    pass\n")

    def add(self, name, entry, text=TOY):
        about = self.folder / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[cortax.workloads]\n{entry}\n")
        (self.folder / f"{name}.py").write_text(text)

    def run(self, code, *arguments):
        """Run Python with these packages; return its status, its output and its errors."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(self.folder), str(CORTAX)])}
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    def cortax(self, *arguments):
        return self.run("from cortax.cli import main; main()", *arguments)

    def workloads(self, *names):
        """What comes of each name: the type of the workload's kind, or the error."""
        code = """if True:
            import sys
            from cortax.errors import CortaxError
            from cortax.workflow.workload import workload_of
            for name in sys.argv[1:]:
                try:
                    print(name, "is", workload_of(name).kind)
                except CortaxError as error:
                    print(name, type(error).__name__, error)
        """
        status, out, errors = self.run(code, *names)
        assert status == 0, errors
        return out.splitlines()


@pytest.fixture
def packages(tmp_path):
    return Packages(tmp_path)


def test_every_reference_of_cortax_own_workloads_can_be_imported():
    for kind in OWN:
        workload = workload_of(kind)
        assert workload.kind == kind
        for part in ("study", "plan", "check", "sections", "summary", "commands"):
            if getattr(workload, part, ""):
                assert workload.load(part) is not None
        for table in workload.tables.values():
            for reference in (table.read, table.finish, table.summary):
                assert not reference or callable(resolve(reference))
            assert table.read or (table.method and table.file)
            assert not table.identity or table.value
        assert all(callable(resolve(reference)) for reference in workload.compiled)
        assert not workload.failures or workload.failures in workload.tables
        assert all(isinstance(value, str | tuple | dict) for value in vars(workload).values()), "nothing is imported"
    assert [kind for kind in kinds() if kind in OWN] == list(OWN)
    assert workload_of("regions") is workload_of("regions")


def test_a_workload_is_a_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        workload_of("regions").kind = "other"
    assert isinstance(dataclasses.replace(workload_of("regions"), kind="other"), Workload)


def test_an_unknown_kind_is_told_the_nearest_that_there_is():
    with pytest.raises(StudyError, match=r"kind: got 'netwrok', must be one of .*did you mean 'network'"):
        workload_of("netwrok")


def test_a_study_file_of_an_unknown_kind_is_named(tmp_path):
    (tmp_path / "mini.toml").write_text('kind = "regoins"\nname = "mini"\n')
    with pytest.raises(StudyError, match=r"mini\.toml: kind: got 'regoins', .*did you mean 'regions'"):
        read_study(tmp_path / "mini.toml")


def test_what_cannot_be_imported_is_named_with_where_it_is_said():
    with pytest.raises(ProjectError, match=r"here = 'cortax\.gone:x' cannot be imported \(ModuleNotFoundError"):
        resolve("cortax.gone:x", "here")
    with pytest.raises(ProjectError, match="AttributeError"):
        resolve("cortax.errors:gone")
    broken = dataclasses.replace(workload_of("regions"), plan="cortax.errors:gone")
    with pytest.raises(ProjectError, match=r"workload 'regions': plan = 'cortax\.errors:gone' cannot be imported"):
        broken.load("plan")


def test_a_workload_of_another_package_is_one_of_cortax(packages):
    packages.add("toy", "toy = toy:workload")
    (packages.root / "studies/abc.toml").write_text('kind = "toy"\nname = "abc"\ntitle = "ABC"\nwords = ["to", "be"]\n')
    status, out, errors = packages.cortax("plan", "abc")
    assert (status, errors) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["spell/to", "spell/be"]
    assert "2 jobs, 0 units" in out
    _, out, _ = packages.cortax("plan", "abc", "--restrict", "word=be")
    assert "1 jobs, 0 units" in out
    status, _, errors = packages.cortax("plan", "abc", "--restrict", "fold=1")
    assert (status, errors) == (
        1,
        "cortax: --restrict fold=1: got 'fold', must be one of ['word']; did you mean 'word'?\n",
    )
    assert packages.cortax("spell", "word") == (0, "w-o-r-d\n", "")


def test_what_is_wrong_with_a_package_is_named_and_the_others_work(packages):
    packages.add("toy", "toy = toy:workload")
    packages.add("broken", "broken = broken:workload", "import a_module_that_is_not_there\n")
    packages.add("thief", "bench = thief:workload")
    packages.add("liar", "liar = liar:workload")
    packages.add("nothing", "nothing = nothing:workload", "workload = 1\n")
    found = packages.workloads("toy", "broken", "bench", "liar", "nothing", "regions", "brokn")
    assert found[0] == "toy is toy"
    assert found[1] == (
        "broken ProjectError workload 'broken' = 'broken:workload' cannot be imported "
        "(ModuleNotFoundError: No module named 'a_module_that_is_not_there'); the other workloads work"
    )
    assert found[2] == (
        "bench ProjectError workload 'bench' is claimed by several packages: "
        "['cortax.workloads.bench:workload', 'thief:workload']; uninstall all but one"
    )
    assert found[3] == "liar ProjectError workload 'liar': 'liar:workload' calls itself 'toy'"
    assert found[4] == "nothing ProjectError workload 'nothing': 'nothing:workload' must be a Workload. Got int instead"
    assert found[5] == "regions is regions"
    assert found[6].startswith("brokn StudyError kind: got 'brokn', must be one of")
    assert found[6].endswith("did you mean 'broken'?")
    status, out, errors = packages.cortax("--help")
    assert status == 0
    assert {"plan", "scaling", "spell"} <= set(out.split()), "of cortax, of regions and of the toy"
    assert [line.split("'")[1] for line in errors.splitlines()] == ["bench", "broken", "liar", "nothing"]


def test_a_command_is_never_replaced_by_that_of_another_package(packages):
    packages.add("toy", "toy = toy:workload")
    text = TOY.replace("def count(", "def plan(").replace('"toy', '"rude')
    packages.add("rude", "rude = rude:workload", text)
    status, out, errors = packages.cortax("plan", "--help")
    assert (status, "what a build of a study would run" in " ".join(out.split())) == (0, True)
    assert errors == "cortax: workload 'rude' has commands that exist already: ['plan']\n"
    assert packages.cortax("spell", "word")[1] == "w-o-r-d\n"
