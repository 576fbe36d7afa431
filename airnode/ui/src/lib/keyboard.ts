/** A keyboard takes at least this much of a phone's screen; the bars of browsers take less. */
const LEAST_PX = 140;

/**
 * Keep `--visible-height` and `--visible-top` of the document at what can be seen, and mark the document with
 * `data-keyboard` while a keyboard covers a part: phones lay it over the page.
 */
export function followKeyboard(): void {
  const view = window.visualViewport;
  if (!view) return;
  const root = document.documentElement;
  /** The greatest height at each width: turning a phone is no keyboard. */
  const tallest = new Map<number, number>();
  const read = () => {
    if (view.scale > 1.01) return;
    const width = Math.round(view.width);
    tallest.set(width, Math.max(tallest.get(width) ?? 0, view.height));
    const typing = document.activeElement?.matches("textarea, input") ?? false;
    const open = typing && (tallest.get(width) ?? 0) - view.height > LEAST_PX;
    root.style.setProperty("--visible-height", `${Math.round(view.height)}px`);
    root.style.setProperty("--visible-top", `${Math.round(view.offsetTop)}px`);
    root.toggleAttribute("data-keyboard", open);
  };
  read();
  view.addEventListener("resize", read);
  view.addEventListener("scroll", read);
  document.addEventListener("focusin", read);
  document.addEventListener("focusout", () => setTimeout(read, 0));
}
