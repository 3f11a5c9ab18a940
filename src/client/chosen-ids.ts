/** Requests that begin something have an id that the client chose: one that is asked again begins nothing twice. */
import { randomBytes } from 'node:crypto';
import { randomId } from '../engine/clock.ts';

export const chooseUploadId = (): string => randomId(randomBytes, 20);
export const chooseTransferId = (): string => randomId(randomBytes, 10);
