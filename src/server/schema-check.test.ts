import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Check } from 'typebox/value';
import { compileCheck } from './schema-check.ts';
import { type Schema, type Static, Type } from './schema-types.ts';
import * as schemas from './schemas.ts';

const all = Object.entries(schemas as Record<string, unknown>).filter(([, one]) => typeof one === 'object') as [string, Schema][];

describe('the check of a schema', () => {
  it('says yes and no as an independent checker of JSON Schema does, for every form of the wire', () => {
    const counts = { fit: 0, misfit: 0 };
    for (const [name, schema] of all) {
      const check = compileCheck(schema);
      const property = fc.property(valueFor(schema), (value) => {
        const fits = check(value) === null;
        counts[fits ? 'fit' : 'misfit']++;
        assert.equal(fits, Check(schema as never, value), name);
      });
      fc.assert(property, { numRuns: 60 });
    }
    assert.ok(counts.fit > 1000 && counts.misfit > 1000, JSON.stringify(counts));
  });

  it('names what is wrong, and where', () => {
    const cases: [schema: Schema, value: unknown, place: string, what: string][] = [
      [schemas.UploadBody, [], '', 'must be object'],
      [schemas.UploadBody, { a: 1 }, '', 'must have required properties path, size'],
      [schemas.UploadBody, { path: '/a', size: 1, b: 1 }, '', 'has the unknown field "b"'],
      [schemas.UploadBody, { path: '/a', size: 'x' }, 'size', 'must be integer'],
      [schemas.UploadBody, { path: '/a', size: -1 }, 'size', 'must be >= 0'],
      [schemas.UploadBody, { path: '', size: 1 }, 'path', 'must not have fewer than 1 characters'],
      [schemas.UploadBody, { path: '/a', size: 1, overwrite: 'z' }, 'overwrite', 'must be equal to one of the allowed values'],
      [schemas.UploadBody, { path: '/a', size: 1, begin: { source: '' } }, 'begin', 'must have required properties destination'],
      [schemas.PackReadBody, { paths: ['/a', 1] }, 'paths/1', 'must be string'],
      [schemas.IdParams, { id: '/' }, 'id', 'must match pattern "^[A-Za-z0-9_-]{1,64}$"'],
    ];
    for (const [schema, value, place, what] of cases) assert.deepEqual(compileCheck(schema)(value), { place, what });
  });

  it('counts characters, not units of UTF-16, and lone surrogates as characters', () => {
    const check = compileCheck(Type.String({ minLength: 2, maxLength: 3 }));
    for (const text of ['ab', 'abc', '😀😀', '😀😀😀', '\udc80\udcff']) assert.equal(check(text), null, text);
    for (const text of ['a', '😀', 'abcd', '😀😀😀😀', '']) assert.notEqual(check(text), null, text);
  });

  it('takes a field for there only when it is the own field of a value', () => {
    const check = compileCheck(Type.Object({ toString: Type.Unknown() }, { additionalProperties: false }));
    assert.deepEqual(check({}), { place: '', what: 'must have required properties toString' });
    assert.deepEqual(check(JSON.parse('{"toString":1,"__proto__":2}')), { place: '', what: 'has the unknown field "__proto__"' });
    assert.equal(check(JSON.parse('{"toString":1}')), null);
  });

  it('refuses a keyword that it would not check', () => {
    assert.throws(() => compileCheck({ uniqueItems: true } as Schema), /"uniqueItems"/);
    assert.throws(() => compileCheck(Type.Array({ multipleOf: 2 } as Schema)), /"multipleOf"/);
  });
});

it('a schema has the type of what fits it', () => {
  const schema = Type.Object({ a: Type.Integer(), b: Type.Optional(Type.Enum(['x', 'y'])) });
  const fits: Static<typeof schema>[] = [{ a: 1 }, { a: 2, b: 'x' }];
  // @ts-expect-error: it is no member.
  const wrong: Static<typeof schema> = { a: 1, b: 'z' };
  for (const value of fits) assert.equal(compileCheck(schema)(value), null);
  assert.notEqual(compileCheck(schema)(wrong), null);
});

/** Mostly what fits, and some of it broken. */
function valueFor(schema: Schema): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 12, arbitrary: fitting(schema) }, { weight: 1, arbitrary: anything });
}

function fitting(schema: Schema): fc.Arbitrary<unknown> {
  const { properties = {}, required = [] } = schema;
  if (schema.const !== undefined) return fc.constantFrom<unknown>(schema.const, 'other', false);
  if (schema.enum) return fc.constantFrom<unknown>(...schema.enum, 'other');
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(valueFor));
  if (schema.allOf) return fc.tuple(...schema.allOf.map(fitting)).map((parts) => Object.assign({}, ...parts) as unknown);
  if (schema.type === 'object') {
    const names = Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, valueFor(one)]));
    const whole = fc.record(names, { requiredKeys: required as string[] });
    const more = fc.dictionary(fc.constantFrom('more', '__proto__', 'constructor', ...Object.keys(properties)), anything, {
      maxKeys: 1,
    });
    return fc.oneof(
      { weight: 8, arbitrary: whole },
      fc.tuple(whole, more).map(([one, two]) => ({ ...one, ...two })),
    );
  }
  if (schema.type === 'array') return fc.array(valueFor(schema.items!), { maxLength: (schema.minItems ?? 1) + 2 });
  if (schema.pattern !== undefined) {
    return fc.oneof({ weight: 8, arbitrary: fc.stringMatching(new RegExp(schema.pattern)) }, fc.string());
  }
  if (schema.type === 'string') return fc.string({ unit: 'binary', minLength: schema.minLength ?? 0, maxLength: 12 });
  if (schema.type === 'integer' || schema.type === 'number') {
    const { minimum = -9, maximum = 1e9 } = schema;
    return fc.oneof(fc.integer({ min: minimum, max: maximum }), fc.constantFrom(minimum, maximum, minimum - 1, maximum + 1, 0.5));
  }
  if (schema.type === 'boolean') return fc.boolean();
  return schema.type === 'null' ? fc.constant(null) : anything;
}

const anything: fc.Arbitrary<unknown> = fc.jsonValue({ maxDepth: 2 });
