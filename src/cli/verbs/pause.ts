/** hawser pause ID */
import type { Command } from 'commander';
import { defineControl } from '../control.ts';
import type { Shell } from '../shell.ts';

export function define(program: Command, shell: Shell): void {
  defineControl(program, shell, {
    verb: 'pause',
    summary: 'hold a transfer until it is resumed',
    act: (client, id) => client.pause(id),
    done: (id) => `Paused. Go on with:  hawser resume ${id}`,
  });
}
