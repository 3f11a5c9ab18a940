import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { createAskWith } from './older-servers.ts';

/** Takes no field but those. */
function server(...known: string[]) {
  const asked: string[][] = [];
  return {
    asked,
    ask: async (fields: object) => {
      asked.push(Object.keys(fields));
      if (Object.keys(fields).some((name) => !known.includes(name)))
        throw new HawserError('request_invalid', 'An unknown field.');
      return 'done';
    },
  };
}

it('a server that knows the field gets it', async () => {
  const { ask, asked } = server('id');
  assert.equal(await createAskWith()({ id: 'x' }, ask), 'done');
  assert.deepEqual(asked, [['id']]);
});

it('one that does not is asked without, and not with it again', async () => {
  const { ask, asked } = server();
  const askWith = createAskWith();
  assert.equal(await askWith({ id: 'x' }, ask), 'done');
  assert.equal(await askWith({ endTransfer: true }, ask), 'done');
  assert.deepEqual(asked, [['id'], [], []]);
});

it('when something else is wrong that is told, and the field is not blamed', async () => {
  const asked: object[] = [];
  const askWith = createAskWith();
  const refuse = async (fields: object) => {
    asked.push(fields);
    throw new HawserError('request_invalid', `Wrong ${asked.length}.`);
  };
  await assert.rejects(askWith({ id: 'x' }, refuse), { message: 'Wrong 1.' });
  const { ask, asked: later } = server('id');
  await askWith({ id: 'y' }, ask);
  assert.deepEqual(later, [['id']]);
});

it('what did not arrive is not asked again here', async () => {
  const cut = async () => {
    throw new HawserError('unreachable', 'Cut.');
  };
  await assert.rejects(createAskWith()({ id: 'x' }, cut), { code: 'unreachable' });
});
