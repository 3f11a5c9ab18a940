/**
 * Makers of JSON Schemas, each with the TypeScript type of what fits it. What they make is plain JSON: schema-check.ts checks
 * values against it, and the OpenAPI page shows it. Only what the wire forms use is there; a library for all of JSON Schema was
 * 700 modules, 14 MB and a third of the server's start.
 */
import type { FastifyTypeProvider } from 'fastify';

export interface Schema<T = unknown> {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: false;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** A regular expression with the flag "u". */
  readonly pattern?: string;
  /** For people: it is not checked. */
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly const?: string | boolean;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  /** Never there: it lets TypeScript remember what fits. */
  readonly [fits]?: T;
}

/** What fits a schema. */
export type Static<S> = S extends Schema<infer T> ? T : never;

/** A property that may be missing. */
export interface Optional<S extends Schema> {
  readonly optional: S;
}

/** For fastify: the types of requests and answers are those of their schemas. */
export interface SchemaTypes extends FastifyTypeProvider {
  validator: this['schema'] extends Schema ? Static<this['schema']> : unknown;
  serializer: this['schema'] extends Schema ? Static<this['schema']> : unknown;
}

type Options<Names extends keyof Schema = never> = Pick<Schema, 'description' | Names>;
type Properties = Readonly<Record<string, Schema | Optional<Schema>>>;
type OptionalNames<P> = { [K in keyof P]: P[K] extends Optional<Schema> ? K : never }[keyof P];
type ObjectOf<P> = Flat<
  { [K in Exclude<keyof P, OptionalNames<P>>]: Static<P[K]> } & {
    [K in OptionalNames<P>]?: P[K] extends Optional<infer S> ? Static<S> : never;
  }
>;
type Flat<T> = { [K in keyof T]: T[K] };
type All<S> = S extends readonly [infer First, ...infer Rest] ? Static<First> & All<Rest> : unknown;

export const Type = {
  Object<const P extends Properties>(properties: P, options: Options<'additionalProperties'> = {}): Schema<ObjectOf<P>> {
    const required = Object.keys(properties).filter((name) => !('optional' in properties[name]!));
    return {
      type: 'object',
      ...(required.length === 0 ? {} : { required }),
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, value]) => [name, 'optional' in value ? value.optional : value]),
      ),
      ...options,
    };
  },
  Optional: <S extends Schema>(schema: S): Optional<S> => ({ optional: schema }),
  Array: <S extends Schema>(items: S, options: Options<'minItems' | 'maxItems'> = {}): Schema<Static<S>[]> => ({
    type: 'array',
    items,
    ...options,
  }),
  String: (options: Options<'minLength' | 'maxLength' | 'pattern' | 'format'> = {}): Schema<string> => ({
    type: 'string',
    ...options,
  }),
  Integer: (options: Options<'minimum' | 'maximum'> = {}): Schema<number> => ({ type: 'integer', ...options }),
  Number: (): Schema<number> => ({ type: 'number' }),
  Boolean: (): Schema<boolean> => ({ type: 'boolean' }),
  Null: (options: Options = {}): Schema<null> => ({ type: 'null', ...options }),
  Unknown: (): Schema<unknown> => ({}),
  Literal: <const V extends string | boolean>(value: V): Schema<V> => ({
    type: typeof value === 'string' ? 'string' : 'boolean',
    const: value,
  }),
  Enum: <const V extends readonly string[]>(values: V): Schema<V[number]> => ({ enum: values }),
  Union: <const S extends readonly Schema[]>(anyOf: S): Schema<Static<S[number]>> => ({ anyOf }),
  Intersect: <const S extends readonly Schema[]>(allOf: S): Schema<All<S>> => ({ allOf }),
};

declare const fits: unique symbol;
