"""What was really exported, held on for as long as a test says, and what the alert rules make of it: by promtool."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

STEP = 5
"""Minutes from one sample, and one evaluation of the rules, to the next."""

DOCS = Path(__file__).parents[2] / "docs"
needed = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing (Debian: apt install prometheus)"
)


@dataclass(frozen=True, slots=True)
class Phase:
    """For these minutes, a multiple of STEP, the metrics were like that. Points in time move on, but those that
    ``stopped``; what is ``growing`` is an age that grows as time does."""

    minutes: int
    text: str = ""
    growing: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()

    def values(self, began: int) -> dict[str, str]:
        """Of each series, in promtool's notation. ``began``: the minute at which the phase does."""
        found, steps = {}, self.minutes // STEP - 1
        for one in (each for family in text_string_to_metric_families(self.text) for each in family.samples):
            series = f"{one.name}{{{','.join(f'{key}={json.dumps(word)}' for key, word in one.labels.items())}}}"
            timed = one.name.endswith("_timestamp_seconds")
            first = 60 * began if timed else one.value  # promtool's clock begins at 0
            moves = (timed and one.name not in self.stopped) or series.startswith(self.growing or ("none",))
            found[series] = f"{first}+{60 * STEP if moves else 0}x{steps}"
        return found


def series(phases: Iterable[Phase]) -> list[dict[str, str]]:
    """promtool's input_series: what is not exported in a phase is missing meanwhile."""
    found: dict[str, str] = {}
    began = 0
    for phase in phases:
        values = phase.values(began)
        for name in found.keys() | values.keys():
            before = found.get(name) or f"_x{began // STEP}" * bool(began)
            found[name] = f"{before} {values.get(name, f'_x{phase.minutes // STEP}')}".strip()
        began += phase.minutes
    return [{"series": name, "values": text} for name, text in sorted(found.items())]


def fires(home: Path, phases: Iterable[Phase], wanted: dict[int, set[tuple[str, str]]]) -> None:
    """Holds that exactly these fire, by the minute: an alert's name, and what it is about."""
    alerts = 'group by (alertname, about) (label_join(ALERTS{alertstate="firing"}, "about", "/", "primary", "replica", "aiven_service"))'
    tests = [
        {
            "expr": alerts,
            "eval_time": f"{minute}m",
            "exp_samples": [
                {"labels": f'{{alertname="{name}", about="{about}"}}', "value": 1} for name, about in found
            ],
        }
        for minute, found in wanted.items()
    ]
    file = home / "alerts.test.yml"
    case = {"interval": f"{STEP}m", "input_series": series(phases), "promql_expr_test": tests}
    file.write_text(
        json.dumps({"rule_files": [str(DOCS / "alerts.yml")], "evaluation_interval": f"{STEP}m", "tests": [case]})
    )
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def promtool(*words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(("promtool", *words), input=given, capture_output=True, text=True, check=False)
