/** The door for `import`. */
export type * from './nice.js';
export { clientMiddleware, createChannel, serverMiddleware, serverOptions } from './nice.js';
