import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { Icon, type IconName } from "./icons.tsx";

export interface TabItem<T extends string> {
  id: T;
  label: string;
  icon?: IconName;
  /** Behind the label: what is new, and how to say it. */
  mark?: { text: string; spoken: string; urgent?: boolean; icon?: IconName } | null;
}

interface TabsProps<T extends string> {
  label: string;
  items: TabItem<T>[];
  chosen: T;
  onChoose(id: T): void;
  children: ComponentChildren;
}

/** Tabs as WAI-ARIA describes them: one stop for Tab, arrows go from one to the next. */
export function Tabs<T extends string>({ label, items, chosen, onChoose, children }: TabsProps<T>) {
  const list = useRef<HTMLDivElement>(null);
  const onKey = (event: KeyboardEvent) => {
    const at = items.findIndex(({ id }) => id === chosen);
    const last = items.length - 1;
    const places: Partial<Record<string, number>> = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last };
    const to = places[event.key];
    const item = to === undefined ? undefined : items[to];
    if (to === undefined || !item) return;
    event.preventDefault();
    onChoose(item.id);
    (list.current?.children[to] as HTMLElement | undefined)?.focus();
  };
  return (
    <>
      <div ref={list} class="tabs" role="tablist" aria-label={label} onKeyDown={onKey}>
        {items.map(({ id, label: name, icon, mark }) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`tab-${id}`}
            class="tab"
            aria-selected={id === chosen}
            aria-controls="tab-panel"
            tabIndex={id === chosen ? 0 : -1}
            onClick={() => onChoose(id)}
          >
            {icon && <Icon name={icon} size={18} />}
            <span class="tab-name">{name}</span>
            {mark && (
              <span class={mark.urgent ? "mark urgent numbers" : "mark numbers"}>
                {mark.icon && <Icon name={mark.icon} size={14} />}
                <span aria-hidden="true">{mark.text}</span>
                <span class="visually-hidden">{mark.spoken}</span>
              </span>
            )}
          </button>
        ))}
      </div>
      <div class="tab-panel" id="tab-panel" role="tabpanel" aria-labelledby={`tab-${chosen}`}>
        {children}
      </div>
    </>
  );
}
