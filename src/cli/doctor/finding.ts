/** What the doctor found about one subject. */
export interface Finding {
  readonly subject: string;
  /** `note`: it works, and something is worth knowing. */
  readonly state: 'ok' | 'note' | 'problem';
  readonly text: string;
  /** What to do about it. */
  readonly todo?: string;
}

export const ok = (subject: string, text: string): Finding => ({ subject, state: 'ok', text });
export const note = (subject: string, text: string, todo?: string): Finding => ({
  subject,
  state: 'note',
  text,
  ...(todo !== undefined && { todo }),
});
export const problem = (subject: string, text: string, todo: string): Finding => ({
  subject,
  state: 'problem',
  text,
  todo,
});
