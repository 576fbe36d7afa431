import { language, t, type Key } from "../i18n/index.ts";
import { ago } from "../lib/format.ts";
import { Bar, Fact } from "./cluster.tsx";
import { shortTime, whole, won } from "./figures.ts";
import { topicName } from "./topics.ts";
import type { CourseView, LetterView, PipelineStatus } from "../api/schema.ts";

const REASONS: Record<string, Key> = {
  not_json: "letter.not_json",
  unknown_version: "letter.unknown_version",
  unknown_type: "letter.unknown_type",
  invalid: "letter.invalid",
  refused: "letter.refused",
  too_large: "letter.too_large",
};

/** What is in the cache, and when it is filled again. */
export function CacheCard({ status: { cache, server_time, missing } }: { status: PipelineStatus }) {
  const lang = language.value;
  const sinceS = cache.refreshed_at === null ? null : Math.max(0, server_time - cache.refreshed_at);
  if (missing.includes("redis")) return null;
  return (
    <section class="card" aria-labelledby="cache-title">
      <h3 id="cache-title">{t("cache.title")}</h3>
      {sinceS === null ? (
        <p class="quiet">{t("cache.never")}</p>
      ) : (
        <div class="cycle">
          <Cycle sinceS={sinceS} intervalS={cache.interval_s} />
        </div>
      )}
      <dl class="facts">
        <Fact name={t("topic.users")}>{whole(cache.users, lang)}</Fact>
        <Fact name={t("topic.products")}>{whole(cache.products, lang)}</Fact>
        <Fact name={t("cache.swaps")}>{whole(cache.swaps, lang)}</Fact>
        <Fact name={t("cache.oldest")}>{shortTime(cache.oldest_uncached_age_s, lang)}</Fact>
      </dl>
      <p class="quiet small">
        {t("cache.reads", { hits: whole(cache.hits, lang), misses: whole(cache.misses, lang) })}
        {cache.worker && ` · ${t("cache.worker", { name: cache.worker })}`}
      </p>
    </section>
  );
}

function Cycle({ sinceS, intervalS }: { sinceS: number; intervalS: number }) {
  const late = sinceS > intervalS + 2;
  const place = { now: Math.floor(Math.min(sinceS, intervalS)), all: Math.round(intervalS) };
  return (
    <>
      <Bar percent={late ? 100 : Math.min(69, (sinceS / intervalS) * 100)} label={t("cache.cycle", place)} />
      <span class="quiet numbers small">{late ? t("cache.late", { time: shortTime(sinceS, language.value) }) : t("cache.cycle", place)}</span>
    </>
  );
}

/** Records that could not be inserted, the latest first. */
export function LettersCard({ status: { dead_letters: letters, server_time, missing } }: { status: PipelineStatus }) {
  if (missing.includes("postgres")) return null;
  const lang = language.value;
  const more = letters.total >= letters.counted_up_to ? "+" : "";
  return (
    <section class="card letters" aria-labelledby="letters-title">
      <div class="node-head">
        <h3 id="letters-title">{t("letter.title")}</h3>
        <span class={letters.total > 0 ? "pill recording" : "pill live"}>{whole(letters.total, lang) + more}</span>
      </div>
      {letters.total === 0 && <p class="quiet">{t("letter.none")}</p>}
      <ul>
        {letters.last.map((letter) => (
          <Letter key={letter.letter_id} letter={letter} now={server_time} />
        ))}
      </ul>
      {letters.total > 0 && <p class="quiet small">{t("letter.next")}</p>}
    </section>
  );
}

function Letter({ letter, now }: { letter: LetterView; now: number }) {
  const reason = REASONS[letter.reason];
  const place = `${topicName(letter.topic)} ${letter.partition}/${letter.offset}`;
  return (
    <li>
      <div class="letter-head">
        <strong>{reason ? t(reason) : letter.reason}</strong>
        <span class="quiet small">{ago(letter.died_at, now, language.value, t("time.just_now"))}</span>
      </div>
      <p class="small detail">{letter.detail}</p>
      <p class="quiet small">
        {place} · {t("letter.attempts", { count: letter.attempts })}
      </p>
    </li>
  );
}

export function CoursesCard({ courses }: { courses: CourseView[] }) {
  const lang = language.value;
  if (courses.length === 0) return null;
  return (
    <section class="card" aria-labelledby="courses-title">
      <h3 id="courses-title">{t("courses.title")}</h3>
      <ol class="courses">
        {courses.map((course) => (
          <li key={course.product_id}>
            <span>{course.title || t("courses.unknown", { id: course.product_id })}</span>
            <span class="numbers quiet small">
              {t("courses.orders", { count: whole(course.orders, lang) })} · {won(course.revenue_krw, lang)}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
