/**
 * The OpenAPI page, made of the routes' schemas when it is first asked for: what makes it is 90 modules and 5 MB, and most servers
 * are never asked.
 */
import fastify, { type RouteOptions } from 'fastify';
import { PROBLEM_TYPE } from './problems.ts';
import { Problem } from './schemas.ts';

export interface OpenApi {
  /** As fastify's hook onRoute has it. */
  addRoute(route: RouteOptions): void;
  page(): Promise<object>;
}

export function createOpenApi(version: string): OpenApi {
  const routes: RouteOptions[] = [];
  let page: Promise<object> | null = null;
  return {
    addRoute: (route) => void routes.push(route),
    page() {
      page ??= makePage(routes, version).catch((error) => {
        page = null;
        throw error;
      });
      return page;
    },
  };
}

/** The plugin wants to see routes as they are added: a second app, that is never asked anything, has them added again. */
async function makePage(routes: readonly RouteOptions[], version: string): Promise<object> {
  const { default: swagger } = await import('@fastify/swagger');
  const app = fastify({ exposeHeadRoutes: false, schemaController: { compilersFactory: NO_COMPILERS } });
  await app.register(swagger, {
    stripBasePath: false,
    exposeHeadRoutes: true,
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Hawser', version, license: { name: 'Apache-2.0' } },
      // Relative to this page, so that it holds behind any proxy prefix.
      servers: [{ url: '../../' }],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }) => ({
      url: url.replace(/\*$/, ':path'),
      schema: { ...schema, ...pageParams(schema?.params), ...(route.config?.needs ? { security: [{ token: [] }] } : {}) },
    }),
  });
  for (const { method, url, config = {}, schema } of routes) {
    const response = { ...(schema?.response as object), default: PROBLEM_ANSWER };
    app.route({ method, url, config, schema: { ...schema, response }, handler: async () => undefined });
  }
  await app.ready();
  const made = app.swagger();
  await app.close();
  return made;
}

/** The page names the wildcard. */
function pageParams(params: unknown): object {
  const properties = (params as { properties?: Record<string, unknown> } | undefined)?.properties;
  if (!properties || !('*' in properties)) return {};
  return { params: { type: 'object', required: ['path'], properties: { path: properties['*'] } } };
}

const PROBLEM_ANSWER = { description: 'What went wrong.', content: { [PROBLEM_TYPE]: { schema: Problem } } };
/** In place of fastify's own, which would be loaded. */
const NO_COMPILERS = { buildValidator: () => (() => () => true) as never, buildSerializer: () => () => JSON.stringify };
