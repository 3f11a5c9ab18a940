/** Whether a value, as JSON has them, fits a schema of schema-types.ts; and if not, what is wrong with it and where. */
import type { Schema } from './schema-types.ts';

export interface Misfit {
  /** JSON pointer (RFC 6901) without its first slash, with names as they are; empty: the value itself. */
  readonly place: string;
  /** What follows "the body". */
  readonly what: string;
}

/** Null: it fits. */
export type Check = (value: unknown) => Misfit | null;

/** Made once for a schema. Throws on a keyword that is not known here: it would not be checked. */
export function compileCheck(schema: Schema): Check {
  for (const keyword of Object.keys(schema)) {
    if (!(keyword in CHECKS || BESIDE.has(keyword))) throw new TypeError(`No check knows the keyword "${keyword}".`);
  }
  const checks = Object.keys(CHECKS)
    .filter((keyword) => keyword in schema)
    .map((keyword) => CHECKS[keyword]!(schema));
  return (value) => {
    for (const check of checks) {
      const misfit = check(value);
      if (misfit) return misfit;
    }
    return null;
  };
}

export function compileGuard<T>(schema: Schema<T>): (value: unknown) => value is T {
  const check = compileCheck(schema);
  return (value): value is T => check(value) === null;
}

/** In this order; each passes what is of another type, which `type` is for. */
const CHECKS: Readonly<Record<string, (schema: Schema) => Check>> = {
  type: ({ type }) => unless(isOfType[type!], `must be ${type}`),
  const: (schema) => unless((value) => value === schema.const, 'must be equal to constant'),
  enum: (schema) => unless((value) => schema.enum!.includes(value as string), 'must be equal to one of the allowed values'),
  minimum: ({ minimum = 0 }) => unless((value) => typeof value !== 'number' || value >= minimum, `must be >= ${minimum}`),
  maximum: ({ maximum = 0 }) => unless((value) => typeof value !== 'number' || value <= maximum, `must be <= ${maximum}`),
  minLength: ({ minLength = 0 }) =>
    unless(
      (value) => typeof value !== 'string' || !isShorter(value, minLength),
      `must not have fewer than ${minLength} characters`,
    ),
  maxLength: ({ maxLength = 0 }) =>
    unless(
      (value) => typeof value !== 'string' || isShorter(value, maxLength + 1),
      `must not have more than ${maxLength} characters`,
    ),
  pattern({ pattern = '' }) {
    const expression = new RegExp(pattern, 'u');
    return unless((value) => typeof value !== 'string' || expression.test(value), `must match pattern "${pattern}"`);
  },
  minItems: ({ minItems = 0 }) =>
    unless((value) => !Array.isArray(value) || value.length >= minItems, `must not have fewer than ${minItems} items`),
  maxItems: ({ maxItems = 0 }) =>
    unless((value) => !Array.isArray(value) || value.length <= maxItems, `must not have more than ${maxItems} items`),
  items({ items }) {
    const check = compileCheck(items!);
    return (value) => {
      if (!Array.isArray(value)) return null;
      for (let i = 0; i < value.length; i++) {
        const misfit = check(value[i]);
        if (misfit) return inside(String(i), misfit);
      }
      return null;
    };
  },
  required({ required = [] }) {
    return (value) => {
      if (!isObject(value)) return null;
      const missing = required.filter((name) => !Object.hasOwn(value, name));
      return missing.length === 0 ? null : { place: '', what: `must have required properties ${missing.join(', ')}` };
    };
  },
  properties({ properties = {}, additionalProperties }) {
    const checks = new Map(Object.entries(properties).map(([name, schema]) => [name, compileCheck(schema)]));
    return (value) => {
      if (!isObject(value)) return null;
      for (const name of Object.keys(value)) {
        const check = checks.get(name);
        if (check) {
          const misfit = check(value[name]);
          if (misfit) return inside(name, misfit);
        } else if (additionalProperties === false) {
          return { place: '', what: `has the unknown field ${JSON.stringify(name.slice(0, 100))}` };
        }
      }
      return null;
    };
  },
  /** Of what fits none, the first tells most: the others are there for null. */
  anyOf(schema) {
    const checks = schema.anyOf!.map(compileCheck);
    return (value) => {
      let first: Misfit | null = null;
      for (const check of checks) {
        const misfit = check(value);
        if (!misfit) return null;
        first ??= misfit;
      }
      return first;
    };
  },
  allOf(schema) {
    const checks = schema.allOf!.map(compileCheck);
    return (value) => {
      for (const check of checks) {
        const misfit = check(value);
        if (misfit) return misfit;
      }
      return null;
    };
  },
};

const isOfType: Readonly<Record<NonNullable<Schema['type']>, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  integer: Number.isInteger,
  number: Number.isFinite,
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
};

function unless(fits: (value: unknown) => boolean, what: string): Check {
  const misfit = { place: '', what };
  return (value) => (fits(value) ? null : misfit);
}

function inside(name: string, { place, what }: Misfit): Misfit {
  return { place: place === '' ? name : `${name}/${place}`, what };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** In characters of Unicode, which are one or two units of a string. */
function isShorter(text: string, characters: number): boolean {
  if (text.length < characters) return true;
  if (text.length >= 2 * characters) return false;
  let count = 0;
  for (const _ of text) count++;
  return count < characters;
}

/** Checked along with another, or for people. */
const BESIDE = new Set(['additionalProperties', 'description', 'format']);
