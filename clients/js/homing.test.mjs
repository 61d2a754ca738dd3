// node --test clients/js: the client against a server that says what a test wants. The WebSocket for both comes from the
// package ws below HOMING_TEST_NODE.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';

// homing.js lies beside no package.json that calls it a module, so that a page can take it as it is.
const source = readFileSync(new URL('homing.js', import.meta.url));
const { Homing, comesBack, pause } = await import(`data:text/javascript;base64,${source.toString('base64')}`);
const { WebSocket, WebSocketServer } = createRequire(path.join(process.env.HOMING_TEST_NODE, 'package.json'))('ws');

const STREAM = 'u:42';

// A server; `visit` answers the next connection with what it asked for and what it says.
async function serve(t) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  t.after(() => { for (const one of server.clients) one.terminate(); server.close(); });
  const waiting = [];
  let wake = () => {};
  server.on('connection', (socket, request) => {
    const url = new URL(request.url, 'ws://x');
    const frames = [];
    let hear = () => {};
    socket.on('message', (data) => { frames.push(JSON.parse(data)); hear(); });
    waiting.push({
      query: url.searchParams,
      resume: JSON.parse(url.searchParams.get('resume') ?? 'null'),
      say: (frame) => socket.send(JSON.stringify(frame)),
      hello: (streams = {}, more = {}) => socket.send(JSON.stringify({
        msg_type: 'connected', data: { user: '42', session: 's', streams, heartbeat_ms: 25_000, ...more },
      })),
      close: (code, why = '') => socket.close(code, why),
      cut: () => socket.terminate(),
      async frame() {
        while (!frames.length) await new Promise((resolve) => { hear = resolve; });
        return frames.shift();
      },
    });
    wake();
  });
  const visit = async () => {
    while (!waiting.length) await new Promise((resolve) => { wake = resolve; });
    return waiting.shift();
  };
  return { url: `ws://127.0.0.1:${server.address().port}/ws`, visit };
}

// A client whose events stand in lists, and `next` waits for one.
function client(t, url, options = {}) {
  const homing = new Homing(url, { WebSocket, backoff: { base: 1, cap: 4 }, ...options });
  t.after(() => homing.close());
  const lists = {};
  const wakes = [];
  for (const name of ['message', 'connected', 'closed', 'read', 'gap', 'error', 'answer']) {
    lists[name] = [];
    homing.on(name, (value) => { lists[name].push(value); for (const wake of wakes.splice(0)) wake(); });
  }
  const next = async (name) => {
    while (!lists[name].length) await new Promise((resolve) => { wakes.push(resolve); });
    return lists[name].shift();
  };
  return { homing, lists, next };
}

const message = (offset, epoch = 7, id = `m${offset}`) => ({
  msg_type: 'notify', data: { n: offset, text: '你好' }, id, offset, epoch, stream: STREAM,
});
const at = (offset, recovered, more = {}) => ({ [STREAM]: { epoch: 7, offset, recovered, truncated: false, ...more } });

test('close codes say whether to come back', () => {
  for (const code of [1001, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4099]) assert.equal(comesBack(code), true, `${code}`);
  for (const code of [1000, 1002, 1007, 1008, 1009, 4100, 4101, 4102, 4103, 4199, 4200]) assert.equal(comesBack(code), false, `${code}`);
});

test('pauses double up to a bound, and take any length below it', () => {
  const longest = (attempt) => pause(attempt, { base: 100, cap: 1000 }, () => 1 - Number.EPSILON);
  assert.deepEqual([0, 1, 2, 3, 4, 400].map(longest), [99, 199, 399, 799, 999, 999]);
  assert.equal(pause(5, {}, () => 0), 0);
  assert.equal(pause(9, {}, () => 0.5), 15_000);
});

test('it resumes each stream where it was, and shows each message once', async (t) => {
  const { url, visit } = await serve(t);
  const { homing, lists, next } = client(t, url, { token: 'abc' });
  homing.connect();
  let node = await visit();
  assert.equal(node.query.get('token'), 'abc');
  assert.equal(node.resume, null);
  node.hello(at(2, false));
  node.say(message(1));
  node.say(message(2));
  node.say(message(2)); // by place
  node.say({ ...message(3), id: 'm1' }); // by id
  node.say({ msg_type: 'now', data: 1 }); // not stored
  assert.deepEqual([(await next('message')).id, (await next('message')).id, (await next('message')).msg_type], ['m1', 'm2', 'now']);
  assert.equal(homing.user, '42');
  assert.deepEqual(homing.places, { [STREAM]: { epoch: 7, offset: 3 } });
  node.close(1012, 'restart');
  assert.equal((await next('closed')).code, 1012);
  node = await visit();
  assert.deepEqual(node.resume, { [STREAM]: [7, 3] });
  node.hello(at(5, true));
  for (const offset of [3, 4, 5]) node.say(message(offset));
  assert.deepEqual([(await next('message')).offset, (await next('message')).offset], [4, 5]);
  node.cut();
  assert.equal((await next('closed')).code, 1006);
  node = await visit();
  assert.deepEqual(node.resume, { [STREAM]: [7, 5] });
  assert.deepEqual([lists.gap, lists.message], [[], []]);
});

test('a replay that breaks off is asked for again as a whole', async (t) => {
  const { url, visit } = await serve(t);
  const { homing, lists, next } = client(t, url);
  homing.connect();
  let node = await visit();
  node.hello(at(9, false));
  node.say(message(4)); // 5 and 9 do not arrive
  await next('message');
  node.cut();
  node = await visit();
  assert.equal(node.resume, null);
  node.hello(at(9, false));
  for (const offset of [4, 5, 9]) node.say(message(offset));
  assert.deepEqual([(await next('message')).offset, (await next('message')).offset], [5, 9]);
  assert.deepEqual(homing.places, { [STREAM]: { epoch: 7, offset: 9 } });
  assert.deepEqual(lists.gap, []);
});

test('what could not be recovered is said, and so is what was cut', async (t) => {
  const { url, visit } = await serve(t);
  const { homing, next } = client(t, url);
  homing.connect();
  let node = await visit();
  node.hello({});
  node.say(message(8));
  await next('message');
  node.cut();
  node = await visit();
  node.hello({ [STREAM]: { epoch: 8, offset: 2, recovered: false, truncated: false } });
  assert.deepEqual(await next('gap'), { stream: STREAM, truncated: false, had: { epoch: 7, offset: 8 } });
  node.say(message(1, 8, 'n1')); // a lower place in another life of the stream
  assert.equal((await next('message')).id, 'n1');
  node.say(message(2, 8, 'n2'));
  assert.equal((await next('message')).id, 'n2');
  assert.deepEqual(homing.places, { [STREAM]: { epoch: 8, offset: 2 } });
  node.cut();
  node = await visit();
  node.hello(at(400, false, { truncated: true }));
  assert.equal((await next('gap')).truncated, true);
});

test('reads are told until they are confirmed, and those of other tabs are heard', async (t) => {
  const { url, visit } = await serve(t);
  const { homing, next } = client(t, url);
  homing.read('early');
  homing.read(Array.from({ length: 1500 }, (_, n) => `many-${n}`)); // 1000 are kept
  homing.read('early');
  homing.connect();
  let node = await visit();
  node.hello();
  const kept = (await node.frame()).ids;
  assert.deepEqual([kept.length, kept[0], kept.at(-1)], [1000, 'many-501', 'early']);
  node.say({ msg_type: 'acked', ids: kept });
  await next('connected');
  homing.read(['a', 'b']);
  assert.deepEqual(await node.frame(), { msg_type: 'read', ids: ['a', 'b'] });
  node.say({ msg_type: 'acked', ids: ['a'] });
  node.say({ msg_type: 'read', ids: ['other'] });
  assert.deepEqual(await next('read'), ['other']);
  node.cut();
  node = await visit();
  node.hello();
  assert.deepEqual(await node.frame(), { msg_type: 'read', ids: ['b'] });
});

test('after 4100 to 4199 it comes back with a new token only', async (t) => {
  const { url, visit } = await serve(t);
  const asked = [];
  const { homing, lists, next } = client(t, url, {
    token: 'old',
    onTokenNeeded: async (code) => { asked.push(code); return asked.length === 1 ? 'new' : null; },
  });
  homing.connect();
  let node = await visit();
  assert.equal(node.query.get('token'), 'old');
  node.close(4102, 'the token has ended');
  node = await visit();
  assert.equal(node.query.get('token'), 'new');
  node.hello();
  await next('connected');
  node.close(4103, 'logged out');
  await next('closed');
  assert.deepEqual(await next('closed'), { code: 4103, reason: 'logged out', again: null });
  await new Promise((resolve) => { setImmediate(resolve); });
  assert.deepEqual(asked, [4102, 4103]);
  homing.connect(); // somebody logs in again
  node = await visit();
  node.hello();
  await next('connected');
  assert.deepEqual(lists.closed, []);
});

test('a broken protocol is no reason to come back', async (t) => {
  const { url, visit } = await serve(t);
  const { homing, next } = client(t, url);
  homing.connect();
  (await visit()).close(1008, 'against the rules');
  assert.deepEqual(await next('closed'), { code: 1008, reason: 'against the rules', again: null });
});

test('the token may go in the first message', async (t) => {
  const { url, visit } = await serve(t);
  let turn = 0;
  const { homing, next } = client(t, url, { token: async () => `t${turn += 1}`, tokenIn: 'message' });
  homing.connect();
  let node = await visit();
  assert.equal([...node.query].length, 0);
  assert.deepEqual(await node.frame(), { msg_type: 'login', token: 't1', resume: {} });
  node.hello();
  node.say(message(1));
  await next('message');
  node.cut();
  node = await visit();
  assert.deepEqual(await node.frame(), { msg_type: 'login', token: 't2', resume: { [STREAM]: [7, 1] } });
});

test('nobody in particular reads nothing, and other frames are handed on', async (t) => {
  const { url, visit } = await serve(t);
  const { homing, next } = client(t, url);
  homing.read('a');
  homing.connect();
  const node = await visit();
  node.hello({}, { user: null });
  await next('connected');
  homing.read('b');
  assert.equal(homing.send({ jsonrpc: '2.0', id: 1, method: 'x' }), true);
  assert.equal((await node.frame()).method, 'x');
  node.say({ jsonrpc: '2.0', id: 1, result: 2 });
  node.say({ msg_type: 'error', data: { field: 'ids', message: 'no' } });
  node.say({ msg_type: 'subscribed', data: { streams: { 'g:a': { epoch: 1, offset: 9, recovered: false, truncated: true } } } });
  assert.equal((await next('answer')).result, 2);
  assert.deepEqual(await next('error'), { field: 'ids', message: 'no' });
  assert.deepEqual(await next('gap'), { stream: 'g:a', truncated: true, had: null });
  homing.close();
  assert.equal(homing.send({}), false);
});

test('a silent server is asked, and left when it stays silent', async (t) => {
  const { url, visit } = await serve(t);
  const { homing, next } = client(t, url);
  homing.connect();
  let node = await visit();
  node.hello({}, { heartbeat_ms: 20 });
  assert.deepEqual(await node.frame(), { msg_type: 'ping' });
  node.say({ msg_type: 'pong' });
  assert.deepEqual(await node.frame(), { msg_type: 'ping' }); // and no answer
  assert.equal((await next('closed')).code, 1006);
  node = await visit();
  node.hello({}, { heartbeat_ms: 25_000 });
});

test('a handler that throws costs no message', async (t) => {
  const { url, visit } = await serve(t);
  t.mock.method(console, 'error', () => {});
  const { homing, next } = client(t, url, { onMessage: () => { throw new Error('of the page'); } });
  homing.connect();
  const node = await visit();
  node.hello();
  node.say(message(1));
  assert.equal((await next('message')).offset, 1);
});
