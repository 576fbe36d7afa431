"""The admin page: the pipeline's numbers become right, a node is drained and taken back, and nobody else gets in."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect

from airnode.pipeline.event import new_id_and_time
from airnode.pipeline.events import OrderPlaced, UserSignedIn
from airnode.store.eventlog.log import Record
from tests.support.browser import DESKTOP, PHONE, chromium, watch_requests
from tests.support.eventlog import LogRig
from tests.support.node import AirnodeProcess, Api
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(180)]

ORDERS = 12
WAIT_MS = 30_000


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[AirnodeProcess]:
    """A standalone node that also lands events."""
    process = AirnodeProcess(tmp_path / "data", "--node-name", "shop-1", role="standalone,consumer")
    try:
        yield await process.start()
    finally:
        await process.close()


async def publish(node: AirnodeProcess) -> None:
    """Orders, a user who came back, and what no consumer can read."""
    records = []
    for n in range(ORDERS):
        event_id, at = new_id_and_time()
        records.append(
            OrderPlaced(
                event_id=event_id, occurred_at=at, key=str(n), user_id=n, product_id=5, quantity=1, unit_price_krw=1000
            ).record()
        )
    event_id, at = new_id_and_time()
    records.append(UserSignedIn(event_id=event_id, occurred_at=at, key="1", user_id=1).record())
    records.append(Record("orders", "k", b"this is no event"))
    async with LogRig(redis_url=node["redis_url"]) as rig:
        await (await rig.open()).publish(records)


async def open_page(browser: Browser, url: str, viewport: dict, locale: str) -> tuple[Page, list[str]]:
    page = await browser.new_page(viewport=viewport, locale=locale)
    page.set_default_timeout(WAIT_MS)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(url)
    return page, errors


async def cells(page: Page, topic: str) -> list[str]:
    """Made, landed, waiting and dead counts, without the rates."""
    found = page.locator(f"[data-topic={topic}] td")
    return [(await found.nth(n).inner_text()).split("\n")[0] for n in range(await found.count())]


async def see_the_numbers(page: Page, node: AirnodeProcess) -> None:
    await expect(page.get_by_text("consumer 1")).to_be_visible(timeout=WAIT_MS)
    await publish(node)

    async def right() -> bool:
        return [await cells(page, topic) for topic in ("users", "products", "orders")] == [
            ["0", "1", "0", "0"],
            ["0", "0", "0", "0"],
            ["0", str(ORDERS), "0", "1"],
        ]

    await eventually(right, 30, "the table is right")
    await expect(page.get_by_text(f"Last hour: {ORDERS} sold, ₩12,000")).to_be_visible(timeout=WAIT_MS)
    await expect(page.locator(".letters").get_by_text("Not JSON")).to_be_visible(timeout=WAIT_MS)
    await expect(page.get_by_text("put aside: 1. See them")).to_be_visible(timeout=WAIT_MS)
    await expect(page.get_by_text(f"{ORDERS} sold · ₩12,000")).to_be_visible(timeout=WAIT_MS)
    await expect(page.locator(".plot canvas")).to_have_count(4, timeout=WAIT_MS)
    for unit in ("events/s", "orders/min", "%"):
        assert await page.locator(".chart h3").get_by_text(unit, exact=True).count() == 1


async def drain_and_take_back(page: Page, api: Api) -> None:
    card = page.locator(".node")
    await expect(card.get_by_role("heading", name="shop-1")).to_be_visible(timeout=WAIT_MS)
    await card.get_by_role("button", name="Drain").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Nobody watches there now.")
    await expect(dialog).to_contain_text("the only node that takes viewers")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    assert await card.get_by_text("Healthy").count() == 1, "Esc changes nothing"
    await card.get_by_role("button", name="Drain").click()
    await dialog.get_by_role("button", name="Drain it").click()
    await expect(card.get_by_text("Draining")).to_be_visible(timeout=WAIT_MS)
    await expect(page.get_by_text("No healthy node")).to_be_visible(timeout=WAIT_MS)
    refused = await api.token(user_type="student", user_id="mina", code=api.node["class_code"])
    assert refused[0] == 503
    await card.get_by_role("button", name="Take viewers again").click()
    await dialog.get_by_role("button", name="Send viewers").click()
    await expect(card.get_by_text("Healthy")).to_be_visible(timeout=WAIT_MS)


async def test_an_admin_sees_what_flows_and_drains_a_node(shop: AirnodeProcess, session: aiohttp.ClientSession):
    async with chromium() as browser:
        page, errors = await open_page(browser, shop["admin_url"], DESKTOP, "en-US")
        asked = await watch_requests(page)
        assert shop["admin_secret"] not in page.url, "the secret does not stay in the address"
        await drain_and_take_back(page, Api(shop, session))
        await page.get_by_role("link", name="Pipeline").click()
        await see_the_numbers(page, shop)
        await page.reload()
        await expect(page.locator("[data-topic=orders]")).to_be_visible(timeout=WAIT_MS)
        await page.get_by_role("link", name="Classes").click()
        await expect(page.locator("[data-chat] .pill.live")).to_be_visible(timeout=WAIT_MS)
        await expect(page.get_by_text("Nobody is in a chat now.")).to_be_visible()
        await expect(page.locator("[data-kept]")).to_contain_text("Messages", timeout=WAIT_MS)
        await expect(page.get_by_text("Deleted after 366 days")).to_be_visible()
        await page.go_back()
        await page.go_back()
        await expect(page.locator(".node")).to_be_visible(timeout=WAIT_MS)
        assert {url for url in asked if not url.startswith(shop["api_url"])} == set()
        assert errors == []
        await page.get_by_role("button", name="Sign out").click()
        await page.reload()
        await expect(page.get_by_label("Admin secret")).to_be_visible(timeout=WAIT_MS)


async def test_a_teacher_and_a_student_see_nothing(node: AirnodeProcess, api: Api):
    async with chromium() as browser:
        page, _ = await open_page(browser, f"{node['api_url']}/admin/pipeline", PHONE, "ko-KR")
        field = page.get_by_label("관리자 비밀번호")
        for wrong in (node["teacher_secret"], (await api.teacher())["token"], (await api.student())["token"]):
            await field.fill(wrong)
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("alert")).to_contain_text("관리자 비밀번호가 아니에요", timeout=WAIT_MS)
            assert await page.locator(".board").count() == 0
        await field.fill(node["admin_secret"])
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("파이프라인이 실행되고 있지 않아요")).to_be_visible(timeout=WAIT_MS)
        await expect(page.get_by_text("airnode --role standalone --demo-pipeline")).to_be_visible(timeout=WAIT_MS)
        assert await page.locator(".plot").count() == 0, "nothing is drawn where nothing runs"
        width = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1], "it fits onto a phone"


async def test_what_a_node_tells_is_in_the_language_of_the_page(tmp_path: Path, session: aiohttp.ClientSession):
    """A disk without the room that recordings want, from the node's own words to the page's."""
    full = ("--set", "recording.min_free_bytes=4000000000000000", "--node-name", "school-1")
    node = AirnodeProcess(tmp_path / "data", *full)
    try:
        await node.start()
        async with chromium() as browser:
            page, errors = await open_page(browser, node["admin_url"], DESKTOP, "ko-KR")
            alarm = page.locator(".alarms li.critical")
            await expect(alarm).to_contain_text("school-1에서 녹화가 멈췄어요.", timeout=WAIT_MS)
            await expect(alarm).to_contain_text(f"{node.data_dir / 'recordings'} 디스크가 가득 찼어요.")
            assert "Recording has stopped" not in await page.locator(".board").inner_text()
            assert errors == []
        headers = {"Authorization": f"Bearer {node['admin_secret']}"}
        async with session.get(f"{node['api_url']}/cluster/nodes", headers=headers) as response:
            (shown,) = (await response.json())["nodes"]
        assert shown["alarms"][0].startswith("Recording has stopped:"), "others read a sentence"
        assert shown["notices"][0]["code"] == "recording_disk_full"
    finally:
        await node.close()
