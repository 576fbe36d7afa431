import { Problem } from "../api/client.ts";
import { t, type Key } from "./index.ts";

const KNOWN: Record<string, Key> = {
  network: "problem.network",
  rate_limited: "problem.rate_limited",
  no_healthy_nodes: "problem.no_healthy_nodes",
  unavailable: "problem.unavailable",
  invalid_input: "problem.invalid_input",
};

/** Return what happened, in the page's language; the page itself shows the next step. */
export function explain(error: unknown): string {
  if (!(error instanceof Problem)) return t("problem.other", { detail: String(error) });
  const key = KNOWN[error.code] ?? (error.status === 503 ? "problem.unavailable" : "problem.other");
  return t(key, { detail: error.message || `HTTP ${error.status}` });
}
