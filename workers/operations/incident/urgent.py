"""What all that concerns an incident has in common: it waits for nobody, and knows who asks and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from workers.operation import Caller, Operation, Risk

if TYPE_CHECKING:
    from workers.settings import Ops, RoleName


class Urgent(Operation):
    """caller: who asks; whoever accepts the command says it."""

    risk: ClassVar[Risk] = Risk.CHANGE
    urgent: ClassVar[bool] = True

    caller: Caller | None = None

    def asked_by(self, caller: Caller) -> Operation:
        """See Operation."""
        return self.model_copy(update={"caller": caller})

    def needs(self, ops: Ops) -> RoleName | None:
        """As ops.yaml says: whoever may look, may call for help."""
        return ops.escalation.role

    @property
    def known_caller(self) -> Caller:
        """Who asks. Raises ValueError where nobody has said it."""
        if self.caller is None:
            msg = f"{self.name} runs without a caller"
            raise ValueError(msg)
        return self.caller
