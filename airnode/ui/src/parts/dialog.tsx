import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** A modal dialog: the browser keeps the focus inside and closes it with Esc. */
export function Dialog({
  label,
  kind = "",
  onClose,
  children,
}: {
  label: string;
  kind?: string;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const element = dialog.current;
    const opener = document.activeElement;
    element?.showModal();
    return () => {
      element?.close();
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} class={`dialog ${kind}`} aria-label={label} onClose={onClose}>
      {children}
    </dialog>
  );
}
