/** Ends with an error when source files import each other in a circle; imports of types count too. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dirname, "src");
const IMPORT = /(?:from|import)\s*\(?\s*"(\.[^"]+\.tsx?)"/g;
const imports = new Map<string, string[]>();
for (const file of globSync("**/*.{ts,tsx}", { cwd: ROOT })) {
  const text = readFileSync(join(ROOT, file), "utf8");
  imports.set(file, [...text.matchAll(IMPORT)].map(([, path]) => join(dirname(file), path ?? "")));
}

const finished = new Set<string>();

/** Return the first circle that is met from `file` on; `path`: the files that led here. */
function circleFrom(file: string, path: string[]): string[] | null {
  if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
  if (finished.has(file)) return null;
  for (const next of imports.get(file) ?? []) {
    const circle = circleFrom(next, [...path, file]);
    if (circle) return circle;
  }
  finished.add(file);
  return null;
}

for (const file of imports.keys()) {
  const circle = circleFrom(file, []);
  if (circle) {
    console.error(`imports in a circle: ${circle.join(" -> ")}`);
    process.exit(1);
  }
}
