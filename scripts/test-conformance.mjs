// npm run test:conformance: connections of this package against those of stock grpc-js. Needs a build (`npm run compile`); the
// options are described in test/conformance/parent/options.ts.
import '../build/test/conformance/main.js';
