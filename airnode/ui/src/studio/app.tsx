import { useEffect } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { useStore } from "../lib/hooks.ts";
import { Announce } from "../live/announce.tsx";
import { Shell } from "../parts/shell.tsx";
import { ClassList } from "./class_list.tsx";
import { ClassSwitch } from "./classes.tsx";
import { Desk, Opening } from "./desk.tsx";
import { SignIn } from "./signin.tsx";
import type { StudioVisit } from "./visit.ts";

/** A student waits in these phases; a teacher has something to do. */
const OWN_WORDS = { waiting: "publish.waiting", reconnecting: "publish.stopped", ended: "publish.ended" } as const;

export function StudioApp({ visit }: { visit: StudioVisit }) {
  useStore(language);
  const { signedIn, proven, page } = useStore(visit.view);
  const { grant } = useStore(visit.room.view);
  useEffect(() => {
    document.title = [page === "classes" ? t("classes.title") : shownTitle(grant?.title ?? ""), t("studio.title"), "airnode"].filter(Boolean).join(" · ");
  });
  return (
    <Shell home="/studio" head={signedIn && <ClassSwitch visit={visit} />}>
      {!signedIn && <SignIn visit={visit} />}
      {signedIn && (page === "classes" ? proven ? <ClassList visit={visit} /> : <Opening visit={visit} /> : <Desk visit={visit} />)}
      <Announce room={visit.room} own={OWN_WORDS} />
    </Shell>
  );
}
