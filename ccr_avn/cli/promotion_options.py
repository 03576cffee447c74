"""The options around a promotion: how it is run, the operator's own commands, the env file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ccr_avn import options
from ccr_avn.hooks import Hooks, words
from ccr_avn.options import Check, DryRun, Json, PollInterval

if TYPE_CHECKING:
    from ccr_avn.cli.conduct import How

Yes = Annotated[bool, options.flag("--yes", "Skip confirmation (required when not interactive).")]
WriteEnv = Annotated[
    Path | None,
    options.word(
        "FILE", "Write the new REDIS_URL and VALKEY_URL to FILE (mode 0600).", options.a_file_to_replace, "--write-env"
    ),
]
Before = Annotated[str | None, options.word("CMD", "Run CMD before the first change; stop if it fails.")]
After = Annotated[str | None, options.word("CMD", "Run CMD after success.")]
OnFailure = Annotated[str | None, options.word("CMD", "Run CMD if the run fails.")]
HookTimeout = Annotated[float, options.seconds("Time limit for each CMD.", options.above_zero)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooking:
    """The operator's commands, as they were typed."""

    before: Before = None
    after: After = None
    on_failure: OnFailure = None

    def hooks(self, timeout: float) -> Hooks:
        """``timeout``: seconds.

        Raises:
            UsageError: one can't be split into words.
        """
        return Hooks(
            before=words("--before", self.before),
            after=words("--after", self.after),
            on_failure=words("--on-failure", self.on_failure),
            timeout=timeout,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoting(Hooking):
    """How a promotion is run, and what is asked and written around it. Times are in seconds."""

    check: Check = False
    dry_run: DryRun = False
    yes: Yes = False
    json: Json = False
    write_env: WriteEnv = None
    hook_timeout: HookTimeout = 60
    poll_interval: PollInterval = 5

    def how(self) -> "How":
        """Raises:
        UsageError: a command can't be split into words.
        """
        from ccr_avn.cli.conduct import How  # heavy: avn may be started before it is loaded

        return How(
            json=self.json,
            check=self.check,
            dry_run=self.dry_run,
            yes=self.yes,
            hooks=self.hooks(self.hook_timeout),
            write_env=self.write_env,
        )
