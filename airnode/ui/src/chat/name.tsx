import { t } from "../i18n/index.ts";
import type { ChatRole } from "./events.ts";
import { hueOf } from "./text.ts";

interface NameProps {
  user: { id: string; name: string; role: ChatRole };
  own?: boolean;
}

/** A person's name, with the teacher marked in words, not by colour alone. */
export function Name({ user, own = false }: NameProps) {
  const teacher = user.role === "teacher";
  const shown = user.name || t(teacher ? "room.teacher" : "people.unnamed");
  return (
    <>
      <bdi class={teacher ? "name teacher" : `name hue-${hueOf(user.id)}`}>{shown}</bdi>
      {teacher && shown !== t("room.teacher") && <span class="role">{t("room.teacher")}</span>}
      {own && <span class="role own">{t("room.you")}</span>}
    </>
  );
}

export function nameOf(user: { name: string; role: ChatRole }): string {
  return user.name || t(user.role === "teacher" ? "room.teacher" : "people.unnamed");
}
