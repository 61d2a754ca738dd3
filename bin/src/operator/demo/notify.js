// "Notify this browser": permission, service worker, subscription, device, event, and what became of it. Uses demo.js.
'use strict';

// What is told to people as it stands.
class Told extends Error {}

const steps = $('#steps');
let turn = 0;

function step(text, name) {
  const one = make('li', text, name);
  steps.append(one);
  return one;
}

const bytes = (key) => Uint8Array.from(atob(key.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));

function within(seconds, work, otherwise) {
  const late = new Promise((_, reject) => { setTimeout(() => reject(new Told(otherwise)), seconds * 1000); });
  return Promise.race([work, late]);
}

async function allowed() {
  if (!window.isSecureContext) {
    throw new Told('Browsers push to secure pages only. Open this one as localhost or 127.0.0.1.');
  }
  if (!('serviceWorker' in navigator)) {
    throw new Told('This browser has no service workers here; a private window may be the reason.');
  }
  if (!('PushManager' in window && 'Notification' in window)) {
    throw new Told('This browser has no Web Push. On an iPhone or iPad only pages on the home screen have it.');
  }
  const answer = await Notification.requestPermission();
  if (answer === 'denied') {
    throw new Told('No permission: notifications of this page are refused. Allow them in the settings of the browser for '
      + 'this site, and try again.');
  }
  if (answer !== 'granted') throw new Told('No permission: the question was closed without an answer. Try again.');
}

async function worker() {
  try {
    await navigator.serviceWorker.register('/sw.js');
  } catch (error) {
    throw new Told(`The service worker could not be registered: ${error.message}`);
  }
  return within(10, navigator.serviceWorker.ready, 'The service worker does not start.');
}

async function subscribe(push) {
  const options = { userVisibleOnly: true, applicationServerKey: bytes(setup.vapid) };
  const slow = 'This browser has no push service, or no connection to it: it does not answer within 15 s.';
  const ask = () => within(15, push.subscribe(options), slow);
  try {
    return await ask().catch(async (error) => {
      const known = await push.getSubscription();
      // Made with the key of another demo: a demo without --data has a new one each time.
      if (error.name !== 'InvalidStateError' || !known) throw error;
      await known.unsubscribe();
      return ask();
    });
  } catch (error) {
    if (error instanceof Told) throw error;
    if (error.name === 'NotAllowedError') {
      throw new Told(`The browser does not let this page subscribe; a private window may be the reason. It says: ${error.message}`);
    }
    throw new Told('This browser has no push service, or no connection to it (builds without a vendor have none; some '
      + `browsers have it switched off). It says: ${error.message}`);
  }
}

async function register(subscription) {
  const user = $('#self').value || undefined;
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ subscription, user, locale: navigator.language });
  const answer = await fetch('/demo/browser', { method: 'POST', headers, body });
  const said = await answer.json();
  if (!answer.ok) throw new Told(`The demo refuses this browser: ${said.error?.field}: ${said.error?.message}`);
  // For the service worker's receipts.
  await (await caches.open('homing')).put('/demo/browser', new Response(JSON.stringify(said)));
  return said.user;
}

// `target` is the device: a user may have phones, too.
const words = {
  delivered: (target) => [`Accepted for ${target}. Waiting for the receipt.`, ''],
  shown: (target) => [`Shown by ${target}: its service worker says so. Click the notification.`, 'good'],
  clicked: (target) => [`Clicked on ${target}.`, 'good'],
};

// Tells each new end of the message, until it was clicked, or another push began.
async function follow(id, mine) {
  const told = new Set();
  for (const began = Date.now(); mine === turn && Date.now() - began < 600000;) {
    const trace = await get(`/demo/trace/${encodeURIComponent(id)}`);
    const ends = trace.records.filter((r) => !['received', 'expanded', 'passed', 'queued'].includes(r.fate));
    for (const r of ends) {
      const fate = r.how ?? r.fate;
      const key = [fate, r.target].join();
      if (told.has(key)) continue;
      told.add(key);
      const why = [r.rule && `rule ${r.rule}`, r.why, r.error, r.reason].filter(Boolean).join('; ');
      const [text, name] = words[fate]?.(r.target) ?? [`${fate}: ${[r.target, why].filter(Boolean).join('; ')}`, 'bad'];
      step(text, name);
      if (fate === 'clicked') return;
    }
    const waits = [...told].some((key) => key.startsWith('delivered')) && ![...told].some((key) => key.startsWith('shown'));
    if (waits && Date.now() - began > 30000 && !told.has('late')) {
      told.add('late');
      step('Not shown within 30 s. "Accepted" is all that the push service said; is the browser connected to it?', 'held');
    }
    await new Promise((resolve) => { setTimeout(resolve, 500); });
  }
}

async function notify() {
  const mine = ++turn;
  steps.replaceChildren();
  // First of all: some browsers ask only right after a click.
  await allowed();
  step('Allowed.');
  const registration = await worker();
  step('The service worker runs.');
  const subscription = await subscribe(registration.pushManager);
  step(`Subscribed at ${new URL(subscription.endpoint).host}.`);
  const user = await register(subscription);
  step(`This browser is a device of user ${user}.`);
  form.elements.kind.value = 'users';
  form.elements.whom.value = user;
  const id = await post('system', {
    type: 'GOODS_SENT', to: { user }, title: 'Homing', body: 'This browser is told.',
    data: { order_id: `B${Date.now()}` },
  });
  if (!id) throw new Told(`The event was refused: ${$('#answer').textContent}`);
  step(`Sent event ${id}.`);
  follow(id, mine).catch(failed);
}

$('#notify').onclick = async () => {
  $('#notify').disabled = true;
  try {
    await notify();
  } catch (error) {
    step(error instanceof Told ? error.message : `Something else went wrong: ${error.name}: ${error.message}`, 'bad');
  }
  $('#notify').disabled = false;
};
