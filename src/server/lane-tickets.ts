/**
 * Tickets for opening a lane straight over UDP (src/transport/lane/hello.ts). The server remembers none: a ticket is what it needs
 * to know, sealed with a key of its own (as in RFC 5077 section 4). A ticket lets its holder ask for a lane and nothing else: what
 * travels in the lane's streams brings its token along, as it does everywhere.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { HawserError } from '../core/errors.ts';
import { writePrivate } from './certificate.ts';

export interface LaneTicket {
  /** For the client to show; only this server can read it. */
  readonly ticket: Uint8Array;
  /** 32 bytes that both will know. It travels in TLS, or in a lane, only. */
  readonly secret: Uint8Array;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

export interface ReadTicket {
  /** Id of the token that it was given to. */
  readonly owner: string;
  readonly secret: Uint8Array;
  readonly expiresMs: number;
}

export interface LaneTickets {
  issue(owner: string): LaneTicket;
  /** Null: not one of ours, or too old. */
  read(ticket: Uint8Array): ReadTicket | null;
}

/** As JSON. */
export function ticketForm({ ticket, secret, expiresMs }: LaneTicket) {
  return {
    ticket: Buffer.from(ticket).toString('base64url'),
    secret: Buffer.from(secret).toString('hex'),
    expires: new Date(expiresMs).toISOString(),
    takes: ['received'],
  };
}

/** Makes the key when the first ticket is asked for: who has no lanes has no key. */
export interface TicketSource {
  /** Null: none was ever given. */
  readonly current: LaneTickets | null;
  obtain(): Promise<LaneTickets>;
}

/** Rejects with `usage` when the file holds something else than a key. */
export async function openTicketSource(
  file: string,
  context: { readonly random: (bytes: number) => Uint8Array; readonly now: () => number },
): Promise<TicketSource> {
  const key = await readTicketKey(file);
  let current = key ? createLaneTickets({ ...context, key }) : null;
  let making: Promise<LaneTickets> | null = null;
  async function make(): Promise<LaneTickets> {
    const made = context.random(KEY_BYTES);
    await writePrivate(file, `${Buffer.from(made).toString('hex')}\n`);
    current = createLaneTickets({ ...context, key: made });
    return current;
  }
  return {
    get current() {
      return current;
    },
    obtain() {
      if (current) return Promise.resolve(current);
      making ??= make().finally(() => {
        making = null;
      });
      return making;
    },
  };
}

/** `key`: 32 bytes. */
export function createLaneTickets(context: {
  readonly key: Uint8Array;
  readonly random: (bytes: number) => Uint8Array;
  readonly now: () => number;
}): LaneTickets {
  const { key, random, now } = context;
  return {
    issue(owner) {
      const secret = random(SECRET_BYTES);
      const expiresMs = now() + LIFE_MS;
      const iv = random(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv);
      cipher.setAAD(VERSION);
      const content = JSON.stringify({ owner, expiresMs, secret: Buffer.from(secret).toString('base64') });
      const sealed = [cipher.update(content), cipher.final(), cipher.getAuthTag()];
      return { ticket: Buffer.concat([VERSION, iv, ...sealed]), secret, expiresMs };
    },
    read(ticket) {
      const end = ticket.length - TAG_BYTES;
      const start = VERSION.length + IV_BYTES;
      if (end <= start || !VERSION.equals(ticket.subarray(0, VERSION.length))) return null;
      const cipher = createDecipheriv('aes-256-gcm', key, ticket.subarray(VERSION.length, start), { authTagLength: TAG_BYTES });
      cipher.setAAD(VERSION);
      cipher.setAuthTag(ticket.subarray(end));
      let content: string;
      try {
        content = Buffer.concat([cipher.update(ticket.subarray(start, end)), cipher.final()]).toString();
      } catch {
        return null;
      }
      const { owner, expiresMs, secret } = JSON.parse(content) as { owner: string; expiresMs: number; secret: string };
      return expiresMs > now() ? { owner, expiresMs, secret: Buffer.from(secret, 'base64') } : null;
    },
  };
}

/** From a file that only the server's user can read; null: there is none yet. */
async function readTicketKey(file: string): Promise<Uint8Array | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const key = Buffer.from(text.trim(), 'hex');
  if (key.length === KEY_BYTES) return key;
  throw new HawserError('usage', `The file "${file}" holds no key: remove it, and clients will be given new tickets.`, {
    value: file,
  });
}

const VERSION = Buffer.from([1]);
const KEY_BYTES = 32;
const SECRET_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** As long as somebody may be away from a server that he uses now and then. */
const LIFE_MS = 30 * 24 * 3600_000;
