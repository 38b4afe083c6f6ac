// npm run test:interop: this package against the Go package, both ways. Needs Go and a build (`npm run compile`); the options
// are described in interop/runner/main.ts.
import '../build/interop/runner/main.js';
