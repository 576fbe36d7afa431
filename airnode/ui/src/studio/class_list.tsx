import { useState } from "preact/hooks";
import type { ClassSummary } from "../api/types.ts";
import { explain } from "../i18n/problem.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { ago, timeOfDay } from "../lib/format.ts";
import { useNow, useStore } from "../lib/hooks.ts";
import { usePolled } from "../lib/polled.ts";
import { Spinner } from "../live/curtain.tsx";
import { CopyButton } from "../parts/copy.tsx";
import { Icon } from "../parts/icons.tsx";
import { Menu, type MenuItem } from "../parts/menu.tsx";
import { isPublishing } from "../publish/view.ts";
import { KeysDialog, TitleDialog } from "./class_dialogs.tsx";
import type { StudioVisit } from "./visit.ts";

const PERIOD_MS = 5_000;

type Asked = { what: "new" } | { what: "rename" | "keys"; one: ClassSummary } | null;

/** All classes: what each does now, its code, and what can be done with it. */
export function ClassList({ visit }: { visit: StudioVisit }) {
  const { missing } = useStore(visit.view);
  const [asked, setAsked] = useState<Asked>(null);
  const [gone, setGone] = useState<ClassSummary | null>(null);
  const [changes, setChanges] = useState(0);
  const [error, setError] = useState<unknown>(null);
  const list = usePolled(PERIOD_MS, `classes ${changes}`, () => visit.listClasses());
  const close = () => setAsked(null);
  const change = async (act: () => Promise<unknown>) => {
    setError(null);
    await act().catch(setError);
    setChanges((count) => count + 1);
  };
  const archive = (one: ClassSummary) =>
    change(async () => {
      await visit.changeClass(one.room, { archived: true });
      setGone(one);
    });
  const restore = (one: ClassSummary) =>
    change(async () => {
      await visit.changeClass(one.room, { archived: false });
      setGone(null);
    });
  const failed = error ?? (list.value ? null : list.error);
  return (
    <div class="class-list">
      <div class="row spread">
        <h1>{t("classes.title")}</h1>
        <button type="button" class="button primary" onClick={() => setAsked({ what: "new" })}>
          <Icon name="plus" size={18} />
          {t("studio.new_class")}
        </button>
      </div>
      <p class="quiet">{t("classes.lead")}</p>
      {missing && <p class="note warn">{t("classes.missing")}</p>}
      <OnAir visit={visit} all={list.value?.classes ?? []} />
      <div role="status">
        {gone && (
          <p class="note row">
            <span>{t("classes.archived_now", { title: shownTitle(gone.title) })}</span>
            <button type="button" class="button small" onClick={() => void restore(gone)}>
              {t("classes.undo")}
            </button>
          </p>
        )}
      </div>
      {failed !== null && (
        <p class="hint error" role="alert">
          {explain(failed)}
        </p>
      )}
      {!list.value && failed === null && <Spinner />}
      <ul class="classes">
        {list.value?.classes.map((one) => (
          <ClassRow key={one.room} visit={visit} one={one} onAsk={(what) => setAsked({ what, one })} onArchive={() => void archive(one)} />
        ))}
      </ul>
      <Archived visit={visit} changes={changes} onRestore={(one) => void restore(one)} />
      {asked?.what === "new" && (
        <TitleDialog heading={t("studio.new_class")} title="" act={t("studio.new_class_make")} save={(title) => visit.addClass(title)} onClose={close} />
      )}
      {asked?.what === "rename" && (
        <TitleDialog
          heading={t("classes.rename")}
          title={shownTitle(asked.one.title)}
          act={t("classes.rename_save")}
          save={(title) => change(() => visit.changeClass(asked.one.room, { title }))}
          onClose={close}
        />
      )}
      {asked?.what === "keys" && <KeysDialog visit={visit} one={asked.one} onClose={() => void change(async () => close())} />}
    </div>
  );
}

/** This browser goes on publishing while the list is open. */
function OnAir({ visit, all }: { visit: StudioVisit; all: ClassSummary[] }) {
  const { phase, room } = useStore(visit.golive.view);
  if (!isPublishing(phase)) return null;
  const title = shownTitle(all.find((one) => one.room === room)?.title ?? "") || room;
  return (
    <p class="note row">
      <span>{t("classes.on_air", { title })}</span>
      <button type="button" class="button small" onClick={() => visit.choose(room)}>
        {t("classes.open")}
      </button>
    </p>
  );
}

interface RowProps {
  visit: StudioVisit;
  one: ClassSummary;
  onAsk: (what: "rename" | "keys") => void;
  onArchive: () => void;
}

function ClassRow({ visit, one, onAsk, onArchive }: RowProps) {
  const { grant } = useStore(visit.room.view);
  const live = one.state === "live" || one.state === "reconnecting";
  const title = shownTitle(one.title);
  const items: MenuItem[] = [
    { label: t("classes.rename"), act: () => onAsk("rename") },
    { label: t("classes.keys"), act: () => onAsk("keys") },
  ];
  if (!one.is_default && !live) items.push({ label: t("classes.archive"), act: onArchive });
  const open = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    visit.choose(one.room);
  };
  return (
    <li class="card class-row" data-room={one.room}>
      <div class="class-row-about">
        <a class="class-row-title" href={`/studio?room=${encodeURIComponent(one.room)}`} onClick={open}>
          <bdi>{title}</bdi>
        </a>
        <p class="row class-row-state">
          <span class={live ? `pill ${one.state}` : "pill"}>{t(STATE_NAMES[one.state])}</span>
          {live && (
            <span class="with-icon">
              <Icon name="people" size={18} />
              {t("class.viewers_count", { count: one.viewers })}
            </span>
          )}
          <Since one={one} />
          {grant?.room === one.room && <span class="quiet">{t("classes.here")}</span>}
        </p>
      </div>
      <div class="class-row-code">
        <span class="quiet">{t("classes.code")}</span>
        <code class="numbers">{one.class_code}</code>
        <CopyButton text={one.class_code} quiet />
      </div>
      <Menu label={t("classes.more", { title })} items={items} />
    </li>
  );
}

const STATE_NAMES: Record<ClassSummary["state"], Key> = {
  waiting: "classes.idle",
  live: "class.teacher_live",
  reconnecting: "class.teacher_reconnecting",
  ended: "classes.idle",
};

function Since({ one: { state, since } }: { one: ClassSummary }) {
  const now = useNow(30_000) / 1000;
  const lang = language.value;
  if (since === 0) return null;
  if (state === "ended") return <span class="quiet">{t("classes.ended_ago", { ago: ago(since, now, lang, t("time.just_now")) })}</span>;
  return <span class="quiet numbers">{t("classes.live_since", { time: timeOfDay(since, lang) })}</span>;
}

function Archived({ visit, changes, onRestore }: { visit: StudioVisit; changes: number; onRestore: (one: ClassSummary) => void }) {
  const { value } = usePolled(60_000, `archived ${changes}`, () => visit.listClasses(true));
  const now = useNow(60_000) / 1000;
  const found = value?.classes ?? [];
  if (found.length === 0) return null;
  return (
    <details class="card fold archived">
      <summary>{t("classes.archived", { count: found.length })}</summary>
      <ul>
        {found.map((one) => (
          <li key={one.room} class="row spread" data-room={one.room}>
            <span>
              <bdi>{shownTitle(one.title)}</bdi>{" "}
              <span class="quiet">{t("classes.archived_at", { ago: ago(one.archived_at ?? now, now, language.value, t("time.just_now")) })}</span>
            </span>
            <button type="button" class="button" onClick={() => onRestore(one)}>
              {t("classes.restore")}
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
