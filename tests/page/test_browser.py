"""The page as a browser shows it: what is read first, by eye, by keyboard and by screen reader, on any screen."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.page.conftest import LOAD_MS, Open
from tests.page.stage import OTHERS, SCENES, on_stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
OTHER = f"#target={OTHERS[0].target.replace(':', '%3A')}&model_name={OTHERS[0].model_name}&engine=0"


async def text(page: Page, selector: str) -> str:
    """What one reads in a part of the page."""
    return " ".join((await page.locator(selector).first.inner_text()).split())


@pytest.mark.parametrize(
    ("scene", "headline", "why"),
    [
        ("quiet", "All 3 engines have room", "requests/s are used"),
        ("approaching", "1 of 3 engines is near its limit", "Full in about"),
        ("overloaded", "1 of 3 engines is overloaded", "more than it can serve"),
        ("draining", "1 of 3 engines is catching up", "the queue is empty in about"),
        ("hung", "1 of 3 engines hangs", "Send it one request. If no answer comes, restart it"),
        ("saturated", "1 of 3 engines is at its limit", "KV cache memory runs out first"),
        ("evicting", "1 of 3 engines evicts requests", "9% of the throughput is lost"),
        ("standing", "1 of 3 engines has a queue that does not empty", "40 have waited for about 4 min"),
        ("unknown", "1 of 3 engines cannot be judged", "a metric that the estimate needs is not exported"),
        ("warming_up", "llama-3-70b is warming up", "7 requests run. How many arrive is known in about 40 s."),
        ("idle", "llama-3-70b is idle", "Nothing arrives."),
        ("out of sight", "1 server does not answer; both engines have room", "10.0.0.21:8000 (connection: refused)"),
        ("one", "llama-3-70b is overloaded", "more than it can serve"),
        ("none", "No engine can be seen", "None of the servers below answers"),
        ("waiting", "No engine has been read yet", "kvwatch reads /metrics"),
        ("many", "1 of 200 engines is overloaded", "more than it can serve"),
    ],
)
async def test_the_first_words_say_who_is_in_trouble_and_why(opened: Open, scene: str, headline: str, why: str) -> None:
    """In the largest letters, above everything else."""
    async with on_stage(scene) as server, opened(server) as page:
        assert await text(page, "#verdict h1") == headline
        assert why in await text(page, "#verdict")
        sizes = await page.eval_on_selector_all(
            "h1, h2, h3, td, p",
            "nodes => nodes.map(node => [node.tagName, parseFloat(getComputedStyle(node).fontSize)])",
        )
        assert max(size for tag, size in sizes) == next(size for tag, size in sizes if tag == "H1")


async def test_what_to_do_can_be_copied(opened: Open) -> None:
    """The flag that helps, beside the headline, in one click."""
    async with on_stage("overloaded") as server, opened(server) as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        assert (await text(page, ".do")).startswith("DO Restart it with")
        assert "to serve about 19% more" in await text(page, ".do")
        await page.locator(".do .copy").click()
        assert await page.evaluate("navigator.clipboard.readText()") == "--max-num-seqs 37"


async def test_the_engine_that_needs_somebody_is_on_top_and_shown_in_full(opened: Open) -> None:
    """Its row is the first, its charts have lines, and what is not known says so."""
    async with on_stage("overloaded") as server, opened(server) as page:
        await page.wait_for_selector(".chart svg .line")
        assert await text(page, "#engines tbody tr") == await text(page, "#engines tbody tr[data-state=overloaded]")
        assert "Overloaded" in await text(page, "#detail .head")
        assert await page.locator("#engines tbody tr").count() == len(SCENES["overloaded"][0])
        drawn = await page.locator(".chart:not(.empty)").count()
        assert drawn >= 4
        lines = await page.eval_on_selector_all(
            ".chart svg .line", "nodes => nodes.map(node => node.getAttribute('d'))"
        )
        assert all("NaN" not in line for line in lines)


async def test_nothing_is_red_while_all_is_well(opened: Open) -> None:
    """And nothing of an engine in trouble is green: colour says one thing."""
    async with on_stage("quiet") as server, opened(server) as page:
        assert await page.locator("[data-state=overloaded], [data-state=evicting], [data-state=hung]").count() == 0
    async with on_stage("overloaded") as server, opened(server) as page:
        row = page.locator("#engines tbody tr[data-state=overloaded]")
        colours = await row.evaluate(
            "row => [...row.querySelectorAll('.chip, .used')].map(n => getComputedStyle(n).getPropertyValue('--state'))"
        )
        assert len(set(colours)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1600, 1280, 900, 390])
async def test_nothing_is_wider_than_the_screen(opened: Open, width: int, scheme: str) -> None:
    """From a wall to a phone, by day and by night, and with a long name."""
    async with on_stage("overloaded") as server, opened(server, width=width, scheme=scheme) as page:
        await page.wait_for_selector(".chart svg .line")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        parts = "#verdict, #engines td:not(:empty), .chart, .facts"
        outside = await page.eval_on_selector_all(
            parts, "(nodes, width) => nodes.filter(n => n.getBoundingClientRect().right > width + 1).length", width
        )
        assert outside == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene != "many"])
async def test_text_stands_out_from_what_is_behind_it(opened: Open, scene: str, scheme: str) -> None:
    """Contrast of 4.5 to 1, as WCAG's level AA asks, for every text of the page in every state."""
    async with on_stage(scene) as server, opened(server, scheme=scheme) as page:
        if SCENES[scene][0]:
            await page.wait_for_selector(".chart :is(p, svg)")
        assert await page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("scene", ["hung", "unknown", "warming_up", "out of sight", "many"])
async def test_every_state_fits_a_phone_and_says_what_each_number_is(opened: Open, scene: str) -> None:
    """Nothing is cut, and the cards' numbers have the names that the columns have on a wide screen."""
    async with on_stage(scene) as server, opened(server, width=390) as page:
        await page.wait_for_selector(".chart :is(p, svg)")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        names = await page.eval_on_selector_all(
            "#engines td.queue", "nodes => nodes.map(n => getComputedStyle(n, '::before').content)"
        )
        assert set(names) <= {"attr(data-title)", '"Queue"'}
        rooms = await page.locator("#engines td.room").all_inner_texts()
        assert all("req/s" in room for room in rooms if any(digit in room for digit in "0123456789"))


async def test_what_a_hung_engine_did_before_stays_in_sight_and_nothing_is_called_not_known_yet(opened: Open) -> None:
    """Its lines end where it stopped; the facts hold no column of dashes."""
    async with on_stage("hung") as server, opened(server) as page:
        await page.wait_for_selector(".chart svg .line")
        assert "Not known yet" not in await text(page, "#detail")
        facts = await page.locator(".facts dd").all_inner_texts()
        assert "–" not in facts


async def test_one_that_cannot_be_judged_says_what_to_do(opened: Open) -> None:
    """It is no calm engine: until its numbers are back, no page warns of its overload. Its runbook is one click off."""
    async with on_stage("unknown") as server, opened(server) as page:
        link = page.locator(".do a", has_text="KvwatchEstimateInvalid")
        assert await link.get_attribute("href") == "runbooks/KvwatchEstimateInvalid.md"


@pytest.mark.parametrize("scene", ["overloaded", "hung", "draining"])
async def test_it_says_since_when(opened: Open, scene: str) -> None:
    """Beside the name of the engine in trouble and in its row, by the clock that the page shows."""
    began = {"overloaded": 9.5, "hung": 4.0, "draining": 1.5}[scene]
    async with on_stage(scene) as server, opened(server) as page:
        time = re.search(r"since (\d\d):(\d\d)", await text(page, "#verdict"))
        assert time is not None
        now = re.search(r"(\d\d):(\d\d):(\d\d)", await text(page, "#live"))
        assert now is not None
        minutes = 60 * int(now[1]) + int(now[2]) + int(now[3]) / 60 - 60 * int(time[1]) - int(time[2])
        # the clock without seconds, a look each 15 s, and the noise of a load that passes its limit
        assert abs(minutes - began) <= 1.25
        assert time[0] in await text(page, "#engines tbody tr .state")
        assert "since" not in await text(page, "#engines tbody tr[data-state=fine] .state")


async def test_on_a_phone_whoever_needs_somebody_is_named_before_the_first_card(opened: Open) -> None:
    """And has a card without a touch; calm ones are below."""
    async with on_stage("many") as server, opened(server, width=390) as page:
        await page.wait_for_selector("#engines tbody tr")
        assert "Also near its limit: model-3 on" in await text(page, "#verdict")
        assert await page.locator("#verdict .others a").count() == 4
        assert "and 1 more" in await text(page, "#verdict .others")
        states = await page.eval_on_selector_all("#engines tbody tr", "rows => rows.map(row => row.dataset.state)")
        assert states == ["overloaded", *["approaching"] * 5]
        box = await page.locator("#verdict .others").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 844


async def test_the_room_of_an_engine_that_catches_up_is_not_for_now(opened: Open) -> None:
    """Whoever comes now waits behind those that do."""
    async with on_stage("draining") as server, opened(server) as page:
        assert "once its queue is empty" in await text(page, "#engines tbody tr[data-state=draining] .room")


async def test_what_the_scenes_show_belongs_together(opened: Open) -> None:
    """No more run than the memory holds, and what is advised has the reason that its words give."""
    async with on_stage("overloaded") as server, opened(server) as page:
        await page.wait_for_selector(".facts dd")
        facts = await text(page, ".facts")
        assert "Runs, waits 44, 2,743" in facts
        assert "256 seats" in facts
        assert "Tokens 49,000/s in, 5,250/s out" in facts
        assert "Evictions 0.31 a request" in facts


async def test_a_row_is_opened_by_mouse_and_by_keyboard(opened: Open) -> None:
    """The address follows, so that what one looks at can be sent to somebody."""
    async with on_stage("overloaded") as server, opened(server) as page:
        await page.locator("#engines tbody tr", has_text="qwen-3-32b").locator(".queue").click()
        await expect(page.locator("#detail h2")).to_contain_text("qwen", timeout=LOAD_MS)
        assert page.url.endswith(OTHER)
        await page.locator("#engines a", has_text="llama-3-70b").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#detail h2")).to_contain_text("llama", timeout=LOAD_MS)


async def test_an_address_opens_the_engine_that_it_names(opened: Open) -> None:
    """Though another one is on top."""
    async with on_stage("overloaded") as server, opened(server, OTHER) as page:
        await expect(page.locator("#detail h2")).to_contain_text("qwen", timeout=LOAD_MS)
        assert await text(page, "#verdict h1") == "1 of 3 engines is overloaded"


async def test_arrow_keys_move_through_the_hour_and_are_told_aloud(opened: Open) -> None:
    """What a mouse finds under the pointer is there for whoever has none, and as a table."""
    async with on_stage("overloaded") as server, opened(server) as page:
        await page.wait_for_selector(".chart svg .line")
        now = await text(page, ".chart .readout")
        await page.locator(".charts").focus()
        for _ in range(20):
            await page.keyboard.press("ArrowLeft")
        await page.wait_for_selector(".chart .cross", state="attached")
        assert await text(page, ".chart .readout") != now
        assert "Load, against its limit" in (await page.locator("#detail [aria-live]").text_content() or "")
        await page.locator(".numbers summary").click()
        await page.wait_for_selector(".numbers tbody tr:nth-child(10)")


async def test_every_chart_has_words_and_every_column_a_head(opened: Open) -> None:
    """What a screen reader reads in place of lines and colours."""
    async with on_stage("overloaded") as server, opened(server) as page:
        await page.wait_for_selector(".chart svg .line")
        labels = await page.eval_on_selector_all(
            ".chart svg", "nodes => nodes.map(node => node.getAttribute('aria-label'))"
        )
        assert all(label and "now" in label for label in labels)
        heads = await page.locator("#engines thead th[scope=col]").count()
        assert heads == await page.locator("#engines tbody tr").first.locator("td").count()
        assert await page.locator("html[lang]").count() == 1
        assert await page.locator("h1").count() == 1


async def test_two_hundred_engines_are_shown_in_brief_and_found_by_state(opened: Open) -> None:
    """The first dozen, all on request, and those of one state."""
    async with on_stage("many") as server, opened(server) as page:
        assert await page.locator("#engines tbody tr").count() == 12
        await page.locator(".filter", has_text="Near its limit").click()
        shown = await page.eval_on_selector_all("#engines tbody tr", "rows => rows.map(row => row.dataset.state)")
        assert set(shown) == {"approaching"}
        await page.locator(".filter", has_text="Near its limit").click()
        await page.locator("#more").click()
        assert await page.locator("#engines tbody tr").count() == 200
        assert "10.0.0.21:8000 connection: refused" in await text(page, "#silent")


async def test_a_name_that_is_markup_is_shown_and_not_run(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a server calls its model."""
    evil = "<img src=x onerror=alert(1)><b>bold"
    courses, broken = SCENES["quiet"]
    named = tuple(type(course)(course.load, evil, course.target) for course in courses)
    monkeypatch.setitem(SCENES, "quiet", (named, broken))
    async with on_stage("quiet") as server, opened(server) as page:
        await page.wait_for_selector("#detail h2")
        assert evil in await text(page, "#engines tbody tr .name")
        assert await page.locator("main img, main td b b").count() == 0


async def test_a_lost_connection_is_told_and_found_again(opened: Open) -> None:
    """Old numbers are called old, and new ones come by themselves."""
    async with on_stage("quiet") as server, opened(server, faults_allowed=True) as page:
        assert (await text(page, "#live")).startswith("live")
        await server.stop()
        await page.wait_for_selector("#live[data-live=no]")
        assert "no connection since" in await text(page, "#live")
        async with on_stage("quiet", server.port):
            await page.wait_for_selector("#live[data-live=yes]")
            assert await page.locator("#engines tbody tr").count() == 3


CONTRAST = r"""() => {
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const shown = (node) => node.getClientRects().length && !node.closest(".unseen, noscript, .skip");
  const faults = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    const words = texts.currentNode.textContent.trim();
    if (!words || !shown(node)) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgb(node.closest("svg") ? style.fill : style.color).slice(0, 3)), light(behind(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`${words}: ${contrast.toFixed(2)}`);
  }
  return faults;
}"""
"""Texts whose contrast to the nearest background that is painted is below 4.5."""
