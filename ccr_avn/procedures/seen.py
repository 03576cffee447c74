"""What a run has seen so far, by name: services, the integration, both servers, the differences, the write pause."""

from typing import Any

from ccr_avn.aiven.models import Service
from ccr_avn.errors import Refused
from ccr_avn.plan.model import Answers, Step


class Seen(Answers):
    """Whatever a step reads is kept under the step's slug; what every rule needs has a name of its own here.

    Asking for what has not been read raises ``KeyError``: it is a bug. ``get`` asks for what may not have been read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.checked: dict[str, Service] = {}
        """Each service as the first look at it showed it."""
        self.latest: dict[str, Service] = {}
        """Each service as the last look at it showed it."""

    def remember(self, step: Step[Any], answer: Any) -> None:
        super().remember(step, answer)
        for one in answer if isinstance(answer, tuple) else (answer,):
            if isinstance(one, Service):
                self.checked.setdefault(one.name, one)
                self.latest[one.name] = one

    def service(self, name: str) -> Service:
        """As the checks showed it.

        Raises:
            Refused: it does not exist.
        """
        if name not in self.checked:
            raise Refused(f"{name} does not exist", hint="check its name: avn service list")
        return self.checked[name]
