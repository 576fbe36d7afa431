import { kept } from "../lib/storage.ts";
import { Store } from "../lib/store.ts";
import enAdmin from "./en/admin.json";
import enChat from "./en/chat.json";
import enClass from "./en/class.json";
import enClassRecord from "./en/classrecord.json";
import enCommon from "./en/common.json";
import enDocs from "./en/docs.json";
import enEncoder from "./en/encoder.json";
import enGolive from "./en/golive.json";
import enJobs from "./en/jobs.json";
import enPipeline from "./en/pipeline.json";
import enStudio from "./en/studio.json";
import koAdmin from "./ko/admin.json";
import koChat from "./ko/chat.json";
import koClass from "./ko/class.json";
import koClassRecord from "./ko/classrecord.json";
import koCommon from "./ko/common.json";
import koDocs from "./ko/docs.json";
import koEncoder from "./ko/encoder.json";
import koGolive from "./ko/golive.json";
import koJobs from "./ko/jobs.json";
import koPipeline from "./ko/pipeline.json";
import koStudio from "./ko/studio.json";

/** One file a subject. */
const en = { ...enAdmin, ...enChat, ...enClass, ...enClassRecord, ...enCommon, ...enDocs, ...enEncoder, ...enGolive, ...enJobs, ...enPipeline, ...enStudio };
const ko = { ...koAdmin, ...koChat, ...koClass, ...koClassRecord, ...koCommon, ...koDocs, ...koEncoder, ...koGolive, ...koJobs, ...koPipeline, ...koStudio };

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
