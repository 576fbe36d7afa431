import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface FieldProps {
  value: string;
  label: string;
  placeholder: string;
  disabled?: boolean;
  describedBy?: string | undefined;
  onInput(text: string): void;
  onSubmit(): void;
  onBlur?(): void;
  field?: RefObject<HTMLTextAreaElement | null>;
}

const MOST_PX = 120;

/** A text field that grows with its text. Enter submits; Shift+Enter breaks the line, as does Enter while an input method composes. */
export function GrowingField({ value, label, placeholder, disabled = false, describedBy, onInput, onSubmit, onBlur, field }: FieldProps) {
  const own = useRef<HTMLTextAreaElement>(null);
  const area = field ?? own;
  useLayoutEffect(() => {
    const element = area.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(MOST_PX, element.scrollHeight + 2)}px`;
  }, [value]);
  const onKeyDown = (event: KeyboardEvent) => {
    // Korean is composed: the Enter that ends a syllable must not send. Safari says so with the key code 229 only.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    onSubmit();
  };
  return (
    <textarea
      ref={area}
      class="input growing"
      rows={1}
      value={value}
      aria-label={label}
      placeholder={placeholder}
      disabled={disabled}
      aria-describedby={describedBy}
      enterkeyhint="send"
      autocomplete="off"
      dir="auto"
      onInput={(event) => onInput(event.currentTarget.value)}
      onKeyDown={onKeyDown}
      onBlur={onBlur}
    />
  );
}
