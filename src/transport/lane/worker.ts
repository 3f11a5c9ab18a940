/** Entry of the lanes' thread. It shares the process's compile cache, without which reading the code takes twice as long. */
import module from 'node:module';
import { workerData } from 'node:worker_threads';

const { compileCache } = workerData as { compileCache?: string };
if (compileCache !== undefined) module.enableCompileCache(compileCache);
await import('./worker-main.ts');
