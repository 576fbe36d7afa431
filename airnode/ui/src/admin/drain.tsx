import { useState } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { Dialog } from "../parts/dialog.tsx";
import { whole } from "./figures.ts";
import type { NodeList, NodeView, StreamView } from "../api/schema.ts";
import type { AdminVisit } from "./visit.ts";

interface Props {
  visit: AdminVisit;
  node: NodeView;
  nodes: NodeList;
  streams: StreamView[];
  onClose: () => void;
}

/** Asks before a node is drained and shows how many people that affects; the same for undoing it. */
export function DrainDialog({ visit, node, nodes, streams, onClose }: Props) {
  // The question stays on the screen, whatever the next poll returns for the node.
  const [on] = useState(node.status !== "draining");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const name = node.node_name;
  const title = t(on ? "drain.title" : "undrain.title", { name });
  const only = on && node.status === "healthy" && nodes.healthy_nodes === 1;
  const rooms = on ? streams.filter(({ origin, state }) => origin === node.node_id && state !== "ended").map(({ room, title }) => title || room) : [];
  const go = async () => {
    setBusy(true);
    try {
      await visit.drain(node.node_id, on);
      onClose();
    } catch (problem) {
      setError(t("studio.failed", { reason: explain(problem) }));
      setBusy(false);
    }
  };
  return (
    <Dialog label={title} onClose={onClose}>
      <h2>{title}</h2>
      <p>{on ? doing(node.current_connections) : t("undrain.text")}</p>
      {rooms.length > 0 && <p>{t("drain.origin", { rooms: rooms.join(", ") })}</p>}
      {only && <p class="notice warn">{t("drain.only")}</p>}
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          {t("studio.cancel")}
        </button>
        <button type="button" class={on ? "button danger" : "button primary"} disabled={busy} onClick={go}>
          {t(on ? "drain.yes" : "undrain.yes")}
        </button>
      </div>
    </Dialog>
  );
}

function doing(people: number): string {
  return people === 0 ? t("drain.text_none") : t("drain.text", { count: whole(people, language.value) });
}
