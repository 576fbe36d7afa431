/** The list of classes of the development server, in memory. Only the first one has a room behind it. */
import type { ClassList, ClassSummary } from "../src/api/schema.ts";

type State = Pick<ClassSummary, "state" | "since" | "viewers">;

export class DevClasses {
  readonly #all: ClassSummary[] = [made("main", "Physics 1", "ABC123", { is_default: true })];

  one(room: string): ClassSummary | undefined {
    return this.#all.find((each) => each.room === room && each.archived_at === null);
  }

  ofCode(code: string): ClassSummary | undefined {
    return this.#all.find((each) => each.class_code === code && each.archived_at === null);
  }

  list(main: State, archived: boolean): ClassList {
    const found = this.#all.filter(({ archived_at }) => (archived_at !== null) === archived);
    return { classes: found.map((each) => (each.room === "main" ? { ...each, ...main } : each)) };
  }

  add(title: string): ClassSummary {
    const one = made(`room${this.#all.length}`, title, `NEW${100 + this.#all.length}`);
    this.#all.push(one);
    return one;
  }

  change(room: string, { title, archived }: { title?: string; archived?: unknown }): ClassSummary {
    const at = this.#all.findIndex((each) => each.room === room);
    const before = this.#all[at] ?? made(room, room, "");
    const archived_at = archived === undefined ? before.archived_at : archived === true ? Date.now() / 1000 : null;
    return (this.#all[at] = { ...before, ...(title !== undefined && { title }), archived_at });
  }

  setKey(room: string, there: boolean): void {
    const at = this.#all.findIndex((each) => each.room === room);
    const before = this.#all[at];
    if (before) this.#all[at] = { ...before, has_teacher_key: there };
  }

  some(): void {
    const now = Date.now() / 1000;
    this.#all.splice(
      1,
      this.#all.length,
      made("math", "수학 II · 미적분과 함께하는 아주 긴 이름의 심화 수업, 월·수·금 오후", "KQ7M2R", { state: "live", since: now - 1_800, viewers: 128, has_teacher_key: true }),
      made("english", "English conversation", "P4XW9T", { state: "ended", since: now - 1_200 }),
      made("art", "미술", "H2JD8N"),
      made("old", "Physics 1 (2025)", "Z9ZZ9Z", { archived_at: now - 30 * 86_400 }),
    );
  }
}

function made(room: string, title: string, class_code: string, more: Partial<ClassSummary> = {}): ClassSummary {
  const idle = { state: "waiting", since: 0, viewers: 0, created_at: 1_790_000_000, archived_at: null, has_teacher_key: false, is_default: false } as const;
  return { room, title, class_code, ...idle, ...more };
}
