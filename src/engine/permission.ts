/** The one permission check that every door goes through. */
import { HawserError } from '../core/errors.ts';
import type { Role } from '../store/meta/contract.ts';
import type { Action, Principal } from './contract.ts';

/** Throws `forbidden` unless the principal's role includes the action. */
export function permit(who: Principal, action: Action): void {
  if (GRANTS[who.role].includes(action)) return;
  throw new HawserError(
    'forbidden',
    `The token "${who.name}" has the role "${who.role}", which does not include "${action}": use a token with a wider role.`,
    { value: who.role },
  );
}

/** True when the principal may see and steer what `owner` started. */
export function owns(who: Principal, owner: string): boolean {
  return who.id === owner || GRANTS[who.role].includes('manage');
}

const GRANTS: Readonly<Record<Role, readonly Action[]>> = {
  read: ['read'],
  write: ['read', 'write'],
  admin: ['read', 'write', 'manage'],
};
