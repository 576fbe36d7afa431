import { useEffect, useState } from "preact/hooks";
import { t, type Key } from "../i18n/index.ts";
import { copyText } from "../lib/copy.ts";
import { Icon } from "./icons.tsx";

const SHOWN_MS = 2_000;

/** A button that copies a text and confirms it. */
export function CopyButton({ text, label = "copy.copy", quiet = false }: { text: string; label?: Key; quiet?: boolean }) {
  const [result, setResult] = useState<"none" | "copied" | "failed">("none");
  useEffect(() => {
    if (result === "none") return;
    const timer = setTimeout(() => setResult("none"), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [result]);
  const copy = async () => setResult((await copyText(text)) ? "copied" : "failed");
  const shown = result === "copied" ? t("copy.copied") : result === "failed" ? t("copy.failed") : t(label);
  return (
    <button type="button" class={quiet ? "button quiet" : "button"} onClick={copy} data-result={result}>
      <Icon name={result === "copied" ? "check" : "copy"} size={18} />
      <span aria-live="polite">{shown}</span>
    </button>
  );
}
