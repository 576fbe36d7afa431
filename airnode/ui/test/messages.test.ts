import assert from "node:assert/strict";
import { glob, readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

type Messages = Record<string, string>;

const FOLDER = new URL("../src/i18n/", import.meta.url);
const subjects = async (lang: string) => (await readdir(new URL(`${lang}/`, FOLDER))).sort();

async function read(lang: string): Promise<Messages> {
  const texts = await Promise.all((await subjects(lang)).map((name) => readFile(new URL(`${lang}/${name}`, FOLDER), "utf8")));
  return Object.assign({}, ...texts.map((text) => JSON.parse(text) as Messages)) as Messages;
}

const en = await read("en");
const ko = await read("ko");
const places = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test("both languages have the same files, and the pages load each of them", async () => {
  assert.deepEqual(await subjects("ko"), await subjects("en"));
  const loader = await readFile(new URL("index.ts", FOLDER), "utf8");
  for (const name of await subjects("en")) for (const lang of ["en", "ko"]) assert.ok(loader.includes(`"./${lang}/${name}"`), name);
});

test("both languages have the same messages in the same order", () => {
  assert.deepEqual(Object.keys(ko), Object.keys(en));
});

test("a message has the same places in both languages", () => {
  for (const key of Object.keys(en)) assert.deepEqual(places(ko[key] ?? ""), places(en[key] ?? ""), key);
});

test("no message is empty", () => {
  for (const messages of [en, ko]) for (const [key, text] of Object.entries(messages)) assert.notEqual(text.trim(), "", key);
});

test("every message is used", async () => {
  let sources = "";
  for await (const path of glob("src/**/*.{ts,tsx}", { cwd: new URL("..", import.meta.url) })) {
    sources += await readFile(new URL(`../${path}`, import.meta.url), "utf8");
  }
  assert.deepEqual(Object.keys(en).filter((key) => !sources.includes(`"${key}"`)), []);
});

test("a page speaks of another server only once it is there", () => {
  assert.doesNotMatch(en["phase.moving"] ?? "", /server/i);
  assert.doesNotMatch(ko["phase.moving"] ?? "", /서버/);
});
