/** A member's place in a {@link LinkedList}, kept by whoever wants to remove it in O(1). */
export interface Link<T> {
  readonly value: T;
  previous: Link<T> | undefined;
  next: Link<T> | undefined;
}

/**
 * A doubly linked list. A `Set` keeps order too, but it has no last member to ask for, and finding its first
 * one walks over the holes that removals left.
 */
export class LinkedList<T> {
  first: Link<T> | undefined;
  last: Link<T> | undefined;
  size = 0;

  append(value: T): Link<T> {
    const link: Link<T> = { value, previous: this.last, next: undefined };
    if (this.last === undefined) this.first = link;
    else this.last.next = link;
    this.last = link;
    this.size++;
    return link;
  }

  /** `link` must be in this list. */
  remove(link: Link<T>): void {
    if (link.previous === undefined) this.first = link.next;
    else link.previous.next = link.next;
    if (link.next === undefined) this.last = link.previous;
    else link.next.previous = link.previous;
    this.size--;
  }
}
