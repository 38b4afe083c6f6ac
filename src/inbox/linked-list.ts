/** A value in a {@link LinkedList}. It is needed to remove the value in O(1). */
export interface Link<T> {
  readonly value: T;
  previous: Link<T> | undefined;
  next: Link<T> | undefined;
}

/**
 * A doubly linked list. A `Set` keeps order, too. But it gives no access to its last member, and the search for its first one passes over
 * all entries that were removed.
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
