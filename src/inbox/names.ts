/**
 * Names a file on this machine: `<st_dev>/<st_ino>`, both decimal and without leading zeros, as in its `inode://` URL. It is a string,
 * because a number has no room for 64 bits, and a `Map` compares objects by identity.
 */
export type Inode = string;

/** A descriptor that arrived. It belongs to the function that is given the arrival. */
export interface Arrival {
  readonly fd: number;
  readonly inode: Inode;
  /** It stands in place of a descriptor that the kernel refused to send, or that nobody may have: a receive of it fails. */
  readonly isPlaceholder?: boolean;
}

/** A name that any peer can give. It is not unique: several open files can share an inode. */
export interface InodeName {
  readonly kind: 'inode';
  readonly inode: Inode;
}

/** The exact name: the sequence number of a descriptor among all that came in on its connection, from 1. */
export interface SequenceName {
  readonly kind: 'sequence';
  readonly sequence: number;
  /** The inode that the descriptor must have. */
  readonly inode?: Inode | undefined;
}

export type DescriptorName = InodeName | SequenceName;

/** A descriptor that the peer has sent for a call, according to the metadata of the call. */
export interface ClaimEntry {
  /** The sequence number, or 0 for a descriptor that was not sent in the end. */
  readonly sequence: number;
  readonly inode: Inode;
}

/** Sequence numbers that follow one another. */
export interface SequenceRange {
  readonly first: number;
  readonly last: number;
}

/** How error texts name a descriptor. */
export function describeName(name: DescriptorName): string {
  return name.kind === 'inode' ? `inode://${name.inode}` : `descriptor ${name.sequence} of this connection`;
}
