/**
 * The lane (and any other transport) over bad links, against what such a link can carry and against other programs.
 *
 *   npm run bench:lane                       every link, 5 rounds, peers: about two hours
 *   npm run bench:lane -- --quick            one round, short peers: about ten minutes
 *   npm run bench:lane -- --only 200-30,two --rounds 3 --peers curl-bbr,quic
 *   npm run bench:lane -- --fairness | --queue | --small | --cpu
 *
 * Options: --transport lane --size 100MB --steady-seconds 30 --peer-seconds 30 (0: no peers) --seconds 40 (--fairness, --queue)
 *   --trace (how full the link was, four characters a second) --write
 */
import { parseArgs } from 'node:util';
import { main } from './cleanup.ts';
import { cpu } from './lane/cpu.ts';
import { fairness } from './lane/fairness.ts';
import { matrix } from './lane/matrix.ts';
import { PEER_IDS } from './lane/peers.ts';
import { queue } from './lane/queue.ts';
import { small } from './lane/small.ts';

const { values: options } = parseArgs({
  options: {
    transport: { type: 'string', default: 'lane' },
    only: { type: 'string' },
    rounds: { type: 'string' },
    size: { type: 'string' },
    'steady-seconds': { type: 'string' },
    'peer-seconds': { type: 'string' },
    peers: { type: 'string', default: PEER_IDS.join(',') },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    fairness: { type: 'boolean', default: false },
    queue: { type: 'boolean', default: false },
    small: { type: 'boolean', default: false },
    cpu: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const { transport, only, quick, write } = options;

await main(async () => {
  const seconds = (usual: number) => Number(options.seconds ?? (quick ? usual / 2 : usual));
  if (options.fairness) return await fairness({ transport, only, seconds: seconds(40), write });
  if (options.queue) return await queue({ transport, seconds: seconds(20), write });
  if (options.small) return await small({ transport, objects: quick ? 20 : 100, write });
  if (options.cpu) return await cpu({ transport, write });
  await matrix({
    transport,
    only,
    rounds: Number(options.rounds ?? (quick ? 1 : 5)),
    size: options.size ?? '100MB',
    steadySeconds: Number(options['steady-seconds'] ?? (quick ? 0 : 30)),
    peerSeconds: Number(options['peer-seconds'] ?? (quick ? 8 : 30)),
    peers: options.peers.split(','),
    trace: options.trace,
    write,
  });
});
