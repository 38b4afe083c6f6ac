/** The door for `import`: see ./index.mts. */
import './register.js';
