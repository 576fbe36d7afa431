import { t } from "../i18n/index.ts";
import { CopyButton } from "../parts/copy.tsx";
import { curlOf, needsToken, resolved, typeName, type Content, type Document, type Endpoint, type Schema } from "./openapi.ts";

/** Text of the document: what stands between back-ticks is code. */
export function Prose({ text }: { text: string | undefined }) {
  return <>{text?.split(/`+/).map((part, index) => (index % 2 === 1 ? <code>{part}</code> : part))}</>;
}

export function EndpointCard({ openapi, endpoint }: { openapi: Document; endpoint: Endpoint }) {
  const { method, path, operation } = endpoint;
  const curl = curlOf(openapi, endpoint, location.origin);
  const body = operation.requestBody && resolved(openapi, operation.requestBody);
  return (
    <details class="card endpoint" id={operation.operationId}>
      <summary>
        <span class={`method ${method}`}>{method.toUpperCase()}</span>
        <code>{path}</code>
        <span class="quiet"><Prose text={operation.summary} /></span>
      </summary>
      <div class="endpoint-body">
        {operation.description && <p><Prose text={operation.description} /></p>}
        {needsToken(openapi, operation) && <p class="quiet">{t("docs.auth")}</p>}
        <Parameters endpoint={endpoint} />
        {body && (
          <>
            <h3>{t("docs.body")}</h3>
            <ContentView openapi={openapi} content={body} />
          </>
        )}
        <h3>{t("docs.responses")}</h3>
        {Object.entries(operation.responses ?? {}).map(([status, response]) => (
          <div key={status} class="response">
            <p>
              <code>{status}</code> <Prose text={resolved(openapi, response).description} />
            </p>
            <ContentView openapi={openapi} content={resolved(openapi, response)} />
          </div>
        ))}
        <h3>{t("docs.example")}</h3>
        <pre class="command" tabIndex={0}>
          {curl}
        </pre>
        <CopyButton text={curl} />
      </div>
    </details>
  );
}

function Parameters({ endpoint }: { endpoint: Endpoint }) {
  const parameters = endpoint.operation.parameters ?? [];
  if (parameters.length === 0) return null;
  return (
    <>
      <h3>{t("docs.parameters")}</h3>
      <ul class="properties">
        {parameters.map(({ name, in: place, required, schema, description }) => (
          <Property
            key={`${place} ${name}`}
            name={name}
            type={`${typeName(schema)} · ${place}`}
            required={required ?? false}
            description={description ?? schema?.description}
          />
        ))}
      </ul>
    </>
  );
}

function ContentView({ openapi, content }: { openapi: Document; content: Content }) {
  return (
    <>
      {Object.entries(content.content ?? {}).map(([type, { schema }]) => (
        <div key={type} class="content">
          <p class="quiet">
            <code>{type}</code> · {typeName(schema)}
          </p>
          {schema && !schema.$ref?.endsWith("/Problem") && <SchemaTable schema={resolved(openapi, schema)} />}
        </div>
      ))}
    </>
  );
}

export function SchemaTable({ schema }: { schema: Schema }) {
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return null;
  return (
    <ul class="properties">
      {properties.map(([name, property]) => (
        <Property
          key={name}
          name={name}
          type={typeName(property)}
          required={schema.required?.includes(name) ?? false}
          description={property.description}
        />
      ))}
    </ul>
  );
}

interface PropertyProps {
  name: string;
  type: string;
  required: boolean;
  description: string | undefined;
}

function Property({ name, type, required, description }: PropertyProps) {
  return (
    <li>
      <code class="property-name">{name}</code>
      <span class="quiet">
        {type}
        {required && ` · ${t("docs.required")}`}
      </span>
      {description && <p><Prose text={description} /></p>}
    </li>
  );
}
