"""Text of a user is text: in a terminal, in figures, on pages, in LaTeX and in spreadsheets."""

from __future__ import annotations

import contextlib
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_study import MadeStudy, page_sections

from cortax import terminal
from cortax.learning.regions import save_regions
from cortax.report.figures import as_svg, new_figure, style
from cortax.report.page import render
from cortax.study.reading import read_toml
from cortax.workflow.lookup.writing import write_table

NAMES = [
    "age [years]",
    "cigarettes [/day]",
    "[bold]x[/bold]",
    "a:brain:b",
    r"end\[",
    "[link=file:x]y",
    "<b>&amp;</b>",
    "$x^2$",
    "a_b%c&d",
]


@given(
    st.sampled_from(NAMES)
    | st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1, max_size=40)
)
def test_a_terminal_shows_every_letter(name):
    with terminal.plain_console(200).capture() as shown:
        pass
    console = terminal.plain_console(200)
    with console.capture() as shown:
        console.print(name)
    assert shown.get() == f"{name}\n"


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_headings_show_every_letter(capsys, name):
    terminal.console.cache_clear()
    terminal.print_table(pd.DataFrame({name: [name]}))
    terminal.print_heading(name, f"of {name}")
    terminal.console.cache_clear()
    shown = capsys.readouterr().out
    assert shown.count(name) == 4


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.floats(), st.none()), min_size=1, max_size=4))
def test_a_long_table_looks_as_a_short_one(rows):
    """Rich would take a minute for a long one; what it says of a short one is how both must look."""
    frame = pd.DataFrame(rows, columns=["[bold]name[/]", "値", "none"])
    said = []
    for limit in (0, 100):
        with pytest.MonkeyPatch.context() as patch, io.StringIO() as file, contextlib.redirect_stdout(file):
            patch.setattr(terminal, "_LONG", limit)
            patch.setattr(terminal, "console", lambda: terminal.plain_console(1000))
            terminal.print_table(frame)
            said.append(file.getvalue())
    assert said[0] == said[1]


@pytest.mark.parametrize("name", NAMES)
def test_figures_show_every_letter(name):
    with style():
        figure = new_figure(3, 2)
        figure.subplots().set_title(name)
        drawn = as_svg(figure, name)
    assert f">{name.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}<" in drawn


def test_a_page_has_no_markup_of_a_user(tmp_path, monkeypatch):
    hostile = "<img src=x onerror=alert(1)>&lt;$x$"
    monkeypatch.setattr(
        "made_study.save_regions",
        lambda folder, values, subjects, columns: save_regions(folder, values, [hostile], columns),
    )
    made = MadeStudy(tmp_path, title=hostile)
    page = render(hostile, simulated=False, sections=page_sections(made.build()), study="made")
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;lt;$x$" in page


def test_cells_are_no_formulas_and_no_latex(tmp_path):
    table = pd.DataFrame({"=name": ["=1+1", "@x", "+y", "-z", "plain", "a_b & $c$"], "x": [-1.5, 2, 3, 4, 5, 6]})
    write_table(table, tmp_path / "t.csv")
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert rows[:6] == ["'=name,x", "'=1+1,-1.5", "'@x,2.0", "'+y,3.0", "'-z,4.0", "plain,5.0"]
    write_table(table, tmp_path / "t.tex")
    assert r"a\_b \& \$c\$" in (tmp_path / "t.tex").read_text()


def test_a_study_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "s.toml").write_bytes(b'\xef\xbb\xbfname = "s"\r\n')
    assert read_toml(tmp_path / "s.toml") == {"name": "s"}
