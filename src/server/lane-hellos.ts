/** Answers to hellos: whoever has a ticket gets a lane without a word over TCP, and everybody else gets no answer at all. */
import { HawserError } from '../core/errors.ts';
import type { LanePolicy } from '../core/lane/contract.ts';
import type { Principal } from '../engine/contract.ts';
import { attemptOf, createWelcome, type HelloFrame, readHello, readHelloFrame, setAttempt } from '../transport/lane/hello.ts';
import type { HelloSender } from '../transport/lane/listen.ts';
import { type LaneTickets, ticketForm } from './lane-tickets.ts';
import type { LaneGrant, LaneRequest } from './lanes.ts';
import { compileGuard } from './schema-check.ts';
import type { Static } from './schema-types.ts';
import { LaneHello } from './schemas.ts';

/** What a hello and its welcome agreed upon. */
export interface LaneKeys {
  readonly secret: Uint8Array;
  /** Where the hello came from, and the welcome goes to: whoever uses the secret from there has had it. */
  readonly from: HelloSender;
}

export interface HelloAnswers {
  /** The datagram to send back; null: nothing. Never rejects. */
  answer(datagram: Uint8Array, from: HelloSender): Promise<Uint8Array | null>;
}

export function createHelloAnswers(context: {
  readonly tickets: () => LaneTickets | null;
  readonly principalOf: (id: string) => Promise<Principal | null>;
  /** As for those who ask over HTTPS. */
  readonly open: (principal: Principal, request: LaneRequest, keys: LaneKeys) => Promise<LaneGrant>;
  readonly now: () => number;
}): HelloAnswers {
  const { tickets, principalOf, open, now } = context;
  /** By the client's key: a hello that comes again, for the answer was lost, gets the same answer. */
  const given = new Map<string, { readonly answer: Promise<Uint8Array | null>; readonly untilMs: number; left: number }>();

  async function make(datagram: Uint8Array, frame: HelloFrame, from: HelloSender): Promise<Uint8Array | null> {
    const ticket = tickets()?.read(frame.ticket);
    if (!ticket) return null;
    const asked = readHello(datagram, frame, ticket.secret);
    const principal = await principalOf(ticket.owner);
    if (!principal) return null;
    const welcome = createWelcome(frame, ticket.secret);
    try {
      if (!isHello(asked)) throw new HawserError('request_invalid', 'The hello asks for something that is unknown here.');
      const request = laneRequest(asked, welcome.clientRandom);
      const { id, suite, policy, paths, ticket: next } = await open(principal, request, { secret: welcome.laneSecret, from });
      return welcome.seal({ id, suite, policy: policy.kind, paths, ticket: ticketForm(next) });
    } catch (error) {
      if (!(error instanceof HawserError)) throw error;
      // Whoever has a ticket may know why there is no lane.
      return welcome.seal({ error: { code: error.code, message: error.message } });
    }
  }

  return {
    async answer(datagram, from) {
      const frame = readHelloFrame(datagram);
      if (!frame) return null;
      const name = Buffer.from(frame.clientKey).toString('base64');
      for (const [key, { untilMs }] of given) {
        if (untilMs > now() && given.size < MOST_GIVEN) break;
        given.delete(key);
      }
      let entry = given.get(name);
      if (!entry) {
        // Bytes that nobody has proven to be a hello are not worth remembering.
        const answer = make(datagram, frame, from).catch(() => null);
        entry = { answer, untilMs: now() + REMEMBERED_MS, left: MOST_REPEATED };
        given.set(name, entry);
        void answer.then((bytes) => bytes ?? given.delete(name));
      }
      const answer = await entry.answer;
      if (!answer || entry.left-- <= 0) return null;
      const copy = new Uint8Array(answer);
      setAttempt(copy, attemptOf(datagram));
      return copy;
    },
  };
}

/** Of the fields that a request has, over HTTPS or in a hello. Throws request_invalid. */
export function laneRequest(asked: Static<typeof LaneHello>, clientRandom: Uint8Array): LaneRequest {
  const { suites = ['aes-128-gcm'], policy = 'fair', bytesPerSecond, redundant = false, paths = 1, received } = asked;
  return { clientRandom, suites, policy: policyOf(policy, bytesPerSecond), redundant, paths, ...(received ? { received } : {}) };
}

function policyOf(kind: LanePolicy['kind'], bytesPerSecond: number | undefined): LanePolicy {
  if (kind !== 'fixed') return { kind };
  if (bytesPerSecond === undefined)
    throw new HawserError('request_invalid', 'The policy "fixed" needs bytesPerSecond: say how fast.', { value: 'fixed' });
  return { kind, bytesPerSecond };
}

const isHello = compileGuard(LaneHello);
const REMEMBERED_MS = 30_000;
const MOST_GIVEN = 256;
const MOST_REPEATED = 64;
