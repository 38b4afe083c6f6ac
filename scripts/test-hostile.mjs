// npm run test:hostile: hostile peers against a server, and what its other clients notice. Needs a build (`npm run compile`); the options
// are described in test/hostile/options.ts.
import '../build/test/hostile/main.js';
