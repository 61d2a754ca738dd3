// A user's browser tab on the gateway's WebSocket. Everything that comes from outside is put in as text, never as markup.
import { Homing } from '/homing.js';

const $ = (selector) => document.querySelector(selector);
const user = new URLSearchParams(location.search).get('user') || '42';
const shown = new Map(); // id → its line
$('#user').textContent = user;
document.title = `Tab of ${user}`;

// A token for this user; the demo gives one to whoever asks, an application asks who it is first.
async function token() {
  const answer = await fetch(`/demo/tab/${encodeURIComponent(user)}`);
  if (!answer.ok) throw new Error(`no token: ${answer.status}`);
  const ticket = await answer.json();
  // A demo that was started again has another port.
  if (first && ticket.url !== first.url) location.reload();
  return ticket;
}

let first = null;

const say = (text) => { $('#state').textContent = text; };

function count() {
  $('#unread').textContent = String(shown.size);
}

function gone(id) {
  shown.get(id)?.remove();
  shown.delete(id);
  count();
}

function show({ id, data, msg_type: kind }) {
  const line = document.createElement('li');
  const [title, text, read] = ['b', 'span', 'button'].map((tag) => document.createElement(tag));
  title.textContent = data?.title ?? kind;
  text.textContent = ` ${data?.body ?? JSON.stringify(data)} `;
  read.textContent = 'read';
  read.onclick = () => { homing.read(id); gone(id); };
  line.append(title, text, read);
  line.dataset.id = id;
  $('#messages').append(line);
  shown.set(id, line);
  count();
}

first = await token();
const homing = new Homing(first.url, { token: async () => (await token()).token });
homing.on('connected', () => say('connected'));
homing.on('closed', ({ code, again }) => say(again === null ? `closed (${code})` : `away (${code}), coming back`));
homing.on('message', show);
homing.on('read', (ids) => ids.forEach(gone));
$('#all').onclick = () => { homing.read([...shown.keys()]); [...shown.keys()].forEach(gone); };
homing.connect();
