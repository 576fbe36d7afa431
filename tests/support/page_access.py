"""What people who do not see a page, or have no mouse, find on it: names, focus, contrast."""

from typing import Any

from playwright.async_api import Page

#: Roles of what people use or are told of: each needs a name.
_NAMED = {
    *("button", "link", "textbox", "searchbox", "checkbox", "radio", "switch", "slider", "spinbutton", "combobox"),
    *("tab", "tablist", "tabpanel", "menu", "menuitem", "dialog", "img", "image", "log", "progressbar"),
}
_FOCUSED = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const ring = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  const name = element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.innerText || "";
  return { name: name.trim(), ring: ring || element === document.body };
}"""
#: Texts whose contrast with what is behind them is too low (WCAG 2.1, 1.4.3), outside of the picture.
_PALE = """() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, under) => [0, 1, 2].map((each) => top[each] * top[3] + under[each] * (1 - top[3]));
  const light = (color) => {
    const [red, green, blue] = color.slice(0, 3).map((each) => {
      const value = each / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const words = texts.currentNode.data.trim();
    const drawn = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!words || !drawn || element.closest("script, style, .visually-hidden, .stage, :disabled")) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const [one, other] = [light(over(rgba(style.color), ground)), light(ground)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${words.slice(0, 40)}`);
  }
  return found;
}"""


async def nameless(page: Page) -> list[str]:
    """Return what a screen reader reads of the page without a name: the roles, each with its HTML."""
    session = await page.context.new_cdp_session(page)
    tree: dict[str, Any] = await session.send("Accessibility.getFullAXTree")
    found = []
    for node in tree["nodes"]:
        role = node.get("role", {}).get("value")
        if node["ignored"] or role not in _NAMED or node.get("name", {}).get("value", "").strip():
            continue
        where = await session.send("DOM.describeNode", {"backendNodeId": node["backendDOMNodeId"]})
        found.append(f"{role}: {where['node']['nodeName']} {where['node'].get('attributes')}")
    await session.detach()
    return found


async def pale(page: Page) -> list[str]:
    """Return texts that stand out too little, each after its contrast ratio."""
    found: list[str] = await page.evaluate(_PALE)
    return found


async def tab_to(page: Page, name: str, *, backwards: bool = False, most: int = 60) -> None:
    """Press Tab until what has this name has the focus; what has it on the way must have a name and show the focus."""
    passed: list[str] = []
    for _ in range(most):
        await page.keyboard.press("Shift+Tab" if backwards else "Tab")
        focused = await page.evaluate(_FOCUSED)
        assert focused["ring"], f"one does not see that {focused['name']!r} has the focus"
        passed.append(focused["name"])
        if focused["name"].startswith(name):
            return
    raise AssertionError(f"{name!r} is not reached with Tab: {passed}")
