import { useEffect, useState } from "preact/hooks";
import { call } from "../api/client.ts";
import { explain } from "../i18n/problem.ts";
import { language, t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { Shell } from "../parts/shell.tsx";
import { Spinner } from "../live/curtain.tsx";
import { EndpointCard, Prose, SchemaTable } from "./endpoint.tsx";
import { endpoints, type Document, type Endpoint, type Schema } from "./openapi.ts";

export function DocsApp() {
  useStore(language);
  const { document: openapi, error } = useDocument();
  useEffect(() => {
    document.title = t("docs.title");
  });
  return (
    <Shell home="/">
      {openapi && <Reader openapi={openapi} />}
      {!openapi && (
        <div class="centre">{error ? <p role="alert">{t("docs.failed", { reason: error })}</p> : <Spinner />}</div>
      )}
    </Shell>
  );
}

function useDocument() {
  const [state, setState] = useState<{ document: Document | null; error: string | null }>({ document: null, error: null });
  useEffect(() => {
    call<Document>("/openapi.json").then(
      (document) => setState({ document, error: null }),
      (error: unknown) => setState({ document: null, error: explain(error) }),
    );
  }, []);
  return state;
}

function Reader({ openapi }: { openapi: Document }) {
  const [filter, setFilter] = useState("");
  const found = matching(endpoints(openapi, t("docs.other")), filter);
  const tags = [...new Set(found.map(({ tag }) => tag))];
  return (
    <div class="docs">
      <div class="docs-head">
        <h1>
          {openapi.info?.title ?? t("docs.title")} <span class="quiet">{openapi.info?.version}</span>
        </h1>
        <p class="quiet">{openapi.info?.description ?? t("docs.lead")}</p>
        <p>
          <a href="/openapi.json">{t("docs.raw")}</a>
        </p>
        <input
          type="search"
          class="input"
          placeholder={t("docs.filter")}
          aria-label={t("docs.filter")}
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
      </div>
      {tags.length === 0 && <p>{t("docs.none")}</p>}
      {tags.map((tag) => (
        <section key={tag}>
          <h2>{tag}</h2>
          <p class="quiet">{openapi.tags?.find(({ name }) => name === tag)?.description}</p>
          {found.filter((one) => one.tag === tag).map((one) => (
            <EndpointCard key={`${one.method} ${one.path}`} openapi={openapi} endpoint={one} />
          ))}
        </section>
      ))}
      {filter === "" && <Schemas openapi={openapi} />}
    </div>
  );
}

function matching(all: Endpoint[], filter: string): Endpoint[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter(({ method, path, tag, operation }) => {
    const text = `${method} ${path} ${tag} ${operation.summary ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function Schemas({ openapi }: { openapi: Document }) {
  const schemas = Object.entries((openapi.components?.["schemas"] ?? {}) as Record<string, Schema>);
  if (schemas.length === 0) return null;
  return (
    <section>
      <h2>{t("docs.schemas")}</h2>
      {schemas.map(([name, schema]) => (
        <details key={name} class="card endpoint" id={`schema-${name}`}>
          <summary>
            <code>{name}</code> <span class="quiet"><Prose text={schema.description} /></span>
          </summary>
          <div class="endpoint-body">
            <SchemaTable schema={schema} />
          </div>
        </details>
      ))}
    </section>
  );
}
