/**
 * What names a file on this machine: `<st_dev>/<st_ino>`, both decimal and without leading zeros, as in its `inode://` URL. A string
 * from where it is read to where it is looked up: a number has no room for 64 bits, and a `Map` compares objects by identity.
 */
export type Inode = string;

/** A received descriptor as the socket layer hands it up: whoever is given one owns `fd`. */
export interface Arrival {
  readonly fd: number;
  readonly inode: Inode;
  /** It stands in place of a descriptor that the kernel refused to send, or that nobody may have: a receive of it fails. */
  readonly isPlaceholder?: boolean;
}

/** A name that any peer can give. It is no identity: several open files can share an inode. */
export interface InodeName {
  readonly kind: 'inode';
  readonly inode: Inode;
}

/** The exact name: the place of a descriptor among all that came in on its connection, counted from 1. */
export interface SequenceName {
  readonly kind: 'sequence';
  readonly sequence: number;
  /** Checked where it is given. */
  readonly inode?: Inode | undefined;
}

export type DescriptorName = InodeName | SequenceName;

/** What the peer says it sent for a call. */
export interface ClaimEntry {
  /** 0 for what it did not send in the end. */
  readonly sequence: number;
  readonly inode: Inode;
}

/** How error texts name a descriptor. */
export function describeName(name: DescriptorName): string {
  return name.kind === 'inode' ? `inode://${name.inode}` : `descriptor ${name.sequence} of this connection`;
}
