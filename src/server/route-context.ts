/** What every route file gets, and what a route says about itself. */

import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { Engine, Principal } from '../engine/contract.ts';
import type { Role } from '../store/meta/contract.ts';
import type { Auth } from './auth.ts';
import type { InFlightRequests } from './in-flight-requests.ts';
import type { Lanes } from './lanes.ts';
import type { Limits } from './limits.ts';
import type { OpenApi } from './openapi.ts';
import type { SchemaTypes } from './schema-types.ts';

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression<RawServerDefault>,
  RawReplyDefaultExpression<RawServerDefault>,
  FastifyBaseLogger,
  SchemaTypes
>;

export interface RouteContext {
  readonly engine: Engine;
  readonly auth: Auth;
  readonly limits: Limits;
  readonly version: string;
  /** Set once the server is on its way out. */
  readonly health: { stopping: boolean };
  readonly requests: InFlightRequests;
  readonly openapi: Pick<OpenApi, 'page'>;
  /** Null: no UDP port. */
  readonly lanes: Lanes | null;
  readonly now: () => number;
  readonly random: (bytes: number) => Uint8Array;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks. Only on routes that need somebody. */
    principal: Principal;
    /** Address of the other end, for the log. */
    peer: string | undefined;
  }
  interface FastifyContextConfig {
    /** The smallest role that may ask; null for routes that everybody may. The engine checks finer rules. */
    needs?: Role | null;
  }
}
