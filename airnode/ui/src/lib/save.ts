import { bearerHeaders, problemOf } from "../api/client.ts";

/** Save an answer of the API as a file, under the name that the server gives it. Raises Problem when the server refuses. */
export async function saveFile(path: string, bearer: string): Promise<void> {
  const response = await fetch(path, { headers: bearerHeaders(bearer), cache: "no-store" });
  if (!response.ok) throw await problemOf(response);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = nameIn(response.headers.get("Content-Disposition")) ?? "airnode";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Return the file name of a `Content-Disposition` header; the form for names beyond ASCII counts more. */
export function nameIn(header: string | null): string | null {
  const wide = /filename\*=UTF-8''([^;]+)/i.exec(header ?? "")?.[1];
  if (wide) return decodeURIComponent(wide);
  return /filename="?([^";]+)"?/i.exec(header ?? "")?.[1] ?? null;
}
