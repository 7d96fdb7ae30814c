"""A rule that writes identifiers of one source as another has them: `NDAR_INV123` as `sub-NDARINV123`."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cortax.errors import InputError, StudyError, choices

__all__ = ["IdRule"]

_GROUP = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class IdRule:
    """How identifiers are written anew.

    Parameters
    ----------
    pattern : str
        A regular expression that the whole identifier matches.
    to : str
        What it becomes: `{1}` is what the first pair of parentheses matched, `{name}` what `(?P<name>...)` did, `{0}`
        all of it.

    Raises
    ------
    StudyError
        The pattern is no regular expression, or `to` asks for a group that it does not have.

    Examples
    --------
    >>> IdRule("NDAR_INV(.*)", "sub-NDARINV{1}").apply(["NDAR_INV7"], "p.csv")
    ['sub-NDARINV7']
    """

    pattern: str
    to: str

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise StudyError(f"id_rule.pattern = {self.pattern!r} is no regular expression: {error}") from error
        groups = [*map(str, range(compiled.groups + 1)), *compiled.groupindex]
        for name in _GROUP.findall(self.to):
            if name not in groups:
                raise StudyError(f"id_rule.to = {self.to!r}: group {choices(name, groups)}")

    @functools.cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def rewritten(self, text: str) -> str | None:
        """Return an identifier as the rule writes it; None where it does not match."""
        found = self._compiled.fullmatch(text)
        if found is None:
            return None

        def group(name: re.Match[str]) -> str:
            return found[int(name[1]) if name[1].isdigit() else name[1]] or ""

        return _GROUP.sub(group, self.to)

    def apply(self, texts: Sequence[str], where: str) -> list[str]:
        """Write identifiers anew.

        Raises
        ------
        InputError
            Some do not match, become empty, or two become one; the message begins with `where` and names them.
        """
        became = {text: self.rewritten(text) for text in dict.fromkeys(texts)}
        rule = f"{where}: id_rule {self.pattern!r} -> {self.to!r}"
        if odd := [text for text, new in became.items() if not new]:
            raise InputError(f"{rule}: {len(odd)} of {len(became)} identifiers do not match it: {odd[:5]}")
        first: dict[str | None, str] = {}
        for text, new in became.items():
            if (other := first.setdefault(new, text)) != text:
                raise InputError(f"{rule}: two identifiers become one: {other!r} and {text!r} are both {new!r}")
        return [str(became[text]) for text in texts]
