"""Pods of a cluster: which are targets, and that the watch survives what an API server does to it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kvwatch.facts import Settings, SettingSource
from kvwatch.shell.discovery import Found, KubernetesSettings, KubernetesSource
from tests.shell.discovery.kube_api import LATER, STARTED, TLS, KubeApi, kube_api, pod
from tests.shell.discovery.test_sources import Seen, running

NOTHING_SAID = Settings(source=SettingSource.POD)
"""What a pod shows of which no container is known to be a server."""


@asynccontextmanager
async def cluster(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *pods: dict[str, object],
    port: str = "8000",
    page: int = 500,
    namespaces: tuple[str, ...] = (),
    forbidden: tuple[str, ...] = (),
    patience: float = 30.0,
) -> AsyncIterator[tuple[KubeApi, Seen]]:
    """A source that runs as a pod does, and the API that it asks."""
    async with kube_api() as (api, number):
        api.page = page
        api.forbidden = set(forbidden)
        for one in pods:
            await api.change("ADDED", one)
        shutil.copy(TLS / "ca.crt", folder / "ca.crt")
        (folder / "token").write_text("first\n")
        (folder / "namespace").write_text("models")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(number))
        settings = KubernetesSettings(namespaces, "app=vllm", port, "llm-d.ai/role", None, folder, 0.02, patience)
        async with running(KubernetesSource(settings)) as seen:
            yield api, seen


def names(seen: Seen) -> list[str]:
    """The targets of the last delivery."""
    return sorted(one.name for one in seen.found[-1]) if seen.found else []


async def test_pods_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list gives those that are there, the watch those that change; only pods are asked for, by label."""
    async with cluster(tmp_path, monkeypatch, pod("a"), pod("b", "fd00::2")) as (api, seen):
        await seen.until(lambda: names(seen) == ["models/a:8000", "models/b:8000"])
        assert seen.found[-1][1].address == "[fd00::2]:8000"
        await api.change("ADDED", pod("c", "10.0.0.3"))
        await seen.until(lambda: len(names(seen)) == 3)
        await api.change("DELETED", pod("a"))
        await seen.until(lambda: names(seen) == ["models/b:8000", "models/c:8000"])
        assert api.lists == 1
        assert not seen.failures
        assert all(query["labelSelector"] == "app=vllm" for query in api.queries)


async def test_a_pod_is_a_target_from_when_it_is_first_ready_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that starts is none yet; one that fails its probe under load still is; a restart or deletion ends it."""
    async with cluster(tmp_path, monkeypatch, pod("a"), pod("b", ready=False)) as (api, seen):
        await seen.until(lambda: names(seen) == ["models/a:8000"])
        await api.change("MODIFIED", pod("b", ready=True))
        await seen.until(lambda: len(names(seen)) == 2)
        before = len(seen.found)
        await api.change("MODIFIED", pod("b", ready=False))
        await seen.until(lambda: len(seen.found) > before)
        assert len(names(seen)) == 2
        await api.change("MODIFIED", pod("b", ready=False, restarts=1))
        await seen.until(lambda: names(seen) == ["models/a:8000"])
        await api.change("MODIFIED", pod("a", deleting=True))
        await seen.until(lambda: names(seen) == [])


async def test_a_pod_that_was_ready_before_kvwatch_started_is_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fails its probe is, if it does so since a time after its container started; one that starts is not."""
    again = {"running": {"startedAt": LATER}}
    crashed = {"waiting": {"reason": "CrashLoopBackOff"}}
    pods = [
        pod("overloaded", ready=False, since=LATER),
        pod("loads-its-weights", "10.0.0.2", ready=False),
        pod("started-at-once", "10.0.0.3", ready=False, since=STARTED),
        pod("has-restarted", "10.0.0.4", ready=False, since=LATER, state=again, restarts=1),
        pod("has-crashed", "10.0.0.5", ready=False, since=LATER, state=crashed),
        pod("without-times", "10.0.0.6", ready=False, since=None),
        pod("with-other-times", "10.0.0.7", ready=False, since="yesterday"),
        pod("without-a-zone", "10.0.0.8", ready=False, since="2026-11-30T09:20:00"),
    ]
    async with cluster(tmp_path, monkeypatch, *pods) as (_api, seen):
        await seen.until(lambda: bool(seen.found))
        assert names(seen) == ["models/overloaded:8000"]
        assert not seen.failures


async def test_ports_roles_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is a number or a container's port by name, an annotation wins, and a label tells the role."""
    told = {"prometheus.io/port": "9000", "prometheus.io/path": "/m", "prometheus.io/scheme": "https"}
    pods = [
        pod("plain", "10.0.0.1", labels={"llm-d.ai/role": "decode"}),
        pod("told", "10.0.0.2", annotations=told),
        pod("other", "10.0.0.3", annotations={"prometheus.io/port": "no-such"}),
    ]
    async with cluster(tmp_path, monkeypatch, *pods, port="http") as (_api, seen):
        await seen.until(lambda: bool(seen.found))
        assert set(seen.found[-1]) == {
            Found("10.0.0.1:8080", "models/plain:8080", (("role", "decode"),), NOTHING_SAID),
            Found(
                "10.0.0.2:9000", "models/told:9000", (("__scheme__", "https"), ("__metrics_path__", "/m")), NOTHING_SAID
            ),
        }


async def test_a_pod_shows_what_its_server_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And tells of each change, as when a rollout has other flags."""
    server = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model", "m", "--max-num-seqs", "37"]}
    async with cluster(tmp_path, monkeypatch, pod("a") | {"spec": {"containers": [server]}}) as (api, seen):
        await seen.until(lambda: bool(seen.found))
        assert seen.found[-1][0].settings == Settings(37, source=SettingSource.POD, complete=True)
        changed = server | {"args": ["--model", "m", "--max-num-seqs", "64"]}
        await api.change("MODIFIED", pod("a") | {"spec": {"containers": [changed]}})
        await seen.until(lambda: seen.found[-1][0].settings == Settings(64, source=SettingSource.POD, complete=True))


@pytest.mark.parametrize("as_event", [True, False])
async def test_a_version_that_is_gone_is_listed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_event: bool
) -> None:
    """After a long break the server no longer knows the version: as an event or as a status, all is listed again."""
    async with cluster(tmp_path, monkeypatch, pod("a")) as (api, seen):
        api.gone_as_event = as_event
        await seen.until(lambda: api.watches == 1 and bool(api.open))
        api.pods.clear()
        api.pods["uid-b"] = pod("b")
        api.oldest = api.version = 1000
        api.disconnect()
        await seen.until(lambda: names(seen) == ["models/b:8000"])
        assert api.lists == 2
        assert api.watched_from[-2:] == ["101", "1000"] or api.watched_from[-1] == "101"


async def test_a_cut_connection_goes_on_from_the_last_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is listed again, bookmarks move the version on, and what happened meanwhile is not missed."""
    async with cluster(tmp_path, monkeypatch, pod("a")) as (api, seen):
        await seen.until(lambda: bool(api.open))
        await api.bookmark()
        await api.change("ADDED", pod("b"))
        await seen.until(lambda: len(names(seen)) == 2)
        api.log = [entry for entry in api.log if entry[0] > 112]
        version = str(api.version)
        api.disconnect()
        await api.change("ADDED", pod("c"))
        await seen.until(lambda: len(names(seen)) == 3)
        assert api.lists == 1
        assert api.watched_from[-1] == version


async def test_refusals_keep_the_targets_and_a_rotated_token_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 after the token has expired, then 500: both are told, nothing is lost, and the new token is used."""
    async with cluster(tmp_path, monkeypatch, pod("a")) as (api, seen):
        await seen.until(lambda: bool(api.open))
        api.token = "second"
        api.disconnect()
        await seen.until(lambda: any("401" in failure for failure in seen.failures))
        api.status = 500
        (tmp_path / "token").write_text("second\n")
        await seen.until(lambda: any("500" in failure for failure in seen.failures))
        assert names(seen) == ["models/a:8000"]
        api.status = 200
        await api.change("ADDED", pod("b"))
        await seen.until(lambda: len(names(seen)) == 2)


async def test_a_quiet_namespace_that_is_reached_again_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pod changes, and yet the source is told to be whole again, with the targets that it had."""
    async with cluster(tmp_path, monkeypatch, pod("a")) as (api, seen):
        await seen.until(lambda: bool(api.open))
        api.status = 503
        api.disconnect()
        await seen.until(lambda: any("503" in failure for failure in seen.failures))
        delivered = len(seen.found)
        api.status = 200
        await seen.until(lambda: len(seen.found) > delivered)
        assert names(seen) == ["models/a:8000"]
        assert seen.whole[-1]


async def test_a_cut_connection_in_a_quiet_namespace_is_told_to_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch goes on from its version, so that nothing is listed; that it goes on is enough."""
    async with cluster(tmp_path, monkeypatch, pod("a")) as (api, seen):
        await seen.until(lambda: bool(api.open))
        delivered = len(seen.found)
        api.disconnect()
        await seen.until(lambda: bool(seen.failures))
        await seen.until(lambda: len(seen.found) > delivered)
        assert api.lists == 1
        assert seen.whole[-1]


async def test_many_pods_come_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list longer than a page is read to its end before anything is told of it."""
    pods = [pod(f"p{n}", f"10.0.1.{n}") for n in range(7)]
    async with cluster(tmp_path, monkeypatch, *pods, page=3) as (api, seen):
        await seen.until(lambda: bool(seen.found))
        assert len(seen.found[0]) == 7
        assert api.lists == 3


async def test_a_forbidden_namespace_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while all are waited for; then what is known is told, as a part; what is allowed later makes it whole."""
    both = ("models", "team-b")
    async with cluster(tmp_path, monkeypatch, pod("a"), namespaces=both, forbidden=("team-b",), patience=0.2) as (
        api,
        seen,
    ):
        await seen.until(lambda: names(seen) == ["models/a:8000"])
        assert not seen.whole[-1]
        assert any("team-b" in failure for failure in seen.failures)
        await api.change("ADDED", pod("b"))
        await seen.until(lambda: len(names(seen)) == 2)
        assert not seen.whole[-1]
        api.forbidden.clear()
        await seen.until(lambda: seen.whole[-1])


async def test_nothing_is_told_while_all_namespaces_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then half of what is there is not taken for all, and where nothing can be read nothing is told at all."""
    both = ("models", "team-b")
    async with cluster(tmp_path, monkeypatch, pod("a"), namespaces=both, forbidden=("team-b",)) as (_api, seen):
        await seen.until(lambda: len(seen.failures) > 2)
        assert not seen.found
    async with cluster(tmp_path, monkeypatch, pod("a"), namespaces=both, forbidden=both, patience=0.0) as (_api, seen):
        await seen.until(lambda: len(seen.failures) > 4)
        assert not seen.found
