import type { PollRow } from "../api/types.ts";
import { PollResult } from "../chat/poll_result.tsx";
import { language, t } from "../i18n/index.ts";
import { timeOfDay } from "../lib/format.ts";

/** The polls with their tallies, and below each who answered what. */
export function Polls({ polls }: { polls: PollRow[] }) {
  if (polls.length === 0) return <p class="quiet">{t("classrecord.no_polls")}</p>;
  return (
    <ul class="record-lines">
      {polls.map((poll) => (
        <li key={poll.id} class="record-poll">
          <p class="message-head">
            <time class="numbers" dateTime={new Date(poll.at * 1000).toISOString()}>
              {timeOfDay(poll.at, language.value)}
            </time>
            {poll.closed_at === null && <span class="pill live">{t("classrecord.poll_open")}</span>}
          </p>
          <h3 class="poll-question" dir="auto">
            {poll.question}
          </h3>
          <PollResult options={poll.options} mine={null} />
          {poll.answers.length > 0 && <Answers poll={poll} />}
        </li>
      ))}
    </ul>
  );
}

function Answers({ poll: { answers, options } }: { poll: PollRow }) {
  const groups = options.map(({ text }, index) => ({ text, names: answers.filter(({ option }) => option === index).map(({ name }) => name || t("people.unnamed")) }));
  return (
    <details class="poll-answers">
      <summary>{t("classrecord.poll_answers", { count: answers.length })}</summary>
      <dl>
        {groups
          .filter(({ names }) => names.length > 0)
          .map(({ text, names }, index) => (
            <div key={index}>
              <dt dir="auto">{text}</dt>
              <dd>
                <bdi>{names.sort((a, b) => a.localeCompare(b)).join(", ")}</bdi>
              </dd>
            </div>
          ))}
      </dl>
    </details>
  );
}
