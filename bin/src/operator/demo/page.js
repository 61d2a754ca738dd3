// Everything that comes from outside is put in as text, never as markup.
'use strict';
const $ = (selector) => document.querySelector(selector);
const phones = [...document.querySelectorAll('.phone')].map((box, i) => (
  { user: ['1', '42'][i], pick: box.children[0], note: box.children[1], list: box.children[2] }));
const form = $('#send');
let setup = { users: [], types: [] };

function make(tag, content, name) {
  const element = document.createElement(tag);
  if (Array.isArray(content)) element.append(...content); else element.textContent = content ?? '';
  if (name) element.className = name;
  return element;
}

const row = (cells, name) => make('tr', cells.map((cell) => make('td', cell)), name);
const time = (ms) => new Date(ms).toLocaleTimeString();
const option = (value, label) => { const one = make('option', label); one.value = value; return one; };

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function post(lane, event) {
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch(`/v1/events?lane=${lane}`, { method: 'POST', headers, body: JSON.stringify(event) });
  const said = await answer.json();
  if (!answer.ok) {
    $('#answer').textContent = `${said.error?.field}: ${said.error?.message}`;
    return null;
  }
  const id = said.id ?? said.ids[0];
  $('#answer').textContent = `accepted as ${id}`;
  const list = $('#events');
  list.prepend(option(id, `${time(Date.now())} ${event.type} ${id}`));
  while (list.children.length > 30) list.lastChild.remove();
  list.value = id;
  await refresh();
  return id;
}

form.onsubmit = (submit) => {
  submit.preventDefault();
  const field = (name) => form.elements[name].value.trim();
  const whom = field('whom');
  const to = {
    users: { users: whom.split(/[\s,]+/).filter(Boolean) },
    members: { group: whom, members: true },
    group: { group: whom },
    topic: { topic: whom },
    all: { all: true },
  }[field('kind')];
  const event = { type: field('type'), to, data: { text: field('body') || 'Hello' } };
  if (field('body')) event.body = field('body');
  if (field('at')) event.send_at = new Date(field('at')).toISOString();
  post({ CHAT: 'private', GROUP_CHAT: 'group' }[event.type] ?? 'system', event).catch(failed);
};

form.elements.kind.onchange = () => {
  const usual = { users: '1, 2, 3, 42', members: '9', group: '9', topic: 'sale', all: '' };
  form.elements.whom.value = usual[form.elements.kind.value];
};

$('#chats').onclick = async () => {
  for (const chat of setup.chats) await post(chat.lane, chat.event).catch(failed);
};

$('#cancel').onclick = () => {
  fetch(`/v1/events/${encodeURIComponent($('#events').value)}`, { method: 'DELETE' }).then(refresh).catch(failed);
};

async function showPhone(phone) {
  const shown = await get(`/v1/phones/${phone.user}`);
  phone.list.replaceChildren(...shown.slice(0, 20).map((push) => make('div', [
    make('b', push.title), make('span', push.body),
    make('small', `${time(push.at)} ${push.app} ${push.platform}, type ${push.type}`)], 'push')));
}

async function explain(phone) {
  const user = setup.users.find((known) => known.id === phone.user);
  const [lane] = await get(`/demo/explain/${phone.user}`);
  phone.note.textContent = `${user?.note ?? ''}. Now: ${lane.verdict}`;
}

async function showTrace() {
  const id = $('#events').value;
  if (!id) return;
  const trace = await get(`/demo/trace/${encodeURIComponent(id)}`);
  const held = ['skipped', 'deferred', 'no_device', 'bad_token', 'dead', 'expired', 'invalid', 'cancelled', 'retried'];
  $('#trace').replaceChildren(...trace.records.map((r) => {
    const until = r.until ? `until ${new Date(r.until).toLocaleString()}` : '';
    const why = [r.rule && `rule ${r.rule}`, until, r.why, r.error, r.reason].filter(Boolean).join('; ');
    const name = held.includes(r.fate) ? 'held' : '';
    return row([time(r.at), r.stage, r.how ?? r.fate, r.target, why], r.stage === 'client' ? 'good' : name);
  }));
}

async function showQueues() {
  const queues = await get('/demo/queues');
  $('#queues').replaceChildren(...queues.map((q) => row([q.lane, q.queue, q.waiting, q.own, q.delayed, q.dead])));
}

async function showLedger() {
  const ledger = await get('/v1/ledger');
  $('#balanced').textContent = ledger.balanced ? 'balanced: yes' : 'balanced: NO';
  $('#balanced').className = ledger.balanced ? 'good' : 'bad';
  const rows = [];
  for (const [lane, lines] of Object.entries(ledger.lanes)) {
    for (const stage of ['entry', 'rules', 'send'].filter((name) => lines[name])) {
      const line = lines[stage];
      const fates = Object.entries(line.fates).map(([fate, n]) => `${fate} ${n}`).join(' + ') || '0';
      rows.push(row([lane, stage, `in ${line.in}`, `= ${fates} + waiting ${line.waiting}`], line.balanced ? '' : 'bad'));
    }
  }
  const seen = Object.entries(ledger.receipts ?? {}).map(([what, n]) => `${what} ${n}`).join(', ');
  rows.push(row(['', 'receipts', seen || 'none', 'beside the sums']));
  $('#ledger').replaceChildren(...rows);
}

const failed = () => { $('#trouble').hidden = false; };

async function refresh() {
  await Promise.all([...phones.map(showPhone), showTrace(), showQueues(), showLedger()]);
  $('#trouble').hidden = true;
}

async function start() {
  setup = await get('/demo/setup');
  form.elements.type.append(...setup.types.map((type) => option(type.name, `${type.name} (${type.code})`)));
  form.elements.type.value = 'GOODS_SENT';
  $('#self').append(...setup.users.map((user) => option(user.id, `user ${user.id}: ${user.note}`)));
  for (const phone of phones) {
    phone.pick.append(...setup.users.map((user) => option(user.id, `user ${user.id}: ${user.note}`)));
    phone.pick.value = phone.user;
    phone.pick.onchange = () => {
      phone.user = phone.pick.value;
      Promise.all([explain(phone), showPhone(phone)]).catch(failed);
    };
  }
}

async function loop(work, pause) {
  await work().catch(failed);
  setTimeout(loop, pause, work, pause);
}

start().then(() => {
  loop(refresh, 500);
  loop(() => Promise.all(phones.map(explain)), 5000);
}).catch(failed);
