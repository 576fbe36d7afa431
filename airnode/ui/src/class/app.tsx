import { useEffect } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { useStore } from "../lib/hooks.ts";
import { Announce } from "../live/announce.tsx";
import { Curtain, Notice } from "../live/curtain.tsx";
import { useStats } from "../live/stats.ts";
import { Shell } from "../parts/shell.tsx";
import { Stage } from "../player/stage.tsx";
import { JoinForm } from "./join.tsx";
import { ClassPanel } from "./panel.tsx";
import { Latest, LookBack, Watching } from "./watching.tsx";
import type { ClassVisit } from "./visit.ts";

export function ClassApp({ visit }: { visit: ClassVisit }) {
  useStore(language);
  const { joined } = useStore(visit.view);
  const { grant } = useStore(visit.room.view);
  const title = shownTitle(grant?.title ?? "");
  useEffect(() => {
    document.title = joined && title ? `${title} · airnode` : `${t("join.title")} · airnode`;
  });
  return (
    <Shell home="/" head={joined && <span class="top-title">{title}</span>}>
      {joined ? <Classroom visit={visit} /> : <JoinForm visit={visit} />}
      <Announce room={visit.room} />
    </Shell>
  );
}

function Classroom({ visit }: { visit: ClassVisit }) {
  const { room } = visit;
  const stats = useStats(room);
  const { recording } = useStore(visit.view);
  return (
    <div class="classroom">
      {recording !== null ? (
        <Watching visit={visit} recording={recording} />
      ) : (
        <Stage room={room} stats={stats} extra={<LookBack visit={visit} />}>
          <Curtain room={room}>
            <Latest visit={visit} />
          </Curtain>
          <Notice room={room} />
        </Stage>
      )}
      <ClassPanel visit={visit} stats={stats} />
    </div>
  );
}
