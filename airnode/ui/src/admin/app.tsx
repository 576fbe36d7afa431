import { useEffect, useState } from "preact/hooks";
import { language, t, type Key } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { useStore } from "../lib/hooks.ts";
import { Spinner } from "../live/curtain.tsx";
import { Icon } from "../parts/icons.tsx";
import { Shell } from "../parts/shell.tsx";
import type { Alarm } from "../api/schema.ts";
import { alarms, sentenceKey } from "./alarms.ts";
import { Classes } from "./classes.tsx";
import { Cluster } from "./cluster.tsx";
import { Jobs } from "./jobs.tsx";
import { Pipeline } from "./pipeline.tsx";
import { SignIn } from "./signin.tsx";
import { pathOf, type AdminVisit, type Section } from "./visit.ts";

const SECTIONS: readonly [Section, Key][] = [
  ["cluster", "admin.cluster"],
  ["classes", "admin.classes"],
  ["jobs", "jobs.title"],
  ["pipeline", "admin.pipeline"],
];

export function AdminApp({ visit }: { visit: AdminVisit }) {
  useStore(language);
  const { signedIn, section, shot } = useStore(visit.view);
  const found = shot ? alarms(shot.nodes, shot.streams, shot.pipeline) : [];
  useEffect(() => {
    const count = found.length > 0 ? `(${found.length}) ` : "";
    document.title = count + [t(SECTIONS.find(([one]) => one === section)?.[1] ?? "admin.cluster"), t("admin.title"), "airnode"].join(" · ");
  });
  return (
    <Shell home="/admin" head={signedIn && <Sections visit={visit} now={section} />}>
      {signedIn ? <Board visit={visit} found={found} /> : <SignIn visit={visit} />}
    </Shell>
  );
}

function Sections({ visit, now }: { visit: AdminVisit; now: Section }) {
  return (
    <nav class="sections" aria-label={t("admin.sections")}>
      {SECTIONS.map(([section, name]) => (
        <a
          key={section}
          href={pathOf(section)}
          aria-current={section === now ? "page" : undefined}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            visit.open(section);
          }}
        >
          {t(name)}
        </a>
      ))}
    </nav>
  );
}

function Board({ visit, found }: { visit: AdminVisit; found: Alarm[] }) {
  const { section, shot, error } = useStore(visit.view);
  if (!shot) return <div class="centre">{error ? <p role="alert">{explain(error)}</p> : <Spinner />}</div>;
  return (
    <div class="board" data-section={section}>
      <h1 class="visually-hidden">{t("admin.title")}</h1>
      {Boolean(error) && (
        <p class="notice warn" role="status">
          <Icon name="warn" size={18} />
          <span>
            {explain(error)} {t("admin.stale")}
          </span>
        </p>
      )}
      <Alarms found={found} />
      {section === "cluster" && <Cluster visit={visit} shot={shot} />}
      {section === "classes" && <Classes shot={shot} />}
      {section === "jobs" && <Jobs visit={visit} now={shot.pipeline.server_time} />}
      {section === "pipeline" && <Pipeline status={shot.pipeline} />}
      <button type="button" class="button quiet sign-out" onClick={() => visit.signOut()}>
        {t("studio.sign_out")}
      </button>
    </div>
  );
}

const SHOWN = 4;

function sentenceOf(alarm: Alarm): string {
  const key = sentenceKey(alarm);
  return key ? t(key, alarm.fields) : alarm.text;
}

function Alarms({ found }: { found: Alarm[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? found : found.slice(0, SHOWN);
  return (
    <section aria-label={t("alarm.title")} class="alarms">
      <ul aria-live="polite">
        {found.length === 0 && (
          <li class="ok">
            <Icon name="check" size={18} />
            <span>{t("alarm.none")}</span>
          </li>
        )}
        {shown.map((alarm) => (
          <li key={`${alarm.code} ${Object.values(alarm.fields).filter((value) => typeof value === "string").join(" ")}`} class={alarm.level}>
            <Icon name={alarm.level === "critical" ? "alert" : "warn"} size={18} />
            <span>{sentenceOf(alarm)}</span>
          </li>
        ))}
      </ul>
      {found.length > SHOWN && (
        <button type="button" class="button quiet" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? t("alarm.fewer") : t("alarm.more", { count: found.length - SHOWN })}
        </button>
      )}
    </section>
  );
}
