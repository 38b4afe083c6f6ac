// npm run soak: processes that call, kill and restart each other for as long as one likes. Needs a build (`npm run compile`); the options
// are described in test/soak/options.ts.
import '../build/test/soak/main.js';
