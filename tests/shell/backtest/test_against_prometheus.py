"""The command as a user runs it, against a real Prometheus: found, killed, gone on with, and compared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest

from kvwatch.facts import Scrape
from kvwatch.parse.history import HistoryReader
from kvwatch.shell.backtest.run import span_of_recordings
from kvwatch.shell.prometheus import history
from kvwatch.shell.prometheus.api import Api, PrometheusError, Server
from kvwatch.shell.recordings.replay import Recording
from tests.prometheus_server import require_prometheus, scraped, serving, times_of
from tests.shell.backtest.conftest import RAMP, SERVERS

pytestmark = pytest.mark.prometheus
require_prometheus()

SPAN = span_of_recordings([RAMP])
START, END = SPAN.start - 300, SPAN.end + 60
RULES = """
groups:
  - name: mine
    interval: 15s
    rules:
      - alert: Waiting
        expr: vllm:num_requests_waiting > 10
        for: 30s
      - alert: NoSuchMetric
        expr: nothing_of_the_kind > 1
"""
_POLL_SECONDS = 0.02


def command(address: str, *more: str, start: float = START, end: float = END) -> list[str]:
    """The command line."""
    base = [sys.executable, "-m", "kvwatch", "backtest", "--prometheus", address, "--queue-for", "30s"]
    return [*base, "--start", str(start), "--end", str(end), *more]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=300)


async def test_servers_and_their_scrapes_are_those_that_there_were(prometheus: str) -> None:
    """Both servers, the interval of their scrapes, and each scrape at its own time with its own numbers."""
    async with Api(Server(prometheus, queries_per_second=1000.0)) as api:
        targets = await history.find_targets(api, (), START, END)
        assert [target.name for target in targets] == ["vllm-0:8000", "vllm-1:8000"]
        assert targets[0].models == ("tiny",)
        only = await history.find_targets(api, (history.matchers_of('{instance=~"vllm-1.*"}'),), START, END)
        assert [target.name for target in only] == ["vllm-1:8000"]
        interval = await history.scrape_interval(api, targets[0], START, END)
        assert interval == pytest.approx(5.0, abs=0.1)  # recorded each second, by a clock that drifts a little
        reader = HistoryReader()
        found = [
            scrape
            async for _, _, series in history.windows(api, targets[0], START, END, 5.0)
            for scrape in reader.read(series)
        ]
    recorded = {round(s.at, 3): s for s in Recording(RAMP, print).scrapes() if isinstance(s, Scrape)}
    assert set(times_of(found)) <= set(recorded)
    assert len(found) == len({line.rpartition(" ")[2] for line in scraped(RAMP, SERVERS[0], every=4.5)})
    for scrape in found:
        assert isinstance(scrape, Scrape)
        assert scrape.engines == recorded[scrape.at].engines


async def test_a_server_that_allows_few_samples_is_asked_in_smaller_pieces(tmp_path: Path) -> None:
    """Prometheus refuses what would load too many samples; the same scrapes come in more answers."""
    limit = "--query.max-samples=4000"  # the seven minutes have some 8,000 samples that are read
    with serving(tmp_path / "small", scraped(RAMP, SERVERS[0], every=4.5), limit) as address:
        async with Api(Server(address, queries_per_second=1000.0)) as api:
            (target,) = await history.find_targets(api, (), START, END)
            windows = [window async for window in history.windows(api, target, START, END, 5.0)]
    assert len(windows) > 2
    reader = HistoryReader()
    found = [scrape for _, _, series in windows for scrape in reader.read(series)]
    assert len(found) == len({line.rpartition(" ")[2] for line in scraped(RAMP, SERVERS[0], every=4.5)})


async def test_what_is_too_much_even_for_a_minute_is_said(tmp_path: Path) -> None:
    """With the server's own words."""
    with serving(tmp_path / "tiny", scraped(RAMP, SERVERS[0], every=4.5), "--query.max-samples=50") as address:
        async with Api(Server(address, queries_per_second=1000.0)) as api:
            (target,) = await history.find_targets(api, (), START, END)
            with pytest.raises(PrometheusError, match=r"even .* of vllm-0:8000 are too much: .*too many samples"):
                async for _ in history.windows(api, target, START, END, 5.0):
                    pass


def test_killed_and_run_again_it_says_the_same_to_the_letter(prometheus: str, tmp_path: Path) -> None:
    """Kill -9 of all its processes once one server is done; the same command then ends with the same reports."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    shared = ("--rules", str(rules), "--processes", "1", "--max-num-seqs", "256", "--max-num-batched-tokens", "512")

    def reports(name: str) -> list[str]:
        return [f for kind in ("html", "json", "md") for f in ("--output", str(tmp_path / f"{name}.{kind}"))]

    whole = run(*command(prometheus, *shared, *reports("whole"), "--checkpoint", str(tmp_path / "a")))
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "b"
    arguments = command(prometheus, *shared, *reports("again"), "--checkpoint", str(folder))
    slowly = [*arguments, "--queries-per-second", "2"]
    with subprocess.Popen(slowly, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as killed:
        deadline = time.monotonic() + 240
        while not (folder / "servers" / "00000" / "done.json").is_file():
            assert killed.poll() is None, killed.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(_POLL_SECONDS)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    assert not (tmp_path / "again.html").exists()
    again = run(*arguments)
    assert again.returncode == 0, again.stderr
    assert "going on with the run" in again.stderr
    for kind in ("html", "json", "md"):
        assert (tmp_path / f"again.{kind}").read_bytes() == (tmp_path / f"whole.{kind}").read_bytes(), kind
    document = json.loads((tmp_path / "whole.json").read_text())
    assert [server["name"] for server in document["servers"]] == ["vllm-0:8000", "vllm-1:8000"]
    assert document["incidents"]
    yours = document["sides"][1]
    assert [page["alerts"] for page in yours["paged"]] == [["Waiting"]]
    assert "nothing_of_the_kind" in yours["not_evaluated"]["NoSuchMetric"]


def test_a_prometheus_and_a_recording_of_the_same_scrapes_say_the_same(tmp_path: Path) -> None:
    """Where the samples lie makes no difference to the estimates, the pages or the queues."""
    with serving(tmp_path / "prometheus", scraped(RAMP, {"job": "vllm", "instance": "ramp11"})) as address:
        settings = ("--max-num-seqs", "256", "--max-num-batched-tokens", "512", "--max-model-len", "4096")
        exactly = {"start": round(SPAN.start, 3) - 0.001, "end": SPAN.end}
        asked = run(*command(address, *settings, "--output", str(tmp_path / "a.json"), **exactly))
        assert asked.returncode == 0, asked.stderr
    base = [sys.executable, "-m", "kvwatch", "backtest", "--recording", str(RAMP), "--queue-for", "30s"]
    recorded = run(*base, "--output", str(tmp_path / "b.json"))
    assert recorded.returncode == 0, recorded.stderr
    one, other = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert [i["start"] for i in one["incidents"]] == [i["start"] for i in other["incidents"]]
    assert one["sides"][0]["paged"] == other["sides"][0]["paged"]
    assert one["servers"][0]["scrapes"] == other["servers"][0]["scrapes"]
    judged = [document["servers"][0]["judged_ratio"] for document in (one, other)]
    assert judged[0] == pytest.approx(judged[1])


FAULTS = [
    (("--match", 'namespace="none"'), 1, "has no series of a vLLM"),
    (("--match", "namespace=prod"), 2, "no selector of labels"),
    (("--end", str(START + 60)), 2, "give 5 min or more"),
    (("--bearer-token-file", "a", "--username", "b", "--password-file", "c"), 2, "not both"),
    (("--output", "/no/such/folder/x.html"), 1, "its folder does not exist"),
]


@pytest.mark.parametrize(("more", "code", "words"), FAULTS)
def test_each_mistake_has_its_message(
    prometheus: str, tmp_path: Path, more: tuple[str, ...], code: int, words: str
) -> None:
    """One line that says what is wrong, and no traceback."""
    done = run(*command(prometheus, "--checkpoint", str(tmp_path / "c"), *more))
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_scrapes_that_are_too_far_apart_are_refused_with_what_to_do(tmp_path: Path) -> None:
    """At three minutes there is nothing to see of a minute."""
    lines = chain.from_iterable(scraped(RAMP, {"job": "vllm", "instance": name}, every=160.0) for name in ("a", "b"))
    with serving(tmp_path / "coarse", lines) as address:
        done = run(*command(address, "--checkpoint", str(tmp_path / "c")))
    assert done.returncode == 1
    assert "a is scraped every 1" in done.stderr
    assert "lower scrape_interval" in done.stderr
