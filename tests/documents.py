"""The code blocks of documents, and what was printed against what they show."""

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"

_BLOCK = re.compile(r'^```(\w+)?(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
ADDED = ", added"
CONTINUED = "continued"
# What no reader types: shown of a file that exists elsewhere.
EXAMPLE = "example"


@dataclass(frozen=True)
class Block:
    """One code block: where it is, its language, title and text."""

    page: str
    language: str
    title: str
    text: str


def pages():
    """Paths of all pages, in the order of the navigation."""
    text = (DOCS.parent / "mkdocs.yml").read_text()
    return [DOCS / name for name in re.findall(r"^ +- ([\w/-]+\.md)$", text, re.M)]


def blocks(path):
    """All code blocks of a page, in order."""
    found = _BLOCK.findall(path.read_text())
    return [Block(path.relative_to(DOCS).as_posix(), language, title, text) for language, title, text in found]


def script(block):
    """The text of a block of Python, after that of the blocks of its page that it continues."""
    before = []
    for each in blocks(DOCS / block.page):
        if each.language == "python":
            before = [*before, each.text] if each.title == CONTINUED else [each.text]
        if each == block:
            return "".join(before)
    raise ValueError(f"no such block: {block}")


def transcripts(text):
    """Pairs of a command and the lines that are shown of its output."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def shape(line):
    """A line without what may differ from run to run: numbers, widths, estimates."""
    line = re.sub(r"\x1b\[[0-9;]*[mK]", "", line)
    line = re.sub(r" ?\(about [^)]*left\)", "", line)
    line = re.sub(r"-?\d+(\.\d+)*", "N", line)
    line = re.sub(r"\bN (seconds?|minutes?)", "N seconds", line)
    line = re.sub(r"\s+", " ", line).strip()
    # Exax calls a job that took a while MAKE, and tells its time elsewhere.
    return re.sub(r"(MAKE mainN|DONE mainN N seconds)$", "DONE mainN", line)


def assert_shape(shown, printed, command):
    """Every line that is shown was printed, in order; `...` stands for any lines between."""
    printed = [shape(line) for line in printed]
    at, gap = 0, False
    for line in shown:
        if line == "...":
            gap = True
            continue
        wanted = shape(line)
        where = next((i for i in range(at, len(printed)) if printed[i] == wanted), None)
        assert where is not None, f"$ {command}\nnever printed: {wanted}\n" + "\n".join(printed)
        assert gap or where == at, f"$ {command}\nbefore {wanted!r}: {printed[at:where]}"
        at, gap = where + 1, False
