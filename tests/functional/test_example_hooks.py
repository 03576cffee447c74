"""The hooks in examples/hooks, as ccr-avn runs them, against servers that answer, refuse and hang."""

import base64
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import EXAMPLES, cached, started
from tests.support.http_server import Answer, Request, Somebody, answering
from tests.support.loaded import BIN
from tests.support.name_server import name_server
from tests.support.operator import Ended, Operator

PASSWORD = "AVNS_secret"
GIVEN = {
    "CCR_COMMAND": "switchover",
    "CCR_PROJECT": "prod",
    "CCR_OLD_PRIMARY": "cache-eu",
    "CCR_NEW_PRIMARY": "cache-us",
    "CCR_NEW_URI": f"rediss://default:{PASSWORD}@cache-us.example.net:12345/0",
    "CCR_CHANGED": "yes",
    "CCR_RUN_ID": "20261128T124701Z-3ef2d1",
}
"""What ccr-avn gives to a hook."""

FACTS = {name.removeprefix("CCR_").lower(): word for name, word in GIVEN.items() if name != "CCR_NEW_URI"}
KEY = base64.b64encode(b"a key of thirty-two bytes, or so").decode()

HOOK_FILES = EXAMPLES / "hooks"


def ran(home: Path, hook: str, **environment: str) -> Ended:
    return started(home, "sh", "-c", f"{HOOK_FILES}/{hook}", **GIVEN, **environment)


@contextmanager
def somebody(how: str, fine: tuple[int, Any]) -> Iterator[Somebody]:
    """Who ``answers``, ``refuses``, ``hangs`` or is ``away``."""
    answers: dict[str, Answer] = {"answers": lambda _: fine, "refuses": lambda _: (403, fine[1])}
    with ExitStack() as stack:
        there = stack.enter_context(answering(answers.get(how)))
        if how == "away":
            stack.close()
        yield there


def slack_was_told(request: Request) -> None:
    text = json.loads(request.body)["text"]
    assert "ccr-avn switchover done: cache-eu > cache-us, project prod; changed: yes" in text


def pagerduty_was_told(request: Request) -> None:
    sent = json.loads(request.body)
    assert (sent["routing_key"], sent["event_action"]) == ("the-secret", "resolve")
    assert sent["dedup_key"] == "ccr-avn/prod/cache-eu"
    assert sent["payload"]["custom_details"] == FACTS


def webhook_was_told(request: Request) -> None:
    assert request.headers["authorization"] == "Bearer the-secret"
    assert {**FACTS, "failed": False}.items() <= json.loads(request.body).items()


def consul_has_it(request: Request) -> None:
    assert (request.method, request.path) == ("PUT", "/v1/kv/services/cache/primary")
    assert (request.body, request.headers["x-consul-token"]) == ("cache-us.example.net:12345", "the-secret")


HOOKS = {
    "notify slack done": ((200, "ok"), slack_was_told),
    "notify pagerduty done": ((202, {"status": "success"}), pagerduty_was_told),
    "notify webhook done": ((204, ""), webhook_was_told),
    "consul services/cache/primary": ((200, "true"), consul_has_it),
}
QUICKLY = dict.fromkeys(("NOTIFY_SECONDS", "CONSUL_SECONDS", "DNS_SECONDS", "KUBECTL_SECONDS"), "1")


def settings(home: Path, url: str) -> dict[str, str]:
    """What the hooks are told about where the others are, as their heads say."""
    secret = home / "secret"
    secret.write_text("the-secret\n")
    files = {"slack": f"{url}/the-secret", "pagerduty": "the-secret", "webhook": f"{url}\nthe-secret"}
    for name, text in files.items():
        (home / name).write_text(text + "\n")
    where = {"NOTIFY_DIR": str(home), "PAGERDUTY_URL": url, "CONSUL_HTTP_ADDR": url}
    return {**where, "CONSUL_HTTP_TOKEN_FILE": str(secret)}


ANSWERED = [(hook, "answers") for hook in HOOKS]
UNANSWERED = [(list(HOOKS)[place], how) for place in (-2, -1) for how in ("refuses", "hangs", "away")]


@pytest.mark.slow
@pytest.mark.parametrize(("hook", "how"), [*ANSWERED, *UNANSWERED])
def test_a_hook_tells_or_fails_with_one_line_and_no_secret(tmp_path: Path, hook: str, how: str) -> None:
    fine, holds = HOOKS[hook]
    with somebody(how, fine) as there:
        limit = QUICKLY if how == "hangs" else {}
        done = ran(tmp_path, hook, **settings(tmp_path, there.url), **limit)
    shown = done.out + done.err
    assert (done.code != 0, len(done.err.splitlines()) > 0) == (how != "answers", how != "answers"), shown
    assert len(done.err.splitlines()) <= 2
    assert not [secret for secret in (PASSWORD, "the-secret") if secret in shown]
    if how == "answers":
        [request] = there.requests
        assert PASSWORD not in request.body
        holds(request)


def test_hooks_as_a_switchover_runs_them(operator: Operator) -> None:
    """A hook that fails is a warning; what it says is shown, and the run ends as it would."""
    cached(operator)
    pair = ("switchover", "cache-eu", "cache-us", "--yes", "--poll-interval", "0.5")
    tell = f"{HOOK_FILES}/notify slack"
    with answering(lambda _: (200, "ok")) as slack:
        where = settings(operator.home, slack.url)
        operator.ends(4, *pair, "--before", "false", "--on-failure", f"{tell} failed", **where)
        assert "switchover failed: cache-eu > cache-us, project sandbox; changed: no" in slack.sent["text"]
    with answering(None) as slack:
        where = settings(operator.home, slack.url)
        says = ("after| slack was not notified: no answer in 1 s", "after: exit 1")
        operator.ends(0, *pair, "--after", f"{tell} done", says=says, **where, **QUICKLY)


@pytest.mark.skipif(shutil.which("nsupdate") is None, reason="nsupdate is missing (Debian: apt install bind9-dnsutils)")
def test_a_name_is_moved_only_if_it_is_there_and_the_update_is_signed(tmp_path: Path) -> None:
    keys = {name: tmp_path / f"{name}.key" for name in ("right", "wrong")}
    for name, file in keys.items():
        secret = KEY if name == "right" else base64.b64encode(b"another").decode()
        file.write_text(f'key "ccr-avn." {{ algorithm hmac-sha256; secret "{secret}"; }};\n')
    records = {"cache.example.com.": "cache-eu.example.net."}
    with name_server(KEY, records) as port:
        for name, key, code in (("cache", "wrong", 1), ("misspelt", "right", 1), ("cache", "right", 0)):
            before = dict(records)
            hook = f"dns {name}.example.com 127.0.0.1 {port}"
            done = ran(tmp_path, hook, **QUICKLY, DNS_KEY_FILE=str(keys[key]))
            assert (done.code, (records == before)) == (code, code == 1), done.out + done.err
            assert not [secret for secret in (PASSWORD, KEY) if secret in done.out + done.err]
    assert records == {"cache.example.com.": "cache-us.example.net."}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        hook = f"dns cache.example.com 127.0.0.1 {silent.getsockname()[1]}"
        hung = ran(tmp_path, hook, **QUICKLY, DNS_KEY_FILE=str(keys["right"]))
    assert (hung.code, "cache.example.com was not updated" in hung.err) == (1, True)


def cluster(request: Request) -> tuple[int, Any]:
    """As much of a cluster's API as kubectl asks for."""
    kinds = {"/api/v1": ("secrets", "Secret"), "/apis/apps/v1": ("deployments", "Deployment")}
    path = request.path.partition("?")[0]
    if path == "/api":
        return 200, {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        version = {"groupVersion": "apps/v1", "version": "v1"}
        group = {"name": "apps", "versions": [version], "preferredVersion": version}
        return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
    if path in kinds:
        name, kind = kinds[path]
        one = {"name": name, "kind": kind, "namespaced": True, "verbs": ["get", "patch"], "singularName": kind.lower()}
        return 200, {"kind": "APIResourceList", "groupVersion": path.split("/", 2)[2], "resources": [one]}
    if path == "/api/v1/namespaces/shop/secrets/cache":
        return 200, {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "cache", "namespace": "shop"}}
    if path == "/apis/apps/v1/namespaces/shop/deployments/web":
        labels = {"app": "web"}
        containers = {"containers": [{"name": "web", "image": "web"}]}
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": containers}}
        there = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "shop"}}
        return 200, {**there, "spec": spec}
    return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is missing")
def test_a_secret_of_a_cluster_is_patched_and_its_readers_are_restarted(tmp_path: Path) -> None:
    env = tmp_path / "cache.env"
    env.write_text("REDIS_URL='rediss://default:p%40ss@us:1/0'\nVALKEY_URL='valkeys://default:p%40ss@us:1/0'\n")
    with answering(cluster) as api, answering(None) as silent:
        config: dict[str, Any] = {"kind": "Config", "apiVersion": "v1", "current-context": "c"}
        config |= {"clusters": [{"name": "c", "cluster": {"server": api.url}}], "users": [{"name": "u", "user": {}}]}
        config |= {"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        hook = f"kubernetes-secret {env} shop"
        where = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "PATH": f"{BIN}:{os.environ['PATH']}"}
        lost = ran(tmp_path, f"{hook} no-such-secret deployment/web", **where)
        assert (lost.code != 0, [one for one in api.requests if one.method == "PATCH"]) == (True, [])
        done = ran(tmp_path, f"{hook} cache deployment/web", **where)
        hanging = (tmp_path / "kubeconfig").read_text().replace(api.url, silent.url)
        (tmp_path / "kubeconfig").write_text(hanging)
        hung = ran(tmp_path, f"{hook} cache", **where, **QUICKLY)
    assert done.code == 0, done.out + done.err
    assert (hung.code, "cache was not patched" in hung.err) == (1, True)
    secret, deployment = (json.loads(one.body) for one in api.requests if one.method == "PATCH")
    wanted = {"REDIS_URL": "rediss://default:p%40ss@us:1/0", "VALKEY_URL": "valkeys://default:p%40ss@us:1/0"}
    assert secret == {"stringData": wanted}
    assert "restartedAt" in str(deployment)
    assert "p%40ss" not in done.out + done.err + lost.out + lost.err


@pytest.mark.skipif(not (BIN / "shellcheck").exists(), reason="shellcheck is not installed")
def test_the_shell_scripts_pass_shellcheck(tmp_path: Path) -> None:
    scripts = [str(one) for one in HOOK_FILES.iterdir() if one.read_text().startswith("#!/bin/sh")]
    done = started(tmp_path, "shellcheck", *scripts)
    assert (len(scripts), done.code) == (3, 0), done.out
