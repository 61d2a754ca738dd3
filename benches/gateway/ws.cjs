// Node's `ws`. Arguments and control lines as those of `epoll`.
'use strict';
const net = require('net');
const readline = require('readline');
const { WebSocketServer } = require('ws');

const [port, control] = process.argv.slice(2).map(Number);
const users = new Map();
const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false, backlog: 4096 });
server.on('connection', (socket, request) => {
  const user = request.url.split('u=')[1];
  users.set(user, socket);
  socket.on('close', () => users.delete(user));
  socket.on('error', () => socket.terminate());
});
net.createServer((stream) => {
  readline.createInterface({ input: stream }).on('line', (line) => {
    if (line.startsWith('all ')) {
      const text = Buffer.from(line.slice(4));
      for (const socket of server.clients) socket.send(text, { binary: false });
    } else {
      const [, user] = line.split(' ', 2);
      const socket = users.get(user);
      if (socket) socket.send(line.slice(5 + user.length));
    }
  });
}).listen(control, '127.0.0.1');
