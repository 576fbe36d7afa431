import { useState } from "preact/hooks";
import { shownTitle } from "../i18n/title.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { bitrate } from "../lib/format.ts";
import { bandwidth, shortTime, whole } from "./figures.ts";
import { DrainDialog } from "./drain.tsx";
import type { NodeView, StreamView } from "../api/schema.ts";
import type { AdminVisit, Shot } from "./visit.ts";

const STATUS: Record<NodeView["status"], Key> = {
  healthy: "node.healthy",
  draining: "node.draining",
  overloaded: "node.overloaded",
  offline: "node.offline",
};
const STREAM: Record<StreamView["state"], Key> = {
  waiting: "class.teacher_waiting",
  live: "class.teacher_live",
  reconnecting: "class.teacher_reconnecting",
  ended: "class.teacher_ended",
};
const PILL: Record<NodeView["status"], string> = { healthy: "live", draining: "reconnecting", overloaded: "reconnecting", offline: "recording" };

/** Nodes as cards, and the classes that are live. */
export function Cluster({ visit, shot }: { visit: AdminVisit; shot: Shot }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const { nodes, streams } = shot;
  const doomed = nodes.nodes.find(({ node_id }) => node_id === chosen);
  const sorted = [...nodes.nodes].sort(
    (a, b) => Number(a.status === "healthy") - Number(b.status === "healthy") || a.node_name.localeCompare(b.node_name),
  );
  return (
    <>
      <section aria-labelledby="nodes-title">
        <div class="board-head">
          <h2 id="nodes-title">{t("admin.nodes")}</h2>
          <p class="quiet numbers">
            {t("admin.places", {
              taken: whole(nodes.total_connections, language.value),
              all: whole(nodes.total_capacity, language.value),
              percent: Math.round(nodes.utilization),
            })}
          </p>
        </div>
        {sorted.length === 0 && <p class="card quiet">{t("admin.no_nodes")}</p>}
        <ul class="nodes">
          {sorted.map((node) => (
            <NodeCard key={node.node_id} node={node} onOrder={() => setChosen(node.node_id)} />
          ))}
        </ul>
      </section>
      <section aria-labelledby="streams-title">
        <div class="board-head">
          <h2 id="streams-title">{t("admin.streams")}</h2>
          <p class="quiet numbers">{t("class.viewers_count", { count: whole(streams.total_viewers, language.value) })}</p>
        </div>
        <Streams streams={streams.streams} now={shot.pipeline.server_time} />
      </section>
      {doomed && <DrainDialog visit={visit} node={doomed} nodes={nodes} streams={streams.streams} onClose={() => setChosen(null)} />}
    </>
  );
}

function NodeCard({ node, onOrder }: { node: NodeView; onOrder: () => void }) {
  const lang = language.value;
  const draining = node.status === "draining";
  const away = node.status === "offline";
  return (
    <li class={`card node ${node.status}`} data-node={node.node_id}>
      <div class="node-head">
        <h3>{node.node_name}</h3>
        <span class={`pill ${PILL[node.status]}`}>{t(STATUS[node.status])}</span>
      </div>
      <div class="load">
        <Bar percent={node.load_percentage} label={t("node.load")} />
        <span class="numbers">{Math.round(node.load_percentage)}%</span>
      </div>
      <dl class="facts">
        <Fact name={t("strip.viewers")}>
          {whole(node.current_connections, lang)} / {whole(node.max_connections, lang)}
          {node.reserved > 0 && <span class="quiet"> {t("node.reserved", { count: node.reserved })}</span>}
        </Fact>
        <Fact name={t("node.sent")}>
          {bandwidth(node.sent_bps, lang)}
          {node.bandwidth_bps !== null && <span class="quiet"> / {bandwidth(node.bandwidth_bps, lang)}</span>}
        </Fact>
        <Fact name={t("node.chat")}>
          {t("node.chat_people", { count: whole(node.chat.connections, lang) })}
          <span class="quiet"> {t("unit.per_s", { value: whole(Math.round(node.chat.deliveries_per_s), lang) })}</span>
          {node.chat.dropped > 0 && <span class="warn-text"> {t("node.chat_dropped", { count: whole(node.chat.dropped, lang) })}</span>}
        </Fact>
        <Fact name={t("node.classes")}>{whole(node.streams, lang)}</Fact>
        <Fact name={t("node.heard")}>{t("node.ago", { time: shortTime(node.last_beat_age_s, lang) })}</Fact>
      </dl>
      <div class="node-foot">
        <span class="quiet">{node.version}</span>
        {!away && (
          <button type="button" class="button" onClick={onOrder}>
            {t(draining ? "node.undrain" : "node.drain")}
          </button>
        )}
      </div>
    </li>
  );
}

export function Bar({ percent, label }: { percent: number; label: string }) {
  const grade = percent >= 90 ? "bad" : percent >= 70 ? "warn" : "ok";
  const shown = Math.max(0, Math.min(100, percent));
  return (
    <div class={`bar ${grade}`} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(shown)}>
      <span style={{ width: `${shown}%` }} />
    </div>
  );
}

export function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Streams({ streams, now }: { streams: StreamView[]; now: number }) {
  if (streams.length === 0) return <p class="card quiet">{t("admin.no_streams")}</p>;
  const lang = language.value;
  return (
    <div class="card table">
      <table>
        <thead>
          <tr>
            <th scope="col">{t("studio.class")}</th>
            <th scope="col">{t("admin.state")}</th>
            <th scope="col" class="number">
              {t("strip.viewers")}
            </th>
            <th scope="col" class="number wide-only">
              {t("strip.bitrate")}
            </th>
            <th scope="col" class="wide-only">
              {t("class.server")}
            </th>
            <th scope="col" class="number wide-only">
              {t("admin.since")}
            </th>
          </tr>
        </thead>
        <tbody>
          {[...streams]
            .sort((a, b) => b.viewers - a.viewers)
            .map((stream) => (
              <tr key={stream.room}>
                <th scope="row" title={stream.room}>
                  <bdi>{shownTitle(stream.title ?? "") || stream.room}</bdi>
                </th>
                <td>
                  <span class={`pill ${stream.state}`}>{t(STREAM[stream.state])}</span>
                </td>
                <td class="number">{whole(stream.viewers, lang)}</td>
                <td class="number wide-only">{stream.bitrate_bps > 0 ? bitrate(stream.bitrate_bps) : "–"}</td>
                <td class="wide-only">{stream.origin_name || stream.origin}</td>
                <td class="number wide-only">{shortTime(Math.max(0, now - stream.since), lang)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}
