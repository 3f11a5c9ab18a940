/** Where the thread begins that holds every lane of this process. */
import { trustOwnImports } from '../own-imports.ts';

trustOwnImports();
await import('./thread-main.ts');
