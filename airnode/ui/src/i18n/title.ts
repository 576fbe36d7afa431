import { t } from "./index.ts";

/** The title that the server gives to a class without one. */
const DEFAULT_TITLE = "Class";

/** Return a class's title; the default one in the page's language. */
export function shownTitle(title: string): string {
  return title === DEFAULT_TITLE ? t("studio.class") : title;
}
