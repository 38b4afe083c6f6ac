/** Closes the descriptors of objects that were collected although their user had not closed them. */
import { native } from '../native/binding.js';

interface Forgotten {
  readonly fd: number;
  /** Undefined where the warning comes with another descriptor of the same object. */
  readonly what: string | undefined;
}

const registry = new FinalizationRegistry<Forgotten>(({ fd, what }) => {
  native.closeAll([fd]);
  if (what === undefined) return;
  process.emitWarning(`${what} was collected without having been closed`, {
    code: 'GRPCFD_UNCLOSED',
    detail: 'Close it, or declare it with "using" or "await using".',
  });
});

/** Closes `fd` if `owner` is collected before {@link closedByOwner} is called for it. `what` begins the text of the warning. */
export function closeWhenCollected(owner: object, fd: number, what?: string): void {
  registry.register(owner, { fd, what }, owner);
}

export function closedByOwner(owner: object): void {
  registry.unregister(owner);
}
