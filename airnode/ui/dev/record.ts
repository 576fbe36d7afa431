/** The record of the development server's class: a session that runs, one of yesterday, and one that nobody attended. */
import type { SessionList, SessionRecord, SessionSummary } from "../src/api/schema.ts";
import { raisedHands } from "../src/classrecord/hands.ts";
import { LINES, PUPILS } from "./chat.ts";

const DAY_S = 86_400;
const NOTHING = { attendance: [], chat: [], questions: [], polls: [], hands: [] };
const FIRST = { user_id: PUPILS[0]?.id ?? "", name: PUPILS[0]?.name ?? "" };

/** What the record has: everything, no session, or a session without a row. */
export type Kept = "all" | "none" | "empty";

function summary(session_id: string, started_at: number, ended_at: number | null, kept: Kept): SessionSummary {
  return { session_id, room: "main", started_at, ended_at, students: kept === "all" ? PUPILS.length : 0, messages: kept === "all" ? LINES.length : 0 };
}

export function sessionList(since: number, ended: boolean, kept: Kept): SessionList {
  if (kept === "none") return { sessions: [] };
  return { sessions: [summary("s2", since, ended ? since + 1_500 : null, kept), summary("s1", since - DAY_S, since - DAY_S + 3_000, kept)] };
}

export function sessionRecord(id: string, part: string, since: number, ended: boolean, kept: Kept): SessionRecord {
  const { sessions } = sessionList(since, ended, kept);
  const session = sessions.find(({ session_id }) => session_id === id) ?? sessions[0] ?? summary("s2", since, null, kept);
  const all = kept === "all" ? parts(session.started_at, session.ended_at === null) : NOTHING;
  const counts = { attendance: all.attendance.length, chat: all.chat.length, questions: all.questions.length, polls: all.polls.length, hands: raisedHands(all.hands).length };
  return { session, title: "Physics 1", complete: true, counts, ...(part in all ? { ...NOTHING, [part]: all[part as keyof typeof all] } : all) };
}

function parts(from: number, running: boolean): Pick<SessionRecord, "attendance" | "chat" | "questions" | "polls" | "hands"> {
  const pupil = (index: number) => ({ user_id: PUPILS[index % PUPILS.length]?.id ?? "", name: PUPILS[index % PUPILS.length]?.name ?? "" });
  return {
    attendance: PUPILS.map(({ id, name }, index) => {
      const left_at = index % 3 === 1 || !running ? from + 1_500 - 60 * index : null;
      return { student_id: id, name, joined_at: from + 20 * index, left_at, minutes: 25 - index, watched_minutes: 24 - index, percent: 100 - 4 * index };
    }),
    chat: LINES.map((content, index) => {
      const teacher = index === 9;
      const who = teacher ? { user_id: "t0", name: "김선영", role: "teacher" } : { ...pupil(index), role: "student" };
      return { id: `m${index}`, at: from + 60 * index, ...who, type: "text", content: index === 4 ? "" : content, deleted: index === 4 };
    }),
    questions: ["관성은 힘인가요?", "Will this be in the exam? I could not find the chapter about it in the book that we got.", "숙제는 언제까지예요?"].map((content, index) => ({
      ...{ id: `q${index}`, at: from + 300 * index, ...pupil(index), content, supporters: 7 - 3 * index, answered: index === 0, deleted: false },
    })),
    polls: [
      {
        ...{ id: "poll1", at: from + 600, closed_at: from + 660, question: "지금까지 이해됐나요?" },
        options: ["네, 모두 이해했어요", "조금 어려워요", "처음부터 다시 설명해 주세요"].map((text, index) => ({ text, votes: [5, 2, 1][index] ?? 0 })),
        answers: PUPILS.map((_, index) => ({ ...pupil(index), option: index < 5 ? 0 : index < 7 ? 1 : 2, at: from + 610 + index })),
      },
    ],
    hands: [
      { at: from + 120, ...pupil(2), raised: true },
      { at: from + 180, ...pupil(2), raised: false },
      { at: from + 400, ...FIRST, raised: true },
      { at: from + 420, ...pupil(5), raised: true },
      ...(running ? [] : [{ at: from + 500, user_id: "", name: "", raised: false }]),
    ],
  };
}
