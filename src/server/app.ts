/**
 * The HTTP API as a fastify instance that does not listen: src/server/listen.ts does. Hooks say who may ask and what becomes of
 * errors; each file in routes/ is one resource; every route carries its schemas, from which openapi.ts makes /api/v1/openapi.json.
 */
import fastify, { type FastifyReply, type FastifyRequest, type FastifyServerOptions, LogController } from 'fastify';
import { HawserError } from '../core/errors.ts';
import type { Role } from '../store/meta/contract.ts';
import { roleIncludes } from './auth.ts';
import { createInFlightRequests } from './in-flight-requests.ts';
import { parseJson } from './json-body.ts';
import type { Lanes } from './lanes.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { createOpenApi } from './openapi.ts';
import { problemOf } from './problems.ts';
import { answerEarly, bodyIsOpen } from './refuse.ts';
import { readWhole, requestBody } from './request-body.ts';
import type { App, RouteContext } from './route-context.ts';
import { fileRoutes } from './routes/files.ts';
import { laneRoutes } from './routes/lanes.ts';
import { nameRoutes } from './routes/names.ts';
import { packRoutes } from './routes/packs.ts';
import { probeRoutes } from './routes/probe.ts';
import { serverRoutes } from './routes/server.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { transferRoutes } from './routes/transfers.ts';
import { uploadRoutes } from './routes/uploads.ts';
import type { SchemaTypes } from './schema-types.ts';
import { parseQuery, routableUrl } from './url-paths.ts';
import { compileValidator } from './validation.ts';

export interface AppOptions extends Omit<RouteContext, 'limits' | 'requests' | 'openapi' | 'lanes'> {
  readonly limits?: Partial<Limits>;
  /** Default: none are offered. */
  readonly lanes?: Lanes | null;
  /** As fastify takes it. Default: no log. */
  readonly logger?: FastifyServerOptions['logger'];
}

export interface BuiltApp {
  readonly app: App;
  readonly requests: RouteContext['requests'];
  readonly limits: Limits;
  /** Every route, as it was registered. */
  readonly routes: readonly { method: string; url: string; needs: Role | null }[];
}

/** Ready to answer: `app.routing(request, response)`, or `app.inject` in tests. */
export async function createApp(options: AppOptions): Promise<BuiltApp> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const requests = createInFlightRequests();
  const app: App = fastify({
    logger: options.logger ?? false,
    logController: new LogController({ disableRequestLogging: true }),
    // Client-given ids would let one caller's lines pass for another's.
    requestIdHeader: false,
    bodyLimit: limits.jsonBytes,
    exposeHeadRoutes: false,
    rewriteUrl: routableUrl,
    return503OnClosing: false,
    routerOptions: { querystringParser: parseQuery, maxParamLength: 256 },
    schemaController: { compilersFactory: COMPILERS },
  }).withTypeProvider<SchemaTypes>();

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (request: FastifyRequest) => {
    const maxBytes = request.routeOptions.bodyLimit;
    const body = requestBody(request.raw, requestReplies.get(request)!.raw, { idleMs: limits.bodyIdleMs, maxBytes });
    refuseLength(request, maxBytes);
    const bytes = await readWhole(body);
    return bytes.length === 0 ? undefined : parseJson(bytes, limits.jsonDepth);
  });
  addHooks(app, options, limits, requests);
  const routes: { method: string; url: string; needs: Role | null }[] = [];
  const openapi = createOpenApi(options.version);
  app.addHook('onRoute', (route) => {
    const { url, method, config } = route;
    for (const one of [method].flat()) routes.push({ method: one, url, needs: config?.needs ?? null });
    openapi.addRoute(route);
  });
  addErrors(app, limits, routes);

  const context: RouteContext = { ...options, limits, requests, openapi, lanes: options.lanes ?? null };
  for (const add of [
    serverRoutes,
    transferRoutes,
    uploadRoutes,
    packRoutes,
    fileRoutes,
    nameRoutes,
    probeRoutes,
    tokenRoutes,
    laneRoutes,
  ]) {
    add(app, context);
  }
  await app.ready();
  return { app, requests, limits, routes };
}

function addHooks(app: App, { auth, health }: AppOptions, limits: Limits, requests: RouteContext['requests']): void {
  app.addHook('onRequest', async (request, reply) => {
    requests.add(reply.raw);
    requestReplies.set(request, reply);
    // Now, because a connection that is gone has no address.
    request.peer = request.raw.socket?.remoteAddress;
    reply.header('x-content-type-options', 'nosniff');
    // A connection that is kept alive would keep a stopping server from its end.
    if (health.stopping && request.raw.httpVersionMajor === 1) reply.header('connection', 'close');
    refuseOddHeaders(request, limits.headerBytes);
    if (request.is404) return;
    const { needs } = request.routeOptions.config;
    if (needs) {
      request.principal = await auth.authenticate(request.headers.authorization);
      if (!roleIncludes(request.principal.role, needs)) throw forbidden(request, needs);
      requests.belongs(reply.raw, request.principal.id);
    }
    refuseOddBodies(request);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, principal } = request;
    const url = request.originalUrl.replace(/\?.*$/s, '').slice(0, 1024);
    const ms = Math.round(reply.elapsedTime);
    request.log.info(
      { method, url, status: reply.raw.statusCode, ms, who: principal?.name, token: principal?.id, peer: request.peer },
      'request',
    );
  });
}

function addErrors(app: App, limits: Limits, routes: BuiltApp['routes']): void {
  app.setErrorHandler((error, request, reply) => {
    const { problem, headers, unexpected } = problemOf(error, request.id);
    if (unexpected) request.log.error({ err: error }, 'request failed');
    const body = JSON.stringify(problem);
    if (bodyIsOpen(request.raw) && !reply.raw.headersSent) {
      const set = reply.getHeaders() as Record<string, string>;
      reply.hijack();
      answerEarly(request.raw, reply.raw, { status: problem.status, headers: { ...set, ...headers }, body }, limits);
      return;
    }
    // For HEAD as for GET: fastify drops the body itself.
    void reply.code(problem.status).headers(headers).serializer(String).send(body);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.replace(/\?.*$/s, '');
    const there = routes.filter(({ url }) => sameRoute(url, path));
    if (there.length > 0) {
      const allowed = there.map(({ method }) => method).join(', ');
      reply.header('allow', allowed);
      throw new HawserError('method_not_allowed', `${request.method} is not allowed here: use one of ${allowed}.`, {
        value: request.method,
      });
    }
    const shown = path.slice(0, 200);
    throw new HawserError(
      'route_not_found',
      `There is no route ${JSON.stringify(shown)}: see /api/v1/openapi.json for all of them.`,
      {
        value: shown,
      },
    );
  });
}

/** What http.Server lets pass and RFC 9112 does not (sections 2.3 and 3.2), and the bound that HTTP/2 only announces. */
function refuseOddHeaders({ raw, headers }: FastifyRequest, mostBytes: number): void {
  if (raw.httpVersionMajor === 0) throw new HawserError('request_invalid', 'HTTP/0.9 is not spoken here: use HTTP/1.1 or 2.');
  let bytes = 0;
  let hosts = 0;
  for (const [i, text] of raw.rawHeaders.entries()) {
    bytes += text.length;
    if (i % 2 === 0 && text.length === 4 && text.toLowerCase() === 'host') hosts++;
  }
  if (bytes > mostBytes) {
    throw new HawserError('header_too_large', `The headers have ${bytes} bytes, more than ${mostBytes}: send less.`, {
      value: bytes,
    });
  }
  if (hosts > 1 || (raw.httpVersion === '1.1' && headers.host === undefined)) {
    throw new HawserError('request_invalid', `The request has ${hosts} Host headers: send exactly one.`, { value: hosts });
  }
}

/** What no request of ours needs, and what proxies and servers have been made to disagree about. */
function refuseOddBodies({ method, headers, raw }: FastifyRequest): void {
  const coding = headers['content-encoding'];
  if (coding !== undefined && coding !== 'identity') {
    throw new HawserError('media_type_unsupported', `The body is coded with ${JSON.stringify(coding)}: send it as it is.`, {
      value: coding,
    });
  }
  const length = headers['content-length'];
  const hasBody = headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) > 0);
  if (hasBody && (method === 'GET' || method === 'HEAD')) {
    throw new HawserError('request_invalid', `A ${method} has no body here: send it without one.`, { value: raw.method ?? '' });
  }
}

function refuseLength(request: FastifyRequest, maxBytes: number): void {
  const length = Number(request.headers['content-length'] ?? 0);
  if (length <= maxBytes) return;
  throw new HawserError('body_too_large', `The body has ${length} bytes and this route takes ${maxBytes}: send it in parts.`, {
    value: length,
  });
}

function forbidden(request: FastifyRequest, needs: string): HawserError {
  const { name, role } = request.principal;
  return new HawserError(
    'forbidden',
    `The token "${name}" has the role "${role}" and this needs "${needs}": use a token with that role.`,
    {
      value: role,
    },
  );
}

function sameRoute(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const given = path.split('/');
  return wanted.length === given.length && wanted.every((part, i) => part === '*' || part.startsWith(':') || part === given[i]);
}

/** As an option: fastify loads compilers of its own, 3 MB and 100 modules, wherever they are only set afterwards. */
const COMPILERS = {
  // Its types know the schemas of its own compiler alone.
  buildValidator: () => compileValidator as never,
  // Our forms are made field by field (wire-forms.ts), so nothing is left to filter; and lone surrogates stay as they are.
  buildSerializer: () => () => JSON.stringify,
};
/** A content-type parser is given the request alone, and "100 Continue" is said by the answer. */
const requestReplies = new WeakMap<FastifyRequest, FastifyReply>();
