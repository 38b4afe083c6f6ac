/** A received descriptor as the socket layer hands it up: whoever is given one owns `fd`. */
export interface Arrival {
  readonly fd: number;
  readonly dev: bigint;
  readonly ino: bigint;
}

/** A name that any peer can give. It is no identity: several open files can share an inode. */
export interface InodeName {
  readonly kind: 'inode';
  readonly dev: bigint;
  readonly ino: bigint;
}

/** The exact name: the place of a descriptor among all that came in on its connection, counted from 1. */
export interface SequenceName {
  readonly kind: 'sequence';
  readonly sequence: number;
  /** Checked where it is given. */
  readonly dev?: bigint | undefined;
  /** Checked where it is given. */
  readonly ino?: bigint | undefined;
}

export type DescriptorName = InodeName | SequenceName;

/** What the peer says it sent for a call. */
export interface ClaimEntry {
  /** 0 for what it did not send in the end. */
  readonly sequence: number;
  readonly dev: bigint;
  readonly ino: bigint;
}

/** A map key: a `Map` compares objects by identity. */
export function inodeKey(inode: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${inode.dev}/${inode.ino}`;
}

/** How error texts name a descriptor. */
export function describeName(name: DescriptorName): string {
  return name.kind === 'inode'
    ? `inode://${inodeKey(name)}`
    : `descriptor ${name.sequence} of this connection`;
}
