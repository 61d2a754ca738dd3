// The demo's service worker: shows what is pushed, says so (POST /v1/receipts), and brings the page on a click.
'use strict';

self.addEventListener('install', (event) => event.waitUntil(self.skipWaiting()));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

function read(data) {
  try { return data.json(); } catch { return { title: 'Homing', body: data?.text() ?? '' }; }
}

// A receipt. The proof came with the message; user and device are what the page noted.
async function tell(message, what) {
  const given = message.data?.homing;
  if (!given) return;
  const noted = await caches.match('/demo/browser');
  const { user, device } = noted ? await noted.json() : {};
  const body = JSON.stringify({ id: given.id, proof: given.proof, event: what, at: Date.now(), user, device });
  const headers = { 'Content-Type': 'application/json' };
  // The demo may be starting again.
  for (let pause = 1000; pause < 10000; pause *= 3) {
    const answer = await fetch('/v1/receipts', { method: 'POST', headers, body }).catch(() => null);
    if (answer?.ok || (answer && answer.status < 500 && answer.status !== 429)) return;
    await new Promise((resolve) => { setTimeout(resolve, pause); });
  }
}

self.addEventListener('push', (event) => {
  const message = read(event.data);
  // What is silent is for the app, which does not exist here.
  if (message.silent) return;
  const { title, body, tag } = message;
  const shown = self.registration.showNotification(title || 'Homing', { body, tag, data: message });
  event.waitUntil(shown.then(() => tell(message, 'shown')));
});

async function bring() {
  const [page] = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  return page ? page.focus() : self.clients.openWindow('/');
}

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  // Browsers bring a page only after a click of a person.
  event.waitUntil(Promise.all([bring().catch(() => {}), tell(event.notification.data ?? {}, 'clicked')]));
});
