/**
 * Round trips through a link by UDP: ping.ts echo HOST prints {"port":N} and sends everything back; ping.ts ping HOST PORT SECONDS
 * asks 20 times a second and prints {"ms":sent,"rttMs":…} for each answer. Programs of their own, so that they run on emulated hosts.
 */
import { createSocket } from 'node:dgram';
import { performance } from 'node:perf_hooks';

const [kind, host = '127.0.0.1', port = '0', seconds = '0'] = process.argv.slice(2);
const socket = createSocket('udp4');

if (kind === 'echo') {
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.bind(0, host, () => print({ port: socket.address().port }));
} else {
  const startedMs = performance.now();
  const nowMs = () => performance.now() - startedMs;
  socket.on('message', (message) => {
    const sentMs = message.readDoubleBE(0);
    print({ ms: sentMs, rttMs: nowMs() - sentMs });
  });
  const timer = setInterval(() => {
    const message = Buffer.alloc(64);
    message.writeDoubleBE(nowMs());
    socket.send(message, Number(port), host);
  }, 50);
  setTimeout(() => {
    clearInterval(timer);
    // Late answers still count: those that waited longest are what this is about.
    setTimeout(() => process.exit(0), 2000);
  }, Number(seconds) * 1000);
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
