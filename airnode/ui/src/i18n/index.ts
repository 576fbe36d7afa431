import { kept } from "../lib/storage.ts";
import { Store } from "../lib/store.ts";
import en from "./en.json";
import ko from "./ko.json";

export type Key = keyof typeof en;
export type Lang = "en" | "ko";
export type Params = Record<string, string | number>;

/** A missing Korean message does not compile; the test also compares keys and placeholders. */
const MESSAGES: Record<Lang, Record<Key, string>> = { en, ko };

export const LANGUAGES: readonly { lang: Lang; name: string }[] = [
  { lang: "ko", name: "한국어" },
  { lang: "en", name: "English" },
];

function preferred(): Lang {
  const chosen = kept.get("lang");
  if (chosen === "en" || chosen === "ko") return chosen;
  return (navigator.languages ?? [navigator.language]).find((tag) => /^(ko|en)\b/i.test(tag))?.toLowerCase().startsWith("ko")
    ? "ko"
    : "en";
}

export const language = new Store<Lang>(preferred());

function apply(): void {
  document.documentElement.lang = language.value;
}
language.subscribe(apply);
apply();

export function setLanguage(lang: Lang): void {
  kept.set("lang", lang);
  language.set(lang);
}

/** Return the message in the page's language, with `{name}` placeholders filled in. */
export function t(key: Key, params: Params = {}): string {
  return MESSAGES[language.value][key].replace(/\{(\w+)\}/g, (place, name: string) => String(params[name] ?? place));
}
