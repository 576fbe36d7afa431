import { t } from "../i18n/index.ts";

/** The votes of a poll. `mine`: the index of the own answer. */
export function PollResult({ options, mine }: { options: { text: string; votes: number }[]; mine: number | null }) {
  const all = options.reduce((sum, { votes }) => sum + votes, 0);
  return (
    <ul class="poll-result">
      {options.map(({ text, votes }, index) => {
        const percent = all === 0 ? 0 : Math.round((votes / all) * 100);
        return (
          <li key={index} class={index === mine ? "mine" : ""}>
            <span class="poll-text">
              <bdi>{text}</bdi>
              {index === mine && <span class="role own">{t("poll.yours")}</span>}
            </span>
            <span class="numbers">{t("poll.votes", { votes, percent })}</span>
            <progress class="poll-bar" max={100} value={percent} aria-hidden="true" />
          </li>
        );
      })}
    </ul>
  );
}
