/** Puts the vectors into docs/protocol/lane.md: `node test/protocol/write-lane-vectors.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { LANE_DOCUMENT, withVectors } from './lane-document.ts';

writeFileSync(LANE_DOCUMENT, withVectors(readFileSync(LANE_DOCUMENT, 'utf8')));
