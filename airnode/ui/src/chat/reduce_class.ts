/** How hands, polls, questions and presence change the state. */
import type { AskNews, HandNews, Poll, PresenceNews } from "./events.ts";
import type { ChatState } from "./state.ts";

export function onHand(state: ChatState, { raised, lowered, all_lowered }: HandNews): ChatState {
  if (all_lowered) return { ...state, hands: [] };
  let hands = lowered === undefined ? state.hands : state.hands.filter(({ user }) => user.id !== lowered);
  if (raised) hands = [...hands.filter(({ user }) => user.id !== raised.user.id), raised].sort((a, b) => a.at - b.at);
  return { ...state, hands };
}

export function onPoll(state: ChatState, poll: Poll): ChatState {
  // The tally of a poll that a newer one replaced comes too late.
  if (state.poll && state.poll.id !== poll.id && state.poll.at > poll.at) return state;
  const mine = typeof poll.mine === "number" ? { id: poll.id, index: poll.mine } : null;
  return { ...state, poll, answer: mine ?? (state.answer?.id === poll.id ? state.answer : null) };
}

export function onAsk(state: ChatState, { question, deleted }: AskNews): ChatState {
  if (deleted !== undefined) return { ...state, questions: state.questions.filter(({ id }) => id !== deleted) };
  if (!question) return state;
  const known = state.questions.some(({ id }) => id === question.id);
  const questions = known ? state.questions.map((one) => (one.id === question.id ? question : one)) : [...state.questions, question];
  const seen = known || question.user.id === state.you?.id || (state.tab === "ask" && !state.unseen);
  return { ...state, questions, unread: seen ? state.unread : { ...state.unread, ask: state.unread.ask + 1 } };
}

export function onPresence(state: ChatState, { count, joined, left }: PresenceNews): ChatState {
  const before = state.members.users;
  // In a large room only the count comes; once it is small again, `joined` is everybody.
  if (!joined && !left) return { ...state, members: { count, users: null } };
  const gone = new Set(left ?? []);
  const fresh = new Set((joined ?? []).map(({ id }) => id));
  const users = [...(before ?? []).filter(({ id }) => !gone.has(id) && !fresh.has(id)), ...(joined ?? [])];
  return { ...state, members: { count, users } };
}
