/** Transfers: what people see, pause and cancel. */
import { HawserError } from '../../core/errors.ts';
import type { App, RouteContext } from '../route-context.ts';
import {
  IdParams,
  NoQuery,
  TransferAnswer,
  TransferBody,
  TransferChangeBody,
  TransfersAnswer,
  TransfersQuery,
  TransferWaitQuery,
} from '../schemas.ts';
import { transferForm } from '../wire-forms.ts';

export function transferRoutes(app: App, { engine }: RouteContext): void {
  const tags = ['transfers'];
  // The finer rule (an upload needs write) is the engine's.
  const config = { needs: 'read' } as const;

  app.post(
    '/api/v1/transfers',
    {
      config,
      schema: { tags, summary: 'Begin one', querystring: NoQuery, body: TransferBody, response: { 201: TransferAnswer } },
    },
    async ({ principal, body }, reply) => {
      const record = await engine.createTransfer(principal, body);
      return reply.code(201).header('location', `transfers/${record.id}`).send(transferForm(record));
    },
  );

  app.get(
    '/api/v1/transfers',
    { config, schema: { tags, summary: 'List, newest first', querystring: TransfersQuery, response: { 200: TransfersAnswer } } },
    async ({ principal, query: { limit = 100, state, before } }) => {
      const records = await engine.listTransfers(principal, {
        limit,
        ...(state === undefined ? {} : { state }),
        ...(before === undefined ? {} : { before: parseCursor(before) }),
      });
      const last = records.length === limit ? records.at(-1) : undefined;
      return { transfers: records.map(transferForm), next: last ? `${last.createdMs}.${last.id}` : null };
    },
  );

  app.get(
    '/api/v1/transfers/:id',
    {
      config,
      schema: {
        tags,
        summary: 'One; with waitMs when its state has changed',
        params: IdParams,
        querystring: TransferWaitQuery,
        response: { 200: TransferAnswer },
      },
    },
    async ({ principal, params: { id }, query: { waitMs = 0, state } }, reply) => {
      if (waitMs === 0 || state === undefined) return transferForm(await engine.getTransfer(principal, id));
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      return transferForm(await engine.waitTransfer(principal, id, state, waitMs, gone.signal));
    },
  );

  app.patch(
    '/api/v1/transfers/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Totals, progress, end',
        params: IdParams,
        querystring: NoQuery,
        body: TransferChangeBody,
        response: { 200: TransferAnswer },
      },
    },
    async ({ principal, params: { id }, body }) => transferForm(await engine.changeTransfer(principal, id, body)),
  );

  for (const [verb, change] of [
    ['pause', engine.pauseTransfer],
    ['resume', engine.resumeTransfer],
    ['cancel', engine.cancelTransfer],
  ] as const) {
    app.post(
      `/api/v1/transfers/:id/${verb}`,
      {
        config,
        schema: { tags, summary: `${verb} it`, params: IdParams, querystring: NoQuery, response: { 200: TransferAnswer } },
      },
      async ({ principal, params: { id } }) => transferForm(await change.call(engine, principal, id)),
    );
  }
}

function parseCursor(text: string): { createdMs: number; id: string } {
  const parts = /^(\d{1,15})\.([A-Za-z0-9_-]{1,64})$/.exec(text);
  if (parts) return { createdMs: Number(parts[1]), id: parts[2]! };
  throw new HawserError(
    'request_invalid',
    `The cursor ${JSON.stringify(text)} is not one that a list gave: leave "before" out to start anew.`,
    {
      value: text,
    },
  );
}
