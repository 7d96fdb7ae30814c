"""Differences of options, in words."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["option_differences"]

MAX_ITEMS = 4


def option_differences(where: str, old: Any, new: Any) -> list[str]:
    """Say what differs between two values of nested options, one option an item.

    >>> option_differences("", {"n": 2, "names": ["a", "b"]}, {"n": 3, "names": ["b", "c"]})
    ['option n: 2 -> 3', 'option names: + "c", - "a"']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [said for key in keys for said in option_differences(f"{where}.{key}", old.get(key), new.get(key))]
    if _text(old) == _text(new):
        return []
    if isinstance(old, list) and isinstance(new, list):
        before, after = set(map(_text, old)), set(map(_text, new))
        said = [f"+ {_short(item)}" for item in new if _text(item) not in before]
        said += [f"- {_short(item)}" for item in old if _text(item) not in after]
        more = [f"and {len(said) - MAX_ITEMS} more"] if len(said) > MAX_ITEMS else []
        return [f"option {where[1:]}: {', '.join([*said[:MAX_ITEMS], *more]) or 'another order'}"]
    return [f"option {where[1:]}: {_short(old)} -> {_short(new)}"]


def _text(value: Any) -> str:
    """Write a value such that 1 and 1.0 differ, as they do in a job's key."""
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
