/** Requests against their schemas, with a sentence for people when they do not fit. */
import type { FastifySchemaCompiler } from 'fastify';
import { HawserError } from '../core/errors.ts';
import { compileCheck, type Misfit } from './schema-check.ts';
import type { Schema } from './schema-types.ts';

/**
 * For fastify. Bodies must fit as they are: turning "12" into 12 or null into 0 would hide mistakes. Queries are text, so whole
 * numbers and true/false are read from it where the schema wants them.
 */
export const compileValidator: FastifySchemaCompiler<Schema> = ({ schema, httpPart }) => {
  const check = compileCheck(schema);
  const fromText = httpPart === 'querystring' ? textReader(schema) : null;
  return (data: unknown) => {
    const value = fromText ? fromText(data as Record<string, unknown>) : data;
    const misfit = check(value);
    return misfit ? { error: refusal(httpPart ?? 'body', misfit) } : { value };
  };
};

function textReader({ properties = {} }: Schema): (query: Record<string, unknown>) => Record<string, unknown> {
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

function refusal(httpPart: string, { place, what }: Misfit): HawserError {
  const part = { body: 'body', querystring: 'query', params: 'URL', headers: 'headers' }[httpPart] ?? httpPart;
  const where = place === '' ? '' : ` at ${JSON.stringify(place.slice(0, 100))}`;
  return new HawserError('request_invalid', `The ${part} ${what}${where}: see docs/protocol/http.md for its form.`);
}
