import type { ComponentChildren } from "preact";
import type { ClassRecordView, KeptView, NodeView } from "../api/schema.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { ago } from "../lib/format.ts";
import { Fact } from "./cluster.tsx";
import { rate, shortTime, whole } from "./figures.ts";
import type { Shot } from "./visit.ts";

/** A server with a chat: a node, or a master's own port. */
type ChatNode = Pick<NodeView, "node_id" | "node_name" | "chat">;

const DAY_S = 86_400;
/** After this, what waits is late. */
const LATE_S = 30;

/** What happens in classes: the chat of each node and its rooms, and what is kept of them. */
export function Classes({ shot }: { shot: Shot }) {
  const nodes: ChatNode[] = [...shot.nodes.nodes.filter(({ status }) => status !== "offline"), ...shot.nodes.masters];
  const { class_record: record } = shot.pipeline;
  const titles = new Map(shot.streams.streams.map(({ room, title }) => [room, shownTitle(title ?? "")]));
  return (
    <>
      <section aria-labelledby="chat-title" class="board-part">
        <div class="board-head">
          <h2 id="chat-title">{t("chats.title")}</h2>
        </div>
        {nodes.length === 0 ? <p class="card quiet">{t("admin.no_nodes")}</p> : <ChatNodes nodes={nodes} />}
        {nodes.length > 0 && <ChatRooms nodes={nodes} titles={titles} />}
      </section>
      <section aria-labelledby="kept-title" class="board-part">
        <div class="board-head">
          <h2 id="kept-title">{t("classrecord.title")}</h2>
        </div>
        {record && <Kept record={record} now={shot.pipeline.server_time} redis={!shot.pipeline.missing.includes("redis")} />}
      </section>
    </>
  );
}

function Table({ head, children }: { head: readonly (readonly [name: Key, kind: string])[]; children: ComponentChildren }) {
  return (
    <div class="card table">
      <table>
        <thead>
          <tr>
            {head.map(([name, kind]) => (
              <th key={name} scope="col" class={kind}>
                {t(name)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

const NODE_HEAD = [
  ["class.server", ""],
  ["chats.bus", ""],
  ["chats.connected", "number"],
  ["chats.delivered", "number"],
  ["chats.dropped", "number wide-only"],
  ["chats.gaps", "number wide-only"],
  ["chats.rooms", "number wide-only"],
] as const;

function ChatNodes({ nodes }: { nodes: ChatNode[] }) {
  const lang = language.value;
  return (
    <Table head={NODE_HEAD}>
      {nodes.map(({ node_id, node_name, chat }) => (
        <tr key={node_id} data-chat={node_id}>
          <th scope="row">{node_name}</th>
          <td>
            <span class={chat.alone ? "pill reconnecting" : "pill live"}>{t(chat.alone ? "chats.alone" : "chats.joined")}</span>
          </td>
          <td class="number">{whole(chat.connections, lang)}</td>
          <td class="number">{t("unit.per_s", { value: rate(chat.deliveries_per_s, lang) })}</td>
          <td class={chat.dropped > 0 ? "number wide-only warn-text" : "number wide-only"}>{whole(chat.dropped, lang)}</td>
          <td class="number wide-only">{whole(chat.gaps, lang)}</td>
          <td class="number wide-only">{whole(chat.room_count, lang)}</td>
        </tr>
      ))}
    </Table>
  );
}

const ROOM_HEAD = [
  ["studio.class", ""],
  ["class.server", ""],
  ["chats.people", "number"],
  ["chats.messages", "number"],
] as const;

function ChatRooms({ nodes, titles }: { nodes: ChatNode[]; titles: Map<string, string> }) {
  const lang = language.value;
  const rows = nodes.flatMap(({ node_id, node_name, chat }) => Object.entries(chat.rooms).map(([room, each]) => ({ key: `${node_id} ${room}`, node_name, room, ...each })));
  if (rows.length === 0) return <p class="card quiet">{t("chats.nobody")}</p>;
  const more = nodes.reduce((sum, { chat }) => sum + chat.room_count - Object.keys(chat.rooms).length, 0);
  return (
    <>
      <Table head={ROOM_HEAD}>
        {rows
          .sort((a, b) => b.members - a.members || a.room.localeCompare(b.room))
          .map(({ key, node_name, room, members, messages_per_s }) => (
            <tr key={key} data-chat-room={room}>
              <th scope="row" title={room}>
                <bdi>{titles.get(room) || room}</bdi>
              </th>
              <td>{node_name}</td>
              <td class="number">{whole(members, lang)}</td>
              <td class="number">{t("unit.per_s", { value: rate(messages_per_s, lang) })}</td>
            </tr>
          ))}
      </Table>
      {more > 0 && <p class="quiet small">{t("chats.more", { count: whole(more, lang) })}</p>}
    </>
  );
}

const KINDS: readonly (readonly [kind: Exclude<keyof KeptView, "counted_up_to" | "dead_letters">, words: Key])[] = [
  ["sessions", "kept.sessions"],
  ["attendance", "kept.attendance"],
  ["messages", "kept.messages"],
  ["questions", "kept.questions"],
  ["polls", "kept.polls"],
  ["poll_answers", "kept.poll_answers"],
  ["hands", "kept.hands"],
];

function Kept({ record, now, redis }: { record: ClassRecordView; now: number; redis: boolean }) {
  const { kept } = record;
  const counted = (count: number) => whole(count, language.value) + (kept && count >= kept.counted_up_to ? "+" : "");
  return (
    <div class="cards">
      <section class="card" aria-labelledby="kept-rows-title">
        <h3 id="kept-rows-title">{t("kept.rows")}</h3>
        {kept === null ? (
          <p class="quiet">{t("kept.no_postgres")}</p>
        ) : (
          <dl class="facts" data-kept>
            {KINDS.map(([kind, words]) => (
              <Fact key={kind} name={t(words)}>
                {counted(kept[kind])}
              </Fact>
            ))}
          </dl>
        )}
        <p class="quiet small">
          {record.max_age_s > 0 ? t("kept.until", { days: whole(record.max_age_s / DAY_S, language.value) }) : t("kept.for_ever")}
        </p>
      </section>
      <section class="card" aria-labelledby="kept-way-title">
        <h3 id="kept-way-title">{t("kept.way")}</h3>
        {redis ? <OnTheWay record={record} now={now} /> : <p class="quiet">{t("pipeline.no_redis")}</p>}
        {kept !== null && kept.dead_letters > 0 && <p class="quiet small">{t("letter.next")}</p>}
      </section>
    </div>
  );
}

function OnTheWay({ record: { waiting, oldest_s, dropped, last_landed_at, kept }, now }: { record: ClassRecordView; now: number }) {
  const lang = language.value;
  return (
    <dl class="facts">
      <Fact name={t("kept.waiting")}>
        {whole(waiting, lang)}
        {waiting > 0 && <span class={oldest_s > LATE_S ? "warn-text" : "quiet"}> {t("kept.oldest", { time: shortTime(oldest_s, lang) })}</span>}
      </Fact>
      <Fact name={t("kept.last")}>{last_landed_at === null ? t("kept.not_lately") : ago(last_landed_at, now - 60, lang, t("time.just_now"))}</Fact>
      <Fact name={t("kept.dropped")}>
        <span class={dropped > 0 ? "warn-text" : ""}>{whole(dropped, lang)}</span>
      </Fact>
      <Fact name={t("letter.title")}>
        {kept === null ? "–" : <span class={kept.dead_letters > 0 ? "warn-text" : ""}>{whole(kept.dead_letters, lang)}</span>}
      </Fact>
    </dl>
  );
}
