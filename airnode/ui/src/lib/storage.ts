/** Web storage that never throws: private windows and blocked cookies make every access throw. */
function read(storage: () => Storage, key: string): string | null {
  try {
    return storage().getItem(key);
  } catch {
    return null;
  }
}

function write(storage: () => Storage, key: string, value: string | null): void {
  try {
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, value);
  } catch {
    // Then nothing is stored; the page works without it.
  }
}

const local = () => window.localStorage;
const session = () => window.sessionStorage;

export const kept = {
  get: (key: string) => read(local, `airnode.${key}`),
  set: (key: string, value: string | null) => write(local, `airnode.${key}`, value),
};

export const forThisTab = {
  get: (key: string) => read(session, `airnode.${key}`),
  set: (key: string, value: string | null) => write(session, `airnode.${key}`, value),
};

/** The person's name, as it was given last; empty: none yet. */
export const ownName = {
  get: () => kept.get("name") ?? "",
  set: (name: string) => kept.set("name", name || null),
};

/** The name under which this person teaches. */
export const teacherName = {
  get: () => kept.get("teacher_name") ?? "",
  set: (name: string) => kept.set("teacher_name", name || null),
};

/** This browser's own id, made once. `crypto.randomUUID` is missing on plain http, so it is not used. */
export function userId(): string {
  const known = kept.get("user_id");
  if (known && /^u-[0-9a-f]{16}$/.test(known)) return known;
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const made = `u-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  kept.set("user_id", made);
  return made;
}
