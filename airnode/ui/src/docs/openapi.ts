/** The part of OpenAPI 3.1 that the page shows. */

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  title?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  examples?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  required?: string[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
}

export interface Parameter {
  $ref?: string;
  name: string;
  in: string;
  description?: string;
  required?: boolean;
  schema?: Schema;
}

export interface Content {
  description?: string;
  required?: boolean;
  content?: Record<string, { schema?: Schema; example?: unknown }>;
  $ref?: string;
}

export interface Operation {
  tags?: string[];
  summary?: string;
  description?: string;
  operationId?: string;
  parameters?: Parameter[];
  requestBody?: Content;
  responses?: Record<string, Content>;
  security?: Record<string, string[]>[];
  deprecated?: boolean;
}

export interface Document {
  info?: { title?: string; version?: string; description?: string };
  tags?: { name: string; description?: string }[];
  paths?: Record<string, Record<string, unknown>>;
  security?: Record<string, string[]>[];
  components?: Record<string, Record<string, unknown>>;
}

export interface Endpoint {
  method: string;
  path: string;
  tag: string;
  operation: Operation;
}

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];

/** Return all operations in the document's order; parameters of a path are merged into its operations. */
export function endpoints(document: Document, untagged: string): Endpoint[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) => {
    const shared = (item["parameters"] as Parameter[] | undefined) ?? [];
    return METHODS.filter((method) => item[method]).map((method) => {
      const operation = item[method] as Operation;
      const own = operation.parameters ?? [];
      const inherited = shared.filter(({ name, in: place }) => !own.some((one) => one.name === name && one.in === place));
      const parameters = [...inherited, ...own].map((one) => resolved(document, one));
      return { method, path, tag: operation.tags?.[0] ?? untagged, operation: { ...operation, parameters } };
    });
  });
}

/** Return what `$ref: "#/a/b"` refers to inside the document, also over several references; a circle ends the search. */
export function resolved<T extends { $ref?: string }>(document: Document, value: T): T {
  let current = value;
  for (let step = 0; step < 8 && current.$ref; step += 1) {
    const keys = current.$ref.replace(/^#\//, "").split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const found = keys.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);
    if (!found) return value;
    current = found as T;
  }
  return current;
}

/** Return a type in one line: `string (date-time)`, `Room[]`, `"live" | "ended"`. */
export function typeName(schema: Schema | undefined): string {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").at(-1) ?? "any";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const union = schema.anyOf ?? schema.oneOf;
  if (union) return union.map(typeName).join(" | ");
  if (schema.allOf) return schema.allOf.map(typeName).join(" & ");
  const types = Array.isArray(schema.type) ? schema.type : [schema.type ?? (schema.properties ? "object" : "any")];
  return types.map((type) => (type === "array" ? `${typeName(schema.items)}[]` : type + (schema.format ? ` (${schema.format})` : ""))).join(" | ");
}

/** Return a value of this shape, from the schema's examples or else by its type. */
export function exampleOf(document: Document, schema: Schema | undefined, depth = 0): unknown {
  if (!schema || depth > 5) return null;
  const known = resolved(document, schema);
  const given = known.examples?.[0] ?? known.default ?? known.const ?? known.enum?.[0];
  if (given !== undefined) return given;
  const choice = known.anyOf?.[0] ?? known.oneOf?.[0] ?? known.allOf?.[0];
  if (choice) return exampleOf(document, choice, depth + 1);
  const type = Array.isArray(known.type) ? known.type[0] : known.type;
  if (known.properties) {
    return Object.fromEntries(Object.entries(known.properties).map(([key, value]) => [key, exampleOf(document, value, depth + 1)]));
  }
  if (type === "array") return [exampleOf(document, known.items, depth + 1)];
  return { string: "…", integer: 0, number: 0, boolean: false, object: {} }[type ?? ""] ?? null;
}

export function needsToken(document: Document, operation: Operation): boolean {
  const security = operation.security ?? document.security ?? [];
  return security.length > 0 && !security.some((one) => Object.keys(one).length === 0);
}

/** Return a curl command that works once the placeholders are filled in. */
export function curlOf(document: Document, { method, path, operation }: Endpoint, origin: string): string {
  const required = (operation.parameters ?? []).filter((one) => one.in === "query" && one.required);
  const query = required.map(({ name }) => `${name}=…`).join("&");
  const url = origin + path.replace(/\{(\w+)\}/g, "<$1>") + (query ? `?${query}` : "");
  const parts = [method === "get" ? "curl" : `curl -X ${method.toUpperCase()}`];
  if (needsToken(document, operation)) parts.push('-H "Authorization: Bearer $TOKEN"');
  const body = operation.requestBody && resolved(document, operation.requestBody).content?.["application/json"];
  if (body) {
    const value = body.example ?? exampleOf(document, body.schema);
    parts.push('-H "Content-Type: application/json"', `-d '${JSON.stringify(value).replaceAll("'", "'\\''")}'`);
  }
  parts.push(`'${url}'`);
  return parts.join(" \\\n  ");
}
