/** Why a program failed, out of all that it wrote. */

/** Its own sentence when it is Hawser, else the line that names an error, else how it ended. */
export function reasonOf(error: unknown): string {
  const text = (error as Error).message;
  const sentence = /"message":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
  const named = /^.*Error\b.*$/m.exec(text)?.[0];
  const how = /" (ended with [^:]*)/.exec(text)?.[1];
  const last = text.split('\n').findLast((line) => line !== '' && !line.includes('"event":"progress"'));
  return (sentence ?? named ?? how ?? last ?? text).trim().slice(0, 300);
}
