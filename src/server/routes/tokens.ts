/** Tokens: made, listed, revoked. */
import type { App, RouteContext } from '../route-context.ts';
import { Empty, IdParams, NewTokenAnswer, NoQuery, TokenBody, TokensAnswer } from '../schemas.ts';
import { tokenForm } from '../wire-forms.ts';

export function tokenRoutes(app: App, { auth, now, requests, lanes }: RouteContext): void {
  const tags = ['tokens'];
  const config = { needs: 'admin' } as const;

  app.post(
    '/api/v1/tokens',
    { config, schema: { tags, summary: 'Make one', querystring: NoQuery, body: TokenBody, response: { 201: NewTokenAnswer } } },
    async ({ body: { name, role, expiresSeconds } }, reply) => {
      const expiresMs = expiresSeconds === undefined ? null : now() + expiresSeconds * 1000;
      const { token, record } = await auth.createToken({ name, role, expiresMs });
      reply.code(201).header('location', `tokens/${record.id}`).header('cache-control', 'no-store');
      return reply.send({ ...tokenForm(record), token });
    },
  );

  app.get(
    '/api/v1/tokens',
    { config, schema: { tags, summary: 'List', querystring: NoQuery, response: { 200: TokensAnswer } } },
    async () => ({ tokens: (await auth.listTokens()).map(tokenForm) }),
  );

  app.delete(
    '/api/v1/tokens/:id',
    { config, schema: { tags, summary: 'Revoke it, at once', params: IdParams, querystring: NoQuery, response: { 204: Empty } } },
    async ({ params: { id } }, reply) => {
      await auth.removeToken(id);
      // What it had under way ends too: an upload may run for hours.
      requests.cutOff(id, reply.raw);
      lanes?.cutOff(id);
      return reply.code(204).send(null);
    },
  );
}
