"""Adding up a bucket while it is listed: by experiment and prefix, and whose artifacts nobody knows.

What is kept grows with the number of experiments and of orphans, both bounded, and never with the number of objects:
owners are looked up a batch at a time and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from workers.operations.storage.locations import Owner, owner

if TYPE_CHECKING:
    from workers.systems.s3.listing import Page

BATCH: Final = 1000
ORPHANS_NAMED: Final = 20_000
GROUPS_KEPT: Final = 20_000
_REMEMBERED: Final = 5_000
ELSEWHERE: Final = "(elsewhere)"

Known = Callable[[list[Owner]], set[str]]
"""Which of these MLflow knows, by id."""


@dataclass
class Amount:
    """So many objects and bytes."""

    objects: int = 0
    bytes: int = 0

    def add(self, objects: int, size: int) -> None:
        """More of them."""
        self.objects += objects
        self.bytes += size


@dataclass
class Measured:
    """What is found. missing: of what was expected to have artifacts, what has none."""

    total: Amount = field(default_factory=Amount)
    experiments: dict[str, Amount] = field(default_factory=dict)
    prefixes: dict[str, Amount] = field(default_factory=dict)
    old: Amount = field(default_factory=Amount)
    markers: int = 0
    orphans: dict[str, Amount] = field(default_factory=dict)
    orphan_owners: dict[str, Owner] = field(default_factory=dict)
    orphans_cut: bool = False
    missing: set[str] = field(default_factory=set)


class Measuring:
    """Takes page after page."""

    def __init__(self, known: Known | None, expected: Iterable[str] = ()) -> None:
        """known: None where MLflow's database could not be asked. expected: ids that should have artifacts."""
        self.found = Measured(missing=set(expected))
        self._known = known
        self._waiting: dict[str, tuple[Owner, Amount]] = {}
        self._looked_up: dict[str, bool] = {}

    def take(self, page: Page) -> None:
        """Add a page up; its keys are in order, so one owner's objects come together."""
        found = self.found
        found.old.add(page.old, page.old_bytes)
        found.markers += page.markers
        folder, objects, size, of = "\0", 0, 0, None
        for key, length in page.current:
            if not key.startswith(folder):
                self._add(of, folder, objects, size)
                of = owner(key)
                folder, objects, size = of.folder if of else key.rpartition("/")[0] + "/", 0, 0
                if folder == "/":
                    folder = key
            objects += 1
            size += length
        self._add(of, folder, objects, size)

    def end(self) -> Measured:
        """Look up what still waits, and give all of it."""
        self._look_up()
        return self.found

    def _add(self, of: Owner | None, folder: str, objects: int, size: int) -> None:
        if not objects:
            return
        found = self.found
        found.total.add(objects, size)
        _group(found.prefixes, folder.partition("/")[0] + "/" if "/" in folder else "(top)").add(objects, size)
        _group(found.experiments, of.experiment if of else ELSEWHERE).add(objects, size)
        if of is None:
            return
        found.missing.discard(of.id)
        if self._known is None or self._looked_up.get(of.id) is True:
            return
        if self._looked_up.get(of.id) is False:
            self._orphan(of, objects, size)
            return
        self._waiting.setdefault(of.id, (of, Amount()))[1].add(objects, size)
        if len(self._waiting) >= BATCH:
            self._look_up()

    def _look_up(self) -> None:
        if self._known is None or not self._waiting:
            return
        known = self._known([of for of, _ in self._waiting.values()])
        for each, (of, amount) in self._waiting.items():
            self._looked_up[each] = each in known
            if each not in known:
                self._orphan(of, amount.objects, amount.bytes)
        self._waiting.clear()
        for each in list(islice(self._looked_up, max(0, len(self._looked_up) - _REMEMBERED))):
            del self._looked_up[each]

    def _orphan(self, of: Owner, objects: int, size: int) -> None:
        found = self.found
        if of.id not in found.orphans and len(found.orphans) >= ORPHANS_NAMED:
            found.orphans_cut = True
            return
        found.orphan_owners[of.id] = of
        found.orphans.setdefault(of.id, Amount()).add(objects, size)


def _group(groups: dict[str, Amount], name: str) -> Amount:
    """The group of that name; beyond GROUPS_KEPT all others are one."""
    if name not in groups and len(groups) >= GROUPS_KEPT:
        name = ELSEWHERE
    return groups.setdefault(name, Amount())
