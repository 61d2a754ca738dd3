// The client against a gateway, where HOMING_TEST_GATEWAY names one (http://HOST:PORT) and HOMING_TEST_GATEWAY_KEY its
// secret for HS256 and its API key: several tabs, unread messages, reading, broken connections.

import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';

const gateway = process.env.HOMING_TEST_GATEWAY;
const key = process.env.HOMING_TEST_GATEWAY_KEY;
const source = readFileSync(new URL('homing.js', import.meta.url));
const { Homing } = await import(`data:text/javascript;base64,${source.toString('base64')}`);
const { WebSocket } = createRequire(path.join(process.env.HOMING_TEST_NODE, 'package.json'))('ws');

// A user that no other test has.
const somebody = () => `js-${randomUUID()}`;

function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ user_id: user, exp: Math.floor(Date.now() / 1000) + 60 })}`;
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}

async function rpc(method, params) {
  const answer = await fetch(`${gateway}/rpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  const { result, error } = await answer.json();
  assert.equal(error, undefined, JSON.stringify(error));
  return result;
}

const push = (user, text) => rpc('push.user', { user, type: 'note', data: { text } });

// A tab of `user`: its texts in order, and waiting for so many.
function tab(t, user, options = {}) {
  const sockets = [];
  class Seen extends WebSocket {
    constructor(...args) { super(...args); sockets.push(this); }
  }
  const homing = new Homing(`${gateway.replace('http', 'ws')}/ws`, {
    WebSocket: Seen, token: () => user && token(user), backoff: { base: 5, cap: 20 }, ...options,
  });
  t.after(() => homing.close());
  const seen = { messages: [], reads: [], gaps: [], hellos: [], closes: [] };
  let wake = () => {};
  const keep = (name, list) => homing.on(name, (value) => { list.push(value); wake(); });
  keep('message', seen.messages);
  keep('connected', seen.hellos);
  keep('closed', seen.closes);
  keep('gap', seen.gaps);
  homing.on('read', (ids) => { seen.reads.push(...ids); wake(); });
  const until = async (done) => { while (!done()) await new Promise((resolve) => { wake = resolve; }); };
  const texts = () => seen.messages.map((message) => message.data.text);
  return { homing, seen, sockets, until, texts, cut: () => sockets.at(-1).terminate() };
}

async function connected(one) {
  one.homing.connect();
  await one.until(() => one.seen.hellos.length);
  return one;
}

test('each tab of a user gets each message once, and nobody else does', { skip: !gateway }, async (t) => {
  const [user, other] = [somebody(), somebody()];
  const tabs = [await connected(tab(t, user)), await connected(tab(t, user, { tokenIn: 'query' }))];
  const stranger = await connected(tab(t, other));
  assert.deepEqual([tabs[0].homing.user, stranger.homing.user], [user, other]);
  for (const text of ['一', '二', '三']) await push(user, text);
  await push(other, 'for the other');
  for (const one of tabs) {
    await one.until(() => one.seen.messages.length >= 3);
    assert.deepEqual(one.texts(), ['一', '二', '三']);
  }
  await stranger.until(() => stranger.seen.messages.length);
  assert.deepEqual(stranger.texts(), ['for the other']);
});

test('what is unread is shown, and what was read on one tab is gone from all', { skip: !gateway }, async (t) => {
  const user = somebody();
  for (const text of ['a', 'b', 'c']) await push(user, text);
  const [one, two] = [await connected(tab(t, user)), await connected(tab(t, user))];
  for (const each of [one, two]) {
    await each.until(() => each.seen.messages.length >= 3);
    assert.deepEqual(each.texts(), ['a', 'b', 'c']);
  }
  const read = one.seen.messages[1].id;
  one.homing.read(read);
  await two.until(() => two.seen.reads.length);
  assert.deepEqual(two.seen.reads, [read]);
  const three = await connected(tab(t, user));
  await three.until(() => three.seen.messages.length >= 2);
  assert.deepEqual(three.texts(), ['a', 'c']);
});

test('a broken connection costs nothing and repeats nothing', { skip: !gateway }, async (t) => {
  const user = somebody();
  const one = await connected(tab(t, user));
  const said = [];
  for (let n = 0; n < 60; n += 1) {
    said.push(`${n}`);
    await push(user, `${n}`);
    if (n % 10 === 5) one.cut();
  }
  await one.until(() => one.seen.messages.length >= 60);
  await push(user, 'end');
  await one.until(() => one.texts().includes('end'));
  assert.deepEqual(one.texts(), [...said, 'end']);
  assert.deepEqual(one.seen.gaps, []);
  assert.ok(one.seen.closes.length >= 1);
});

test('a wrong token is asked for again', { skip: !gateway }, async (t) => {
  const user = somebody();
  const codes = [];
  const one = tab(t, user, { token: 'wrong', onTokenNeeded: (code) => { codes.push(code); return token(user); } });
  await connected(one);
  assert.deepEqual(codes, [4101]);
  assert.equal(one.homing.user, user);
});
