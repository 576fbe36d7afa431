import { useEffect, useState } from "preact/hooks";

export interface Polled<T> {
  value: T | null;
  /** Why the last try failed; null: it did not. */
  error: unknown;
}

/**
 * Return what `read` answers, asked anew every `periodMs` while the page is visible, and when `key` changes.
 *
 * An empty key: nothing is asked. A value stays until the next one comes, as long as the `group` is the same.
 */
export function usePolled<T>(periodMs: number, key: string, read: () => Promise<T>, group = key): Polled<T> {
  const [polled, setPolled] = useState<Polled<T> & { group: string }>({ value: null, error: null, group });
  useEffect(() => {
    if (key === "") return;
    let over = false;
    const ask = async () => {
      if (document.hidden) return;
      try {
        const value = await read();
        if (!over) setPolled({ value, error: null, group });
      } catch (error) {
        if (!over) setPolled((before) => ({ value: before.group === group ? before.value : null, error, group }));
      }
    };
    void ask();
    const timer = setInterval(() => void ask(), periodMs);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [key, periodMs]);
  return polled.group === group ? polled : { value: null, error: null };
}
