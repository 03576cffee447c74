"""The report of an evacuation: figures over all pairs, what needs somebody first, each pair with bars of its own."""

from typing import Any

from ccr_avn.history import report
from ccr_avn.history.charts_of_many import many
from ccr_avn.history.runs import Record, Verdict
from ccr_avn.history.summary import Story, summarize

CHOSEN = [{"pair": f"p{one}/r{one}", "action": "switchover", "reason": "link up", "others": []} for one in range(4)]


def ended(one: int, state: str = "done", **more: Any) -> dict[str, Any]:
    phases = [["checking", one, one + 0.5], ["fenced", one + 0.5, one + 1.0]]
    told = {"state": state, "run": f"run-{one}", "journal_head": "a" * 64, "summary": f"r{one} is the primary now"}
    return {**told, "outage_ms": 100.0 * (one + 1), "bytes_not_replicated": 0, "phases": phases, **more}


def story(*ends: dict[str, Any], closed: bool = True) -> Story:
    facts = {"pairs": CHOSEN, "project": "p", "clouds": ["google-*"]}
    entries: list[dict[str, Any]] = [
        {
            "event": "RunStarted",
            "at": 0,
            "run": "all",
            "command": "evacuate",
            "title": "evacuate google-*",
            "facts": facts,
            "argv": ["evacuate", "google-*", "--planned", "--only", "p1"],
        }
    ]
    for chosen, end in zip(CHOSEN, ends, strict=False):
        name = chosen["pair"]
        entries += [
            {"event": "PairStarted", "at": 1, "pair": name, "run": end.get("run")},
            *([{"event": "PairEnded", "at": 2, "pair": name, "told": end}] if "state" in end else []),
        ]
    if closed:
        pairs = [{**one, **end} for one, end in zip(CHOSEN, [*ends, *[{}] * 4], strict=False)]
        result = {"pairs": pairs, "enable": ['ccr-avn enable r0 r0-2 --replica-cloud "${CLOUD:?}"']}
        result |= {
            "outage_not_measured": 1,
            "still_open": [{"service": "p9", "close": "avn service update p9 --power-off"}],
        }
        entries.append({"event": "RunEnded", "at": 9, "ok": True, "changed": True, "code": 0, "result": result})
    return summarize(Record(path=report.TEMPLATES, entries=tuple(entries), head="h", lines=len(entries)))


def verdict() -> Verdict:
    return Verdict(run="all", lines=3, head="h", findings=())


def test_figures_are_over_all_pairs_and_what_needs_somebody_comes_first() -> None:
    failed = ended(3, "failed", goes_on_with="ccr-avn switchover p3 r3", bytes_not_replicated=7)
    told = many(story(ended(0), ended(1), ended(2), failed))
    figures = {one["label"]: one["value"] for one in told.headline}
    assert figures == {"Moved": "3 of 4", "RPO": "7 bytes", "Write outage": "400 ms", "Took": "9.0 s"}
    assert [row.name for row in told.rows] == ["p3/r3", "p0/r0", "p1/r1", "p2/r2"]
    assert told.rows[1].bars[0].left == 0
    assert told.rows[0].bars[-1].left + told.rows[0].bars[-1].width == 100


def test_both_forms_name_every_pair_its_journal_and_what_goes_on() -> None:
    failed = ended(1, "failed", goes_on_with="ccr-avn switchover p1 r1", phases=["odd", ["x", 1], ["y", "z", 1]])
    for text in (report.html(story(ended(0), failed), verdict()), report.markdown(story(ended(0), failed), verdict())):
        for words in ("p0/r0", "p1/r1", "run-0", "ccr-avn switchover p1 r1", "ccr-avn enable r0 r0-2"):
            assert words in text
        assert "<script" not in text


def test_what_is_half_way_comes_first_with_what_to_type_and_what_is_open_with_what_closes_it() -> None:
    half = ended(1, "half-way", notes=["writes on p1 are paused until 12:00:00"], outage_ms=None)
    told = story(ended(0), half, ended(2, "failed"))
    assert many(told).rows[0].name == "p1/r1"
    for text in (report.html(told, verdict()), report.markdown(told, verdict())):
        for words in (
            "writes on p1 are paused until 12:00:00",
            "avn service update p9 --power-off",
            "not measured of 1",
        ):
            assert words in text


def test_of_one_that_died_each_pair_is_told_as_far_as_it_came() -> None:
    died = story(ended(0), {"run": "run-1"}, closed=False)
    assert [one.get("state") for one in died.pairs] == ["done", "under way", None, None]
    assert "ccr-avn evacuate 'google-*' --planned --only p1 --project p" in report.markdown(died, verdict())
