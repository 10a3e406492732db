"""Reading an answer from outside without trusting its shape.

What is absent or null has a default, as in Kubernetes' own clients; what is there with another type than promised
raises Nonsense, which fails the check that asked and says which field was odd. So judgements contain no type tests,
and a broken answer is told apart from a bug of ours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from workers.systems.errors import Nonsense

T = TypeVar("T")


class Fields:
    """An object of an answer; `what` names it in messages ("pod mlflow-1"). Paths are given part by part."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            msg = f"The answer about the {what} makes no sense: it is {_kind(value)} where an object was expected."
            raise Nonsense(msg)
        self._value: dict[str, Any] = value
        self._what = what

    def has(self, *path: str) -> bool:
        """True where the field is there and not null."""
        return self._at(path) is not None

    def text(self, *path: str, default: str = "") -> str:
        """A string."""
        value = self._at(path)
        return default if value is None else self._expect(value, str, path, "text")

    def number(self, *path: str, default: int = 0) -> int:
        """An integer."""
        value = self._at(path)
        if isinstance(value, bool):
            raise self._odd(value, path, "a number")
        return default if value is None else self._expect(value, int, path, "a number")

    def flag(self, *path: str, default: bool = False) -> bool:
        """True or false."""
        value = self._at(path)
        return default if value is None else self._expect(value, bool, path, "true or false")

    def moment(self, *path: str) -> datetime | None:
        """An RFC 3339 time, with its zone."""
        text = self.text(*path)
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise self._odd(text, path, "a time") from None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def inner(self, *path: str) -> Fields:
        """An object; an empty one where there is none."""
        value = self._at(path)
        return Fields({} if value is None else value, f"{self._what}'s {'.'.join(path)}")

    def each(self, *path: str) -> list[Fields]:
        """A list of objects."""
        return [Fields(item, f"{self._what}'s {'.'.join(path)}") for item in self._list(path)]

    def texts(self, *path: str) -> list[str]:
        """A list of strings."""
        return [self._expect(item, str, path, "text") for item in self._list(path)]

    def names(self) -> list[str]:
        """The names of the fields of this object."""
        return list(self._value)

    def labels(self, *path: str) -> dict[str, str]:
        """An object of strings."""
        value = self._at(path)
        pairs = {} if value is None else self._expect(value, dict, path, "an object")
        return {str(key): self._expect(item, str, path, "text") for key, item in pairs.items()}

    def _list(self, path: tuple[str, ...]) -> list[Any]:
        value = self._at(path)
        return [] if value is None else self._expect(value, list, path, "a list")

    def _at(self, path: tuple[str, ...]) -> Any:
        value: Any = self._value
        for depth, part in enumerate(path):
            if value is None:
                return None
            if not isinstance(value, dict):
                raise self._odd(value, path[:depth], "an object")
            value = value.get(part)
        return value

    def _expect(self, value: object, kind: type[T], path: tuple[str, ...], promised: str) -> T:
        if not isinstance(value, kind):
            raise self._odd(value, path, promised)
        return value

    def _odd(self, value: object, path: tuple[str, ...], promised: str) -> Nonsense:
        where = ".".join(path)
        return Nonsense(f"The answer about the {self._what} makes no sense: {where} is {_kind(value)}, not {promised}.")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")
