/** Lanes: the UDP transport's keys are handed out here, over the authenticated TLS connection. */
import { isIPv6 } from 'node:net';
import { HawserError } from '../../core/errors.ts';
import { laneRequest } from '../lane-hellos.ts';
import { ticketForm } from '../lane-tickets.ts';
import type { OpenLane } from '../lanes.ts';
import type { App, RouteContext } from '../route-context.ts';
import { Empty, IdParams, LaneAnswer, LaneBody, LanesAnswer, LaneTicketAnswer, NoQuery } from '../schemas.ts';

export function laneRoutes(app: App, { lanes }: RouteContext): void {
  const tags = ['lanes'];
  const config = { needs: 'read' } as const;

  app.post(
    '/api/v1/lanes',
    { config, schema: { tags, summary: 'Open one', querystring: NoQuery, body: LaneBody, response: { 201: LaneAnswer } } },
    async ({ principal, body }, reply) => {
      const grant = await offered(lanes).open(principal, laneRequest(body, Buffer.from(body.clientRandom, 'hex')));
      const { id, suite, secret, paths, endpoints } = grant;
      reply.code(201).header('location', `lanes/${id}`).header('cache-control', 'no-store');
      return reply.send({
        id,
        suite,
        secret: Buffer.from(secret).toString('hex'),
        policy: grant.policy.kind,
        paths,
        endpoints: endpoints.map(({ host, port }) => ({ host, port })),
        ticket: ticketForm(grant.ticket),
      });
    },
  );

  app.post(
    '/api/v1/lanes/tickets',
    {
      config,
      schema: {
        tags,
        summary: 'Get a ticket to open one over UDP later',
        querystring: NoQuery,
        response: { 201: LaneTicketAnswer },
      },
    },
    async ({ principal }, reply) => {
      const { endpoints, ...ticket } = await offered(lanes).ticket(principal);
      reply.code(201).header('cache-control', 'no-store');
      return reply.send({ ...ticketForm(ticket), endpoints: endpoints.map(({ host, port }) => ({ host, port })) });
    },
  );

  app.get(
    '/api/v1/lanes',
    { config, schema: { tags, summary: 'List those that are open', querystring: NoQuery, response: { 200: LanesAnswer } } },
    async ({ principal }) => ({ lanes: lanes ? lanes.list(principal).map(laneForm) : [] }),
  );

  app.delete(
    '/api/v1/lanes/:id',
    { config, schema: { tags, summary: 'Close it', params: IdParams, querystring: NoQuery, response: { 204: Empty } } },
    async ({ principal, params: { id } }, reply) => {
      if (!offered(lanes).close(principal, id))
        throw new HawserError('lane_not_found', `There is no lane ${id} of this token: list them with GET /api/v1/lanes.`, {
          value: id,
        });
      return reply.code(204).send(null);
    },
  );
}

function offered(lanes: RouteContext['lanes']): NonNullable<RouteContext['lanes']> {
  if (lanes) return lanes;
  throw new HawserError(
    'lane_unavailable',
    'This server offers no lane: its UDP port is closed or switched off. HTTPS does everything.',
  );
}

function laneForm({ id, owner, peer, openedMs, policy, snapshot, addresses, lagUs }: OpenLane) {
  const addressOf = (path: number): string | null => {
    const found = addresses.get(path);
    return found ? `${isIPv6(found.host) ? `[${found.host}]` : found.host}:${found.port}` : null;
  };
  return {
    id,
    owner,
    peer,
    opened: new Date(openedMs).toISOString(),
    policy: policy.kind,
    limitedBy: snapshot?.limitedBy ?? null,
    unacknowledgedBytes: snapshot?.unacknowledgedBytes ?? 0,
    receivedBytes: snapshot?.receivedBytes ?? 0,
    lagUs: Math.round(lagUs),
    symbols: snapshot?.symbols ?? null,
    paths: (snapshot?.paths ?? []).map((path) => ({ ...path, address: addressOf(path.id) })),
  };
}
