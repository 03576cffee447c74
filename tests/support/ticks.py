"""A clock that stands still, but for what is slept."""

from ccr_avn import clock


class Ticks(clock.Clock):
    at = 0.0

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
