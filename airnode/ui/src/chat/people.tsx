import { t } from "../i18n/index.ts";
import { clockFormat } from "../lib/format.ts";
import { useNow, useSelected } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import type { User } from "./events.ts";
import { measuresOf } from "./measures.ts";
import { UserMenu } from "./moderation_menu.tsx";
import { Name, nameOf } from "./name.tsx";
import type { ChatRoom } from "./room.ts";

/** Who is here; for the teacher also whose hand is up, and who was removed. */
export function People({ chat }: { chat: ChatRoom }) {
  const members = useSelected(chat.view, (state) => state.members);
  const hands = useSelected(chat.view, (state) => state.hands);
  const you = useSelected(chat.view, (state) => state.you);
  const teacher = you?.role === "teacher";
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t("room.people")}>
      {hands.length > 0 && <Hands chat={chat} teacher={teacher} you={you} />}
      <h2 class="part-title numbers">{t("people.count", { count: members.count })}</h2>
      {members.count === 0 && <p class="quiet pad">{t("people.none")}</p>}
      {members.users === null && members.count > 0 && <p class="quiet pad">{t("people.many")}</p>}
      <ul class="people">
        {sorted(members.users ?? [], you).map((user) => (
          <Person key={user.id} chat={chat} user={user} own={user.id === you?.id} raised={hands.some((hand) => hand.user.id === user.id)} teacher={teacher} />
        ))}
      </ul>
      {teacher && <Removed chat={chat} />}
    </div>
  );
}

/** Teachers first, then oneself, then by name. */
function sorted(users: readonly User[], you: User | null): User[] {
  const rank = ({ id, role }: User) => (role === "teacher" ? 0 : id === you?.id ? 1 : 2);
  return [...users].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

function Person({ chat, user, own, raised, teacher }: { chat: ChatRoom; user: User; own: boolean; raised: boolean; teacher: boolean }) {
  const muted = useSelected(chat.view, (state) => state.mutedUsers.some(({ id }) => id === user.id));
  return (
    <li class="person" data-user={user.id}>
      <span class="person-name">
        <Name user={user} own={own} />
        {raised && <Icon name="hand" size={18} />}
        {muted && <span class="pill reconnecting">{t("people.muted")}</span>}
      </span>
      {teacher && !own && <UserMenu chat={chat} user={user} />}
    </li>
  );
}

/** Raised hands in the order in which they went up. */
export function Hands({ chat, teacher, you }: { chat: ChatRoom; teacher: boolean; you: User | null }) {
  const hands = useSelected(chat.view, (state) => state.hands);
  useNow(5_000, teacher);
  return (
    <section class="hands" aria-label={t("hand.title")}>
      <div class="part-head">
        <h2 class="part-title">
          {t("hand.title")} <span class="numbers">{hands.length}</span>
        </h2>
        {teacher && (
          <button type="button" class="button quiet small" onClick={() => void chat.request("hand", { lower_all: true })}>
            {t("hand.lower_all")}
          </button>
        )}
      </div>
      <ol>
        {hands.map(({ user, at }) => (
          <li key={user.id} class="person">
            <span class="person-name">
              <Icon name="hand" size={18} />
              <Name user={user} own={user.id === you?.id} />
              {teacher && <span class="quiet numbers">{t("hand.since", { time: clockFormat((chat.now() - at) / 1000) })}</span>}
            </span>
            {teacher && (
              <button
                type="button"
                class="icon-button"
                aria-label={t("hand.lower_one", { name: nameOf(user) })}
                title={t("hand.lower_one", { name: nameOf(user) })}
                onClick={() => void chat.request("hand", { lower: user.id })}
              >
                <Icon name="down" size={18} />
              </button>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Removed({ chat }: { chat: ChatRoom }) {
  const removed = useSelected(chat.view, (state) => state.removedUsers);
  if (removed.length === 0) return null;
  return (
    <section aria-label={t("people.removed")}>
      <h2 class="part-title">{t("people.removed")}</h2>
      <ul class="people">
        {removed.map((user) => (
          <li key={user.id} class="person">
            <span class="person-name">
              <Name user={user} />
            </span>
            <button type="button" class="button small" onClick={() => measuresOf(chat).readmit(user)}>
              {t("mod.readmit")}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
