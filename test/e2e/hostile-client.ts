/** What a hostile client has: a socket, and bytes of its own choice. */
import net from 'node:net';
import tls from 'node:tls';

export interface RawAnswer {
  /** 0 when the connection ended without an answer. */
  readonly status: number;
  readonly code: string | null;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** All that came, as it came. */
  readonly bytes: Buffer;
}

export interface Target {
  readonly port: number;
  readonly secure: boolean;
}

/**
 * Sends `pieces` one after the other and reads until the first final answer is whole or the connection ends. With `hold` nothing
 * else is sent and the connection stays open, as a slow client's would; else it stays open too, because closing is also telling.
 */
export function exchange(target: Target, pieces: readonly (string | Uint8Array)[]): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const socket = connect(target);
    const came: Uint8Array[] = [];
    const finish = () => {
      socket.destroy();
      resolve(parseAnswer(Buffer.concat(came)));
    };
    socket.on('data', (piece: Uint8Array) => {
      came.push(piece);
      if (isWhole(Buffer.concat(came))) finish();
    });
    socket.on('end', finish);
    socket.on('close', finish);
    // Being reset is an answer of its own.
    socket.on('error', () => undefined);
    for (const piece of pieces) socket.write(piece);
  });
}

export function connect({ port, secure }: Target): net.Socket {
  const socket = net.connect(port, '127.0.0.1');
  return secure ? tls.connect({ socket, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }) : socket;
}

/** Latin-1, so that every byte can be written. `headers` may repeat or break any rule. */
export function requestBytes(line: string, headers: readonly string[], body: string | Uint8Array = ''): Buffer {
  return Buffer.concat([
    Buffer.from(`${line}\r\n${headers.map((one) => `${one}\r\n`).join('')}\r\n`, 'latin1'),
    Buffer.from(body as string),
  ]);
}

function isWhole(bytes: Buffer): boolean {
  const { rest, head } = finalAnswer(bytes);
  if (head === null) return false;
  const length = /^content-length: *(\d+)/im.exec(head);
  if (length) return rest.length >= Number(length[1]);
  if (/^transfer-encoding: *chunked/im.test(head)) return rest.includes('0\r\n\r\n');
  return /^HTTP\/1\.1 (204|304)/.test(head);
}

/** Skips "100 Continue" and its like. */
function finalAnswer(bytes: Buffer): { head: string | null; rest: Buffer } {
  for (let from = 0; ; ) {
    const end = bytes.indexOf('\r\n\r\n', from);
    if (end < 0) return { head: null, rest: bytes };
    const head = bytes.subarray(from, end).toString('latin1');
    if (!/^HTTP\/1\.1 1\d\d/.test(head)) return { head, rest: bytes.subarray(end + 4) };
    from = end + 4;
  }
}

function parseAnswer(bytes: Buffer): RawAnswer {
  const { head, rest } = finalAnswer(bytes);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head ?? '')?.[1] ?? 0);
  const lines = (head ?? '').split('\r\n').slice(1);
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const body = rest.toString('utf8');
  const code = /"code":"([a-z_]+)"/.exec(body)?.[1] ?? null;
  return { status, code, headers, body, bytes };
}
