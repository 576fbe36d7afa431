import type { ComponentChildren } from "preact";
import { LANGUAGES, language, setLanguage, t, type Lang } from "../i18n/index.ts";

/** The frame of every page: brand, the page's own heading, language. */
export function Shell({ home, head, children }: { home: string; head?: ComponentChildren; children: ComponentChildren }) {
  return (
    <>
      <a class="skip" href="#main">
        {t("app.skip")}
      </a>
      <header class="top">
        <a class="brand" href={home}>
          airnode
        </a>
        <div class="top-middle">{head}</div>
        <LanguageSwitch />
      </header>
      <main id="main">{children}</main>
    </>
  );
}

function LanguageSwitch() {
  return (
    <select
      class="language"
      aria-label={t("app.language")}
      value={language.value}
      onChange={(event) => setLanguage(event.currentTarget.value as Lang)}
    >
      {LANGUAGES.map(({ lang, name }) => (
        <option key={lang} value={lang} lang={lang}>
          {name}
        </option>
      ))}
    </select>
  );
}
