import { useEffect } from "preact/hooks";
import { Actions, FlyingReactions } from "../chat/actions.tsx";
import { RoomColumn } from "../chat/column.tsx";
import { language, t } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { useMedia, useStore } from "../lib/hooks.ts";
import { ownName } from "../lib/storage.ts";
import { Announce } from "../live/announce.tsx";
import { Curtain, Notice } from "../live/curtain.tsx";
import { useStats } from "../live/stats.ts";
import { Shell } from "../parts/shell.tsx";
import { OwnName } from "../people/name.tsx";
import { Stage } from "../player/stage.tsx";
import { JoinForm } from "./join.tsx";
import { ClassPanel } from "./panel.tsx";
import { Latest, LookBack, Watching } from "./watching.tsx";
import type { ClassVisit } from "./visit.ts";

/** Below these sizes there is no room under the picture; what stands there is a tab of the column. */
const SMALL = "(max-width: 960px), (max-height: 480px)";

export function ClassApp({ visit }: { visit: ClassVisit }) {
  useStore(language);
  const { joined } = useStore(visit.view);
  const { grant } = useStore(visit.room.view);
  const title = shownTitle(grant?.title ?? "");
  useEffect(() => {
    document.title = joined && title ? `${title} · airnode` : `${t("join.title")} · airnode`;
  });
  return (
    <Shell home="/" head={joined && <Head visit={visit} title={title} />}>
      {joined ? <Classroom visit={visit} /> : <JoinForm visit={visit} />}
      <Announce room={visit.room} />
    </Shell>
  );
}

function Head({ visit, title }: { visit: ClassVisit; title: string }) {
  return (
    <>
      <h1 class="top-title">{title || visit.view.value.code}</h1>
      <span class="grow" />
      <button type="button" class="button" onClick={() => visit.leave()}>
        {t("class.leave")}
      </button>
    </>
  );
}

function Classroom({ visit }: { visit: ClassVisit }) {
  const { room, chat } = visit;
  const stats = useStats(room);
  const small = useMedia(SMALL);
  const { recording } = useStore(visit.view);
  const { grant } = useStore(room.view);
  const about = <ClassPanel visit={visit} stats={stats} />;
  return (
    <div class="classroom">
      <div class="watch">
        {recording !== null ? (
          <Watching visit={visit} recording={recording} />
        ) : (
          <Stage room={room} stats={stats} extra={<LookBack visit={visit} />}>
            <FlyingReactions chat={chat} />
            <Curtain room={room}>
              <Latest visit={visit} />
            </Curtain>
            <Notice room={room} />
          </Stage>
        )}
        {!small && about}
      </div>
      <RoomColumn chat={chat} name={grant?.name && <OwnName shown={grant.name} given={ownName.get()} rename={(name) => visit.rename(name)} />} foot={<Actions chat={chat} />} info={small ? about : undefined} />
    </div>
  );
}
