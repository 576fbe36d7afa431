import { t, type Key } from "../i18n/index.ts";

const TOPICS: Record<string, Key> = { users: "topic.users", products: "topic.products", orders: "topic.orders", classroom: "topic.classroom" };

export function topicName(topic: string): string {
  const known = TOPICS[topic];
  return known ? t(known) : topic;
}
