/** Requests against their schemas, with a sentence for people when they do not fit. */
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { HawserError } from '../core/errors.ts';

/**
 * For fastify. Bodies must fit as they are: turning "12" into 12 or null into 0 would hide mistakes. Queries are text, so whole
 * numbers and true/false are read from it where the schema wants them.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const checked = Compile(schema);
  const fromText = httpPart === 'querystring' ? textReader(schema) : null;
  return (data: unknown) => {
    const value = fromText ? fromText(data as Record<string, unknown>) : data;
    if (checked.Check(value)) return { value };
    return { error: misfit(httpPart ?? 'body', checked.Errors(value)[0]) };
  };
};

function textReader(schema: TSchema): (query: Record<string, unknown>) => Record<string, unknown> {
  const properties = (schema as { properties?: Record<string, { type?: string }> }).properties ?? {};
  return (query) => {
    const read: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(query)) {
      const type = Object.hasOwn(properties, name) ? properties[name]!.type : undefined;
      if (type === 'integer' && typeof value === 'string' && /^\d{1,16}$/.test(value)) read[name] = Number(value);
      else if (type === 'boolean' && (value === 'true' || value === 'false')) read[name] = value === 'true';
      else Object.defineProperty(read, name, { value, enumerable: true });
    }
    return read;
  };
}

function misfit(httpPart: string, problem: { instancePath: string; message: string; params?: object } | undefined): HawserError {
  const part = { body: 'body', querystring: 'query', params: 'URL', headers: 'headers' }[httpPart] ?? httpPart;
  const place = problem?.instancePath.slice(1, 100) ?? '';
  const unknown = (problem?.params as { additionalProperties?: string[] } | undefined)?.additionalProperties?.[0]?.slice(0, 100);
  let what = `${problem?.message ?? 'does not fit'}${place ? ` at ${JSON.stringify(place)}` : ''}`;
  // How the checker calls a field that the schema does not have.
  if (problem?.message === 'schema is false') what = `has the unknown field ${JSON.stringify(place)}`;
  else if (unknown !== undefined) what = `has the unknown field ${JSON.stringify(unknown)}`;
  return new HawserError('request_invalid', `The ${part} ${what}: see docs/protocol/http.md for its form.`);
}
