"""Patterns of names, as shells have them: how a study or a command says which of the names it means."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from cortax.errors import choices

__all__ = ["ALL", "Patterns"]


@dataclass(frozen=True, repr=False)
class Patterns:
    """Alternatives: a name is meant if any of them matches it.

    In a study file, and wherever a model of pydantic is dumped, it is a list of texts.

    Parameters
    ----------
    texts : tuple of str
        Each may hold `*`, `?`, `[seq]` and `[!seq]`; capitals matter.

    Examples
    --------
    >>> patterns = Patterns(("schaefer-*", "dk"))
    >>> patterns.select(["dk", "dkt", "schaefer-100"])
    ['dk', 'schaefer-100']
    >>> patterns.unmatched(["dkt", "schaefer-100"])
    ['dk']
    """

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return repr(list(self.texts))  # in messages: as the study file has it

    def matches(self, name: str) -> bool:
        """Say whether any pattern matches a name."""
        return any(fnmatchcase(name, text) for text in self.texts)

    def select(self, names: Iterable[str]) -> list[str]:
        """Return the names that match, in their order."""
        return [name for name in names if self.matches(name)]

    def unmatched(self, names: Collection[str]) -> list[str]:
        """Return the patterns that match none of the names."""
        return [text for text in self.texts if not any(fnmatchcase(name, text) for name in names)]

    def check(self, place: str, names: Collection[str], error: type[Exception] = ValueError) -> None:
        """Make sure that every pattern matches a name.

        Parameters
        ----------
        place : str
            Where the patterns come from, such as `grid.by_fold`.
        names : collection of str
            What there is.
        error : type of Exception
            ValueError is what pydantic expects of the validators of a study.

        Raises
        ------
        error
            A pattern matches none; the message says what there is and which name is nearest.
        """
        for text in self.unmatched(names):
            raise error(f"{place}: nothing matches: {choices(text, names)}")

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda texts: cls(tuple(texts)),
            core_schema.list_schema(core_schema.str_schema()),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda patterns: list(patterns.texts)),
        )


ALL = Patterns(("*",))
