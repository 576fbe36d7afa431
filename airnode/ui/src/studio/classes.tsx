import { t } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { useStore } from "../lib/hooks.ts";
import type { StudioVisit } from "./visit.ts";

/** In the head: the class that the studio shows, and the way to the others. */
export function ClassSwitch({ visit }: { visit: StudioVisit }) {
  const { page } = useStore(visit.view);
  const { grant } = useStore(visit.room.view);
  if (!grant && page === "desk") return null;
  const open = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    visit.showClasses();
  };
  return (
    <>
      <span class="top-title">{page === "classes" ? "" : shownTitle(grant?.title ?? "")}</span>
      {!grant?.own_class && (
        <a class="button quiet" href="/studio?view=classes" aria-current={page === "classes" ? "page" : undefined} onClick={open}>
          {t("classes.title")}
        </a>
      )}
    </>
  );
}
