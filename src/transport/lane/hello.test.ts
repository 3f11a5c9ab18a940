import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import {
  attemptOf,
  createHello,
  createWelcome,
  HELLO_BYTES,
  isFor,
  MAX_TICKET_BYTES,
  readHello,
  readHelloFrame,
  setAttempt,
} from './hello.ts';

const secret = randomBytes(32);
const ticket = randomBytes(200);
const request = { policy: 'fair', paths: 2 };
const answer = { id: 'abc', suite: 'aes-128-gcm' };

describe('hello and welcome', () => {
  it('give both sides the same secret, and each what the other said', () => {
    const hello = createHello(ticket, secret, request);
    const frame = readHelloFrame(hello.datagram)!;
    assert.deepEqual(Buffer.from(frame.ticket), ticket);
    assert.deepEqual(readHello(hello.datagram, frame, secret), request);
    const welcome = createWelcome(frame, secret);
    const read = hello.read(welcome.seal(answer));
    assert.deepEqual(read.answer, answer);
    assert.deepEqual(read.laneSecret, welcome.laneSecret);
    assert.deepEqual(read.clientRandom, welcome.clientRandom);
  });

  it('are of the same size, whatever is in them', () => {
    const hello = createHello(ticket.subarray(0, 1), secret, {});
    assert.equal(hello.datagram.length, HELLO_BYTES);
    assert.equal(createWelcome(readHelloFrame(hello.datagram)!, secret).seal(answer).length, HELLO_BYTES);
  });

  it('give another secret for each hello and each welcome', () => {
    const hello = createHello(ticket, secret, request);
    const frame = readHelloFrame(hello.datagram)!;
    assert.notDeepEqual(createWelcome(frame, secret).laneSecret, createWelcome(frame, secret).laneSecret);
  });

  it('say which attempt they are without a new seal', () => {
    const hello = createHello(ticket, secret, request);
    setAttempt(hello.datagram, 7);
    const frame = readHelloFrame(hello.datagram)!;
    readHello(hello.datagram, frame, secret);
    const datagram = createWelcome(frame, secret).seal(answer);
    setAttempt(datagram, attemptOf(hello.datagram));
    assert.equal(attemptOf(datagram), 7);
    hello.read(datagram);
  });

  it('are refused when any other bit is changed', () => {
    const hello = createHello(ticket, secret, request);
    const welcome = createWelcome(readHelloFrame(hello.datagram)!, secret).seal(answer);
    for (let i = 0; i < HELLO_BYTES; i++) {
      if (i === 1) continue;
      const changedHello = new Uint8Array(hello.datagram);
      changedHello[i]! ^= 1 << (i & 7);
      const frame = readHelloFrame(changedHello);
      if (frame) assert.throws(() => readHello(changedHello, frame, secret), RangeError, `byte ${i} of the hello`);
      const changedWelcome = new Uint8Array(welcome);
      changedWelcome[i]! ^= 1 << (i & 7);
      // How long it was held is a hint.
      if (i !== 2 && i !== 3) assert.throws(() => hello.read(changedWelcome), `byte ${i} of the welcome`);
    }
  });

  it('are refused with another secret, and a welcome to another hello', () => {
    const hello = createHello(ticket, secret, request);
    const other = createHello(ticket, secret, request);
    const frame = readHelloFrame(hello.datagram)!;
    assert.throws(() => readHello(hello.datagram, frame, randomBytes(32)), RangeError);
    assert.throws(() => hello.read(createWelcome(frame, randomBytes(32)).seal(answer)), RangeError);
    const welcome = createWelcome(frame, secret).seal(answer);
    assert.equal(isFor(welcome, other.datagram), false);
    assert.throws(() => other.read(welcome), RangeError);
  });

  it('refuse a key that makes the secret known to all', () => {
    const hello = createHello(ticket, secret, request);
    const zeros = new Uint8Array(hello.datagram);
    zeros.fill(0, 2, 34);
    assert.throws(() => createWelcome(readHelloFrame(zeros)!, secret));
  });

  it('read nothing from what is no hello', () => {
    assert.equal(readHelloFrame(new Uint8Array(0)), null);
    assert.equal(readHelloFrame(new Uint8Array(HELLO_BYTES)), null);
    const long = createHello(ticket, secret, request).datagram;
    long[34] = 0xff;
    assert.equal(readHelloFrame(long), null);
    assert.throws(() => createHello(randomBytes(MAX_TICKET_BYTES + 1), secret, request), RangeError);
    assert.throws(() => createHello(ticket, secret, 'x'.repeat(2000)), RangeError);
  });
});
