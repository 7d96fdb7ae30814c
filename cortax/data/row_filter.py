"""Conditions on the rows of a table, such as `eventname == 'baseline' and age >= 18`.

The text is parsed by Python's own parser and never evaluated as Python: only the nodes that are listed here get
through, and what they mean is said here, on columns of pandas. `pandas.eval` and `DataFrame.query` would also run calls
and attributes of whatever is at hand.
"""

from __future__ import annotations

import ast
import difflib
import functools
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from cortax.errors import InputError, StudyError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

__all__ = ["Condition", "Selection", "parse_condition"]

# Longer ones are lists of identifiers, which belong into a file; and the parser is safe from deep ones.
LONGEST = 4000
_FEW = 20
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`([^`]*)`")
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_INSTEAD: dict[type[ast.AST], str] = {
    ast.BitAnd: "write `and` instead of `&`",
    ast.BitOr: "write `or` instead of `|`",
    ast.Invert: "write `not` instead of `~`",
    ast.Attribute: "a name with a point goes in backticks, `a.b`",
    ast.Call: "functions are not known here",
    ast.Subscript: "brackets behind a name are not known here",
    ast.BinOp: "columns are not computed with; a name with other signs than letters, digits and _ goes in backticks",
    ast.Name: "a column alone is no condition: compare it, such as `column == 1`",
    ast.Constant: "a value alone is no condition: compare a column with it",
}
_GRAMMAR = (
    "a condition compares columns with strings and numbers by == != < <= > >=, in, not in, is missing, is not missing, "
    "joined by and, or, not and ( )"
)


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows that a condition selects.

    Attributes
    ----------
    kept : bool array of shape (n_rows,)
    n_unknown : int
        Rows that are not selected because a value that decides is missing.
    """

    kept: npt.NDArray[np.bool_]
    n_unknown: int

    def describe(self) -> str:
        """Count, in words."""
        n_kept, n_rows = int(self.kept.sum()), len(self.kept)
        unknown = f", {self.n_unknown} of them because a value that decides is missing" if self.n_unknown else ""
        return f"where selects {n_kept} of {n_rows} rows; {n_rows - n_kept} are left out{unknown}"


@dataclass(frozen=True)
class Condition:
    """A condition that was parsed; see `parse_condition`.

    Attributes
    ----------
    text : str
        As it was given.
    columns : tuple of str
        The names in it, in order, each once.
    """

    text: str
    columns: tuple[str, ...]
    _tree: ast.expr
    _names: dict[int, str]

    def check(self, known: Sequence[str], where: str) -> None:
        """Make sure that a table has all columns.

        Raises
        ------
        InputError
            One is not among `known`; the message begins with `where` and names the nearest.
        """
        for start, name in self._names.items():
            if name in known:
                continue
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            there = f"the table has {sorted(known)}" if len(known) <= _FEW else f"the table has {len(known)} others"
            raise InputError(f"{where}: {_place(self.text, start)}: no such column: {name!r}; {there}{hint}")

    def select(self, frame: pd.DataFrame, where: str) -> Selection:
        """Say which rows of a table are selected.

        A comparison with a missing value is unknown, as in SQL: so is `not` of it, and `or` unless the other side is
        true. A row is selected where the whole is true. `is missing` is never unknown.

        Parameters
        ----------
        frame : DataFrame
            Columns of numbers, truth values or text; missing values are NaN, None or NA.
        where : str
            What the table is called in messages.

        Raises
        ------
        InputError
            No such column, or one of another type than what it is compared with.
        """
        self.check([str(name) for name in frame.columns], where)
        truth = _Evaluation(self, frame, where).truth(self._tree)
        return Selection(truth.fillna(False).to_numpy(dtype=bool), int(truth.isna().sum()))


def parse_condition(text: str) -> Condition:
    """Parse a condition on rows.

    Parameters
    ----------
    text : str
        Names of columns (in backticks where they are not only letters, digits and `_`, or are words such as `is`),
        strings in quotation marks, numbers, True and False; `== != < <= > >=`, `in` and `not in` with a list,
        `is missing`, `is not missing`; `and`, `or`, `not` and parentheses.

    Raises
    ------
    StudyError
        It is something else; the message says at which character.

    Examples
    --------
    >>> parse_condition("eventname == 'baseline' and `age (years)` >= 18").columns
    ('eventname', 'age (years)')
    """
    flat = re.sub(r"\s", " ", text)
    if not flat.strip():
        raise StudyError(f"the condition is empty: {_GRAMMAR}")
    if len(flat) > LONGEST:
        raise StudyError(f"the condition has {len(flat)} characters, {LONGEST} are allowed; use `include` for lists")
    quoted: dict[int, str] = {}

    def placeholder(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        quoted[found.start()] = found[1]
        return "_" * len(found[0])

    plain = _QUOTED.sub(placeholder, flat)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strings with odd backslashes
            tree = ast.parse(plain.lstrip(), mode="eval").body
        checked = _Check(text, plain, quoted)
        checked.condition(tree)
    except SyntaxError as error:
        start = len(plain) - len(plain.lstrip()) + max((error.offset or 1) - 1, 0)
        if re.search(r"(\b(and|or|not|in|is)|[=<>])\s*$", plain):
            start = len(plain)  # something is lacking there, wherever the parser noticed
        raise StudyError(f"{_place(text, start)}: {_reason(plain, start)}; {_GRAMMAR}") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise StudyError(f"the condition cannot be read ({type(error).__name__}): {text[:80]!r}; {_GRAMMAR}") from error
    return Condition(text, tuple(dict.fromkeys(checked.names.values())), tree, checked.names)


def _place(text: str, start: int) -> str:
    """Where in the text something is."""
    rest = re.sub(r"\s", " ", text)[start:]
    at = f"at {rest[:40]!r}" if rest.strip() else "at its end"
    return f"where = {text!r}, character {start + 1}, {at}"


def _reason(plain: str, start: int) -> str:
    around = plain[max(start - 1, 0) : start + 2]
    if re.search(r"(?<![=<>!])=(?!=)", around):
        return "write `==` to compare"
    if plain.count("`") % 2:
        return "a backtick is not closed"
    if (word := re.match(r"\w+", plain[start:])) and word[0] in ("AND", "OR", "NOT", "IN", "IS"):
        return f"write `{word[0].lower()}` in small letters"
    return "not understood; a name that is a word of Python or has other signs than letters goes in backticks"


class _Check:
    """Goes through a parsed condition and refuses whatever is not part of the grammar."""

    def __init__(self, text: str, plain: str, quoted: dict[int, str]) -> None:
        self._text, self._plain, self._quoted = text, plain, quoted
        self._shift = len(plain) - len(plain.lstrip())
        self._bytes = plain.lstrip().encode()
        self.names: dict[int, str] = {}

    def condition(self, node: ast.AST) -> None:
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self.condition(value)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.condition(node.operand)
        elif isinstance(node, ast.Compare):
            self._comparison(node)
        else:
            self._refuse(node)

    def _comparison(self, node: ast.Compare) -> None:
        for left, op, right in _pairs(node):
            alone = not isinstance(op, tuple(_ORDERS))
            if alone and len(node.ops) > 1:
                self._refuse(right, "`in` and `is` are not part of a chain; join comparisons by `and`")
            if isinstance(op, ast.Is | ast.IsNot):
                if not isinstance(right, ast.Name) or self._name(right) != "missing":
                    self._refuse(right, "`is` goes with `missing` only; write `==` to compare")
                self._column(left)
            elif isinstance(op, ast.In | ast.NotIn):
                self._column(left)
                if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                    self._refuse(right, "`in` needs a list of values, such as ['a', 'b']")
                for value in right.elts:
                    self._value(value)
            else:
                named = [side for side in (left, right) if isinstance(side, ast.Name)]
                if not named and all(_is_value(side) for side in (left, right)):
                    self._refuse(left, "no column in this comparison")
                for side in (left, right):
                    (self._column if side in named else self._value)(side)

    def _column(self, node: ast.AST) -> None:
        if not isinstance(node, ast.Name):
            self._refuse(node, None if not _is_value(node) else "a column is needed here")
        if not (name := self._name(node)):
            self._refuse(node, "the name in backticks is empty")
        self.names[self._start(node)] = name
        node.id = name  # as it is written: the parser makes other letters of some

    def _value(self, node: ast.AST) -> None:
        if not _is_value(node):
            none = isinstance(node, ast.Constant) and node.value is None
            self._refuse(node, "write `is missing` instead of a comparison with None" if none else None)
        if isinstance(value := ast.literal_eval(node), int) and abs(value) >= 2**63:
            self._refuse(node, "too large a number")

    def _name(self, node: ast.Name) -> str:
        start = self._start(node)
        if start in self._quoted:
            return self._quoted[start].strip()
        return self._bytes[node.col_offset : node.end_col_offset].decode()

    def _start(self, node: ast.AST) -> int:
        # The parser counts bytes, people count characters.
        return self._shift + len(self._bytes[: getattr(node, "col_offset", 0)].decode())

    def _refuse(self, node: ast.AST, reason: str | None = None) -> NoReturn:
        inner = getattr(node, "op", node)
        known = _INSTEAD.get(type(inner)) or _INSTEAD.get(type(node))
        raise StudyError(f"{_place(self._text, self._start(node))}: {reason or known or 'not allowed'}; {_GRAMMAR}")


def _is_value(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = node.operand
        return isinstance(inner, ast.Constant) and type(inner.value) in (int, float)
    return isinstance(node, ast.Constant) and type(node.value) in (str, int, float, bool)


def _pairs(node: ast.Compare) -> Iterator[tuple[ast.expr, ast.cmpop, ast.expr]]:
    sides = [node.left, *node.comparators]
    yield from zip(sides, node.ops, sides[1:], strict=False)


class _Evaluation:
    """Truth of a checked condition in every row, as pandas' truth values with NA."""

    def __init__(self, condition: Condition, frame: pd.DataFrame, where: str) -> None:
        self._text, self._frame, self._where = condition.text, frame, where
        self._starts = {name: start for start, name in reversed(condition._names.items())}

    def truth(self, node: ast.expr) -> Any:
        if isinstance(node, ast.BoolOp):
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return functools.reduce(join, map(self.truth, node.values))
        if isinstance(node, ast.UnaryOp):
            return ~self.truth(node.operand)
        assert isinstance(node, ast.Compare)
        return functools.reduce(operator.and_, [self._pair(*pair) for pair in _pairs(node)])

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, ast.Is | ast.IsNot):
            assert isinstance(left, ast.Name)
            gaps = self._frame[left.id].isna().astype("boolean")
            return gaps if isinstance(op, ast.Is) else ~gaps
        if isinstance(op, ast.In | ast.NotIn):
            values = right.elts if isinstance(right, ast.List | ast.Tuple | ast.Set) else []
            among = functools.reduce(operator.or_, [self._compare(left, operator.eq, value) for value in values])
            return among if isinstance(op, ast.In) else ~among
        return self._compare(left, _ORDERS[type(op)], right)

    def _compare(self, left: ast.expr, order: Callable[[Any, Any], Any], right: ast.expr) -> Any:
        import pandas as pd

        (a, kind_a), (b, kind_b) = self._side(left), self._side(right)
        if kind_a and kind_b and kind_a != kind_b:
            self._differ(left, right, (kind_a, kind_b))
        if "truth value" in (kind_a, kind_b) and order not in (operator.eq, operator.ne):
            self._differ(left, right, ("truth value", "order"))
        known = pd.Series(True, index=self._frame.index)
        for side in (a, b):
            known &= side.notna() if isinstance(side, pd.Series) else True
        out = pd.Series(pd.NA, index=self._frame.index, dtype="boolean")
        if kind_a and kind_b and known.any():
            of = [side[known] if isinstance(side, pd.Series) else side for side in (a, b)]
            out[known] = pd.Series(order(*of), index=self._frame.index[known]).astype("boolean")
        return out

    def _side(self, node: ast.expr) -> tuple[Any, str]:
        """A column or a value, and what it is: a number, text or a truth value; "" of a column without any value."""
        import pandas as pd

        if not isinstance(node, ast.Name):
            value = ast.literal_eval(node)
            return value, "truth value" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
        column = self._frame[node.id]
        known = column.dropna()
        if known.empty:
            return column, ""
        if pd.api.types.is_bool_dtype(known) or all(isinstance(value, bool) for value in known):
            return column.astype("boolean"), "truth value"
        if pd.api.types.is_numeric_dtype(column):
            return column, "number"
        return column.astype(object).where(column.notna(), None).map(_as_text), "text"

    def _differ(self, left: ast.expr, right: ast.expr, kinds: tuple[str, str]) -> NoReturn:
        names = [side.id for side in (left, right) if isinstance(side, ast.Name)]
        some = {name: str(self._frame[name].dropna().iloc[0]) for name in names}
        held = "; ".join(
            f"column {name!r} holds {self._side(ast.Name(name))[1]}, such as {value!r}" for name, value in some.items()
        )
        how = "truth values have no order" if "order" in kinds else f"{kinds[0]} and {kinds[1]} are never equal"
        quotes = "; text is written in quotation marks, numbers and True without"
        raise InputError(f"{self._where}: {_place(self._text, self._starts[names[0]])}: {how}: {held}{quotes}")


def _as_text(value: Any) -> Any:
    return value if value is None else str(value).strip()
