/** The function of the addon for namespaces. */
export interface NamespaceFunctions {
  /** The CLONE_NEW flag of a namespace that is not open with O_PATH. ENOTTY: it is something else, or the kernel is older than Linux 4.11. */
  namespaceType(fd: number): number;
}
