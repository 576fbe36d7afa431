import type { ComponentChildren } from "preact";
import { RoomColumn } from "../chat/column.tsx";
import { ChatRules } from "../chat/moderation.tsx";
import { Hands } from "../chat/people.tsx";
import { NewPoll } from "../chat/poll_form.tsx";
import { useSelected, useStore } from "../lib/hooks.ts";
import { teacherName } from "../lib/storage.ts";
import { OwnName } from "../people/name.tsx";
import type { StudioVisit } from "./visit.ts";

/** Beside the preview: chat with its rules, questions, people, and the poll. */
export function TeacherRoom({ visit, info }: { visit: StudioVisit; info?: ComponentChildren }) {
  const { chat } = visit;
  const { grant } = useStore(visit.room.view);
  return (
    <RoomColumn
      chat={chat}
      rules={
        <>
          <ChatRules chat={chat} />
          <RaisedHands visit={visit} />
        </>
      }
      foot={
        <div class="actions-row">
          <NewPoll chat={chat} />
        </div>
      }
      name={grant && <OwnName shown={grant.name ?? ""} given={teacherName.get()} hint="name.teacher_hint" rename={(name) => visit.rename(name)} />}
      info={info}
    />
  );
}

/** Also above the messages: a teacher sees a hand without changing the tab. */
function RaisedHands({ visit }: { visit: StudioVisit }) {
  const hands = useSelected(visit.chat.view, (state) => state.hands);
  const you = useSelected(visit.chat.view, (state) => state.you);
  return hands.length > 0 ? <div class="hands-strip"><Hands chat={visit.chat} teacher you={you} /></div> : null;
}
