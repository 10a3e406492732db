"""Asking a Git host through its library: what goes wrong is told in our words, whichever library it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import requests

from workers.systems.errors import GitError, GitUnreachable

_NONSENSE: Final = (AttributeError, KeyError, TypeError, ValueError, AssertionError)
"""What a library trips over, and we do, in an answer of another shape."""

Refusal = TypeVar("Refusal", bound=Exception)


@dataclass(frozen=True)
class Asking(Generic[Refusal]):
    """One host. service: what people call it. refusal: what its library raises for an answer that says no.

    told: that as GitError, with what was asked about.
    """

    service: str
    host: str
    refusal: type[Refusal]
    told: Callable[[Refusal, str], GitError]

    @contextmanager
    def about(self, what: str) -> Iterator[None]:
        """Calls about something. Raises GitError."""
        try:
            yield
        except self.refusal as error:
            raise self.told(error, what) from None
        except (requests.RequestException, OSError) as error:
            message = f"{self.service} at {self.host} cannot be reached: {type(error).__name__}."
            raise GitUnreachable(message, "Check gitops.url in ops.yaml and the workers' way out.") from None
        except _NONSENSE as error:
            raise GitError(
                f"{self.service} at {self.host} answered about {what} what makes no sense ({type(error).__name__}).",
                "Check that gitops.url in ops.yaml is its API's address, and not a proxy's.",
            ) from None
