"""failover: a forced promotion, when the primary is dead or cut off. States what may be lost."""

import shlex
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import REPLICABLE, Integration, Service
from ccr_avn.options import FailoverOptions
from ccr_avn.plan.model import Finding, Plan, Probe, Step, go, stop, todo, wait
from ccr_avn.procedures import promotion, verb
from ccr_avn.procedures.drill.ours import temporary
from ccr_avn.procedures.gates import pair, parity
from ccr_avn.procedures.gates.history import Expected
from ccr_avn.procedures.gates.pair_state import feeding
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.last_known import look_again_at_primary, look_at_last_known, look_at_primary
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.siblings import list_siblings, look_at_siblings, mark, unmark
from ccr_avn.procedures.steps import wait_running
from ccr_avn.procedures.verb import DECLARED, Ended, Line, Outcome, Question, Verb
from ccr_avn.valkey.replication import NO_HISTORY, ReplicationInfo

UNSEEN = "its data plane was not checked"


def still_open(primary: str) -> str:
    return f"{primary} is not closed: if it is alive, it still accepts writes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover(FailoverOptions, Verb):
    """Promote REPLICA when its primary is dead or cut off (forced): the last writes may be lost."""

    command: ClassVar[str] = "failover"
    never_suspend: ClassVar[bool] = True

    def facts(self) -> dict[str, Any]:
        return {"replica": self.replica}

    # -- what it does

    def plan(self) -> Plan:
        at, new, limit = self.at, self.replica, self.promote_timeout
        primary, by_its_name = look_at_primary(at, self)
        checks = (self._look_at_replica(), self._rows(), primary, by_its_name)
        title, check = f"fail over to {new}", ("ccr-avn", "failover", new, *self.words(), "--check")
        running = wait_running(at, new, limit=limit)
        origin = promotion.remember_origin(at, new, self._tags)
        if self.no_verify:
            return Plan(
                title,
                checks=(*checks, self._accepted_unseen()),
                steps=(
                    mark(at, new),
                    list_siblings(at, new, primary, forced=True),
                    self._promote_unseen(),
                    origin,
                    running,
                    unmark(at, new),
                ),
                check=check,
            )
        carries = promotion.carries_history(at, new, self.source, self._expected, limit=limit, variable="known_token")
        return Plan(
            title,
            checks=(*checks, look_at_last_known(at, self)),
            steps=(
                *((self._wait_for_automatic(),) if self.wait_automatic else ()),
                mark(at, new),
                look_at_siblings(at, new),
                list_siblings(at, new, primary, forced=True),
                look_again_at_primary(at, self, check),
                promotion.promote(at, new, limit=limit, doubt_limit=self.doubt_timeout),
                carries,
                promotion.accepts_writes(at, new, limit=limit, history=carries),
                origin,
                promotion.integration_gone(at, new, limit=limit),
                running,
                unmark(at, new, carries),
            ),
            check=check,
            passed_before=lambda seen: seen.may_be_promoting,
        )

    def service(self, seen: Seen) -> Service | None:
        """The replica as the checks showed it."""
        return seen.checked.get(self.replica)

    def source(self, seen: Seen) -> str:
        """The name of its primary; empty: it follows none, or that could not be looked at."""
        service = self.service(seen)
        return (service.source if service else None) or ""

    def old(self, seen: Seen) -> Service | None:
        """The old primary as it was looked at, if it was there."""
        return seen.checked.get(self.source(seen))

    def _look_at_replica(self) -> Step[tuple[Service, ...]]:
        """With its integration, by its name: what else is in the project, and how it looks, is nothing to us."""
        at, name = self.at, self.replica

        def judge(found: tuple[Service, ...], _: Seen) -> Finding:
            service = by_name(found, name)
            if service is None:
                return stop(f"{name} does not exist", hint="check its name and the project: avn service list")
            if service.type not in REPLICABLE:
                return stop(f"{name} is a {service.type} service", hint="check its name: avn service list")
            if service.source is None and service.replicas:
                return stop(
                    f"{name} is itself a primary: it is replicated to {', '.join(service.replicas)}",
                    hint=f"name the replica: ccr-avn failover {service.replicas[0]} --allow-data-loss",
                )
            promote = f"to promote it anyway: ccr-avn failover {name} --allow-data-loss --drill-service {name}"
            drill = temporary(service, at.journals.drills, at.journals.promotions, promote)
            return (drill if self.drill_service != name else None) or pair.judge_serves(at.project, service)

        by_hand = f"by hand: {self._by_hand}, then {avn.integration_delete(at.project, 'ID').text}"
        return Step(
            slug="replica",
            purpose=f"look up {name}",
            read=replace(avn.service_named(at.project, name), hint=by_hand),
            rule=f"{name} exists and serves",
            judge=judge,
        )

    @property
    def _by_hand(self) -> str:
        return avn.integration_list(self.at.project, self.replica).text.replace(" --json", "")

    def _rows(self) -> Step[tuple[Integration, ...]]:
        """The integration as the read of the service already showed it: no second avn while everybody waits."""
        shown = promotion.look_at_integration(self.at, self.replica)

        def read(seen: Seen) -> tuple[Integration, ...]:
            return found.integrations if (found := self.service(seen)) else ()

        return replace(shown, read=Probe(read, self._by_hand))

    def _wait_for_automatic(self) -> Step[ReplicationInfo]:
        def judge(side: ReplicationInfo, _: Seen) -> Finding:
            return go("Aiven promoted it") if side.role == "master" else wait(f"its role is {side.role}")

        limit = self.wait_automatic
        step = promotion.look_at_role(self.at, self.replica, limit=limit)
        return replace(
            step,
            slug="automatic",
            purpose=f"wait up to {limit:g} s for automatic promotion of {self.replica} by Aiven",
            rule="it was promoted",
            judge=judge,
            poll=replace(step.poll, interval=0.5, hint="it is being promoted by this run"),
            optional=True,
        )

    def _expected(self, seen: Seen, _: ReplicationInfo | None) -> Expected:
        """What the replica had when it was asked, if it was a whole replica then; else what a record says it followed."""
        looked, new = seen.sides, self.service(seen)
        if looked is None or new is None or not looked.replica.has_a_copy:
            return Expected()
        if looked.replica.role == "master":
            return Expected(ids=lineage.followed(self.old(seen), new, self.at.journals.promotions))
        return Expected(ids=(looked.replica.replid,), offset=looked.replica.offset)

    def _tags(self, seen: Seen) -> tuple[str, ...]:
        new, source = self.service(seen), self.source(seen)
        if new is None or not source:
            return ()
        if (old := self.old(seen)) is None:
            return (f"{lineage.FROM}={source}", f"{lineage.LINEAGE}={lineage.UNKNOWN}")
        return lineage.tags(old, new, seen.sides.followed if seen.sides else NO_HISTORY)

    # -- without the data plane: on the word of Aiven's API alone

    def _accepted_unseen(self) -> Step[None]:
        """In the place of a look at the replica: nothing can be known, so nothing is promised."""
        at, name = self.at, self.replica

        def judge(_: None, seen: Seen) -> Finding:
            found = self.service(seen)
            if found is None:
                return go("not checked: the service is missing")
            if found.source is None:
                warning = f"{UNSEEN}: whether {name} accepts writes is not known"
                none = f"no read_replica integration of {name} is listed: there is nothing to delete"
                return go(none, warnings=(warning,))
            if not self.allow_data_loss:
                return stop(
                    "a failover may lose acknowledged writes, and how many can't be estimated from here",
                    detail=f"{UNSEEN}: its link, its lag and whether it has any data at all are unknown",
                    hint="if that is acceptable: --allow-data-loss --no-verify; better: run it from within its network",
                )
            born = {one.name: lineage.created(one) for one in (found, self.old(seen)) if one}
            warning = f"nothing is proven: {UNSEEN}, it may be empty or far behind"
            return go("allowed", warnings=(warning,), follows=found.source, created=born)

        words = ("--allow-data-loss", "--no-verify", "--check", *at.options)
        return Step(
            slug="last-known",
            purpose=f"promote {name} without checking its data plane",
            read=Probe(lambda _: None, f"avn service integration-list {name}"),
            command=("ccr-avn", "failover", name, *words),
            rule="the possible loss, although unknown, is accepted",
            judge=judge,
            keeps=promotion.keep_lineage(at, name, "--no-verify"),
        )

    def _promote_unseen(self) -> Step[Any]:
        """What proves it is that the integration is no longer listed."""
        at, name, limit = self.at, self.replica, self.promote_timeout
        step: Step[Any] = promotion.promote(
            at, name, limit=limit, doubt_limit=self.doubt_timeout, row=lambda seen: feeding(seen.rows, None, name)
        )

        def judge(listed: tuple[Service, ...], seen: Seen) -> Finding:
            now, before = by_name(listed, name), self.service(seen)
            if now is None or (before and now.created != before.created):
                what = "it no longer exists" if now is None else "another service has its name now"
                return stop(f"{name} was not promoted: {what}", hint=f"inspect it: avn service get {name}")
            found = pair.judge_gone(now.integrations, name)
            return found if found.verdict == "go" else todo(found.reason)

        gone = promotion.integration_gone(at, name, limit=limit)
        read = avn.service_named(at.project, name)
        step = replace(step, read=read, judge=judge, doubts=())
        return replace(step, rule=gone.rule, poll=gone.poll, command=gone.command)

    # -- what is asked

    def question(self, seen: Seen) -> Question | None:
        """Nothing is asked where nothing is deleted, and nothing is deleted that was not asked about."""
        service = self.service(seen)
        row = seen.row if not self.no_verify else service.row if service else None
        if row is None:
            return None
        source = row.source or ""
        seconds, how = seen.sides.estimate if seen.sides else (None, UNSEEN)
        loss = "unknown" if seconds is None else f"about the last {seconds:g} s of writes"
        return Question(
            answer=self.replica,
            text=f"Type {self.replica} to promote it; anything else stops here, with nothing changed: ",
            consequences={
                "promoted": f"{self.replica} becomes a standalone primary, permanently; {source} can't become its replica",
                "old primary": still_open(source),
                "write pause": f"none by ccr-avn; writes resume when {self.replica} is promoted",
                "may be lost": f"{loss} ({how})",
                "declared": DECLARED,
            },
        )

    # -- how it ended

    def half_way(self, ended: Ended) -> tuple[tuple[str, ...], dict[str, Any]]:
        seen = ended.seen
        if not ended.past_return:
            return (), {}
        looked = seen.answer("promote") or (seen.sides and seen.sides.replica)
        promoted = getattr(looked, "role", "") == "master"
        role = UNSEEN if self.no_verify else "it is not a master yet"
        who = f"{self.replica} is the primary now" if promoted else f"the promotion of {self.replica} was sent; {role}"
        note = f"{self.replica} was promoted, and must not take over"
        if not ended.lacks_data:
            finish = "the same command finishes what is left"
            note = f"{who}; {finish}, and `ccr-avn endpoint {self.replica}` shows how to connect"
        notes = (note, *((still_open(source),) if (source := self.source(seen)) else ()))
        return notes, {"new_primary": self.replica, "promoted": promoted}

    def checked(self, ended: Ended) -> Outcome:
        seen, state = ended.seen, ended.seen.state
        different = verb.differences(self.at, seen, self.old(seen), self.service(seen))
        result = {
            "replica": self.replica,
            "would_go": True,
            "state": state.state if state else None,
            "differences": [one.as_dict() for one in different],
        }
        warnings = (f"warning: {one.warning}" for one in different)
        return Outcome(result=result, lines=(f"{self.replica}: {promotion.passed(seen, self.replica)}", *warnings))

    def outcome(self, ended: Ended) -> Outcome:
        at, seen, name = self.at, ended.seen, self.replica
        new, source, old, known = seen.latest[name], self.source(seen), self.old(seen), seen.sides
        seconds, how = known.estimate if known else (None, UNSEEN)
        different = verb.differences(at, seen, old, new)
        exposed = [*verb.exposure(at, new), *parity.risks(different)]
        if address := self._old_address(seen):
            off = parity.power_off_commands(*address, protected=old is not None and old.protected)
            exposed.insert(0, {"what": f"{source} was not fenced: if it is alive, it still accepts writes", "fix": off})
        accepted = ended.done("accepts-writes")
        first_write = round(ended.loaded + (accepted.at if accepted else 0.0), 3)
        result: dict[str, Any] = {
            "old_primary": source or None,
            "new_primary": name,
            "seconds_to_first_write": None if self.no_verify else first_write,
            "proven": not self.no_verify,
            "rpo_estimate": {"seconds": seconds, "how": how, "applied_offset": known and known.replica.offset},
            "before": verb.sides(replica=self.service(seen)),
            "after": verb.sides(primary=new),
            "risks": exposed,
            "differences": [one.as_dict() for one in different],
            "hooks_seconds": ended.hooks,
        }
        lines: list[Line] = [f"{name} no longer has an integration" if self.no_verify else f"{name} is the primary now"]
        if self.no_verify:
            lines.append(f"  nothing was proven    {UNSEEN}; from within its network:")
            inside = (at.gate(gate, name) for gate in ("accepts-writes", "last-known"))
            lines += [f"                        {shlex.join(str(word) for word in words)}" for words in inside]
        elif source:
            loss = "unknown" if seconds is None else f"about {seconds:g} s of writes"
            estimate = how if how.startswith("an upper bound") else f"an estimate: {how}"
            lines.append(f"  first write accepted  {first_write:.1f} s after the start")
            lines.append(f"  possible loss         {loss} ({estimate})")
        lines.append(f"  connection details    ccr-avn endpoint {name}")
        return Outcome(result=result, lines=(*lines, *verb.exposure_lines(exposed)))

    def _old_address(self, seen: Seen) -> tuple[Project, str] | None:
        """The project and the name of the old primary: it may be another project's."""
        service = self.service(seen)
        if service is None or service.row is None or service.row.source is None:
            return None
        project = Project(service.source_project) if service.source_project else self.at.project
        return project, service.row.source
