/** The version in package.json, which is the one that is published. */
import { readFileSync } from 'node:fs';

export const VERSION: string = (() => {
  for (const place of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name: string;
        version: string;
      };
      if (name === 'hawser') return version;
    } catch {
      // Built code lies one folder deeper.
    }
  }
  return '0.0.0';
})();
