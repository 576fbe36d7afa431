import { useEffect, useRef, useState } from "preact/hooks";
import type { Store } from "./store.ts";

/** Render from a store and again whenever it changes. */
export function useStore<T>(store: Store<T>): T {
  const [value, setValue] = useState(store.value);
  useEffect(() => {
    setValue(store.value);
    return store.subscribe(() => setValue(store.value));
  }, [store]);
  return value;
}

/** Render from a part of a store, and again only when that part is another one. `select` must not make new objects. */
export function useSelected<T, P>(store: Store<T>, select: (value: T) => P): P {
  const [, redraw] = useState(0);
  const shown = useRef({ select, part: undefined as P });
  shown.current = { select, part: select(store.value) };
  useEffect(() => {
    const read = () => {
      if (!Object.is(shown.current.select(store.value), shown.current.part)) redraw((count) => count + 1);
    };
    read();
    return store.subscribe(read);
  }, [store]);
  return shown.current.part;
}

/** Return whether a media query holds. */
export function useMedia(query: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const read = () => setHolds(list.matches);
    read();
    list.addEventListener("change", read);
    return () => list.removeEventListener("change", read);
  }, [query]);
  return holds;
}

/** The time (unix ms), renewed every `periodMs` while `active`. */
export function useNow(periodMs: number, active = true): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!active) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), periodMs);
    return () => clearInterval(timer);
  }, [periodMs, active]);
  return now;
}
