/** Puts what the compiler leaves behind (the SQL migrations) beside the built files. */
import { cpSync, globSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
for (const file of globSync('src/**/*.sql', { cwd: root })) cpSync(join(root, file), join(root, file.replace(/^src/, 'dist')));
