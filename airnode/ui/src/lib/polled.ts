import { useEffect, useState } from "preact/hooks";

export interface Polled<T> {
  value: T | null;
  /** Why the last try failed; null: it did not. */
  error: unknown;
}

/** Return what `read` answers, asked anew every `periodMs` while the page is visible, and when `key` changes. An empty key: nothing is asked. */
export function usePolled<T>(periodMs: number, key: string, read: () => Promise<T>): Polled<T> {
  const [polled, setPolled] = useState<Polled<T> & { key: string }>({ value: null, error: null, key });
  useEffect(() => {
    if (key === "") return;
    let over = false;
    const ask = async () => {
      if (document.hidden) return;
      try {
        const value = await read();
        if (!over) setPolled({ value, error: null, key });
      } catch (error) {
        if (!over) setPolled((before) => ({ value: before.key === key ? before.value : null, error, key }));
      }
    };
    void ask();
    const timer = setInterval(() => void ask(), periodMs);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [key, periodMs]);
  return polled.key === key ? polled : { value: null, error: null };
}
