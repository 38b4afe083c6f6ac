// npm run test:restarts: restarts of a server under load. Needs a build (`npm run compile`); the options are described in
// test/restarts/options.ts.
import '../build/test/restarts/main.js';
