/** The door for `import`. */
export type * from './connect.js';
export { adapterOptions, fdsOf, transportOptions, withFds } from './connect.js';
