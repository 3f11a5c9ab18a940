/** Loads the program's own files faster, in the thread that calls this. */
import module from 'node:module';

/**
 * Our own files import each other by the names they have. Node looks each of a hundred up on disk, which takes as long as a fifth to a
 * quarter of their loading; one that is missing is told when it is read.
 */
export function trustOwnImports(): void {
  const own = new URL('../', import.meta.url).href;
  module.registerHooks({
    resolve(specifier, context, next) {
      const { parentURL } = context;
      if (!specifier.startsWith('.') || !parentURL?.startsWith(own)) return next(specifier, context);
      const { href } = new URL(specifier, parentURL);
      return { url: href, format: href.endsWith('.ts') ? 'module-typescript' : 'module', shortCircuit: true };
    },
  });
}
