// npm run trace: what docs/wire.md says of sendmsg calls, measured with strace at both ends. Needs Go, strace, and a build
// (`npm run compile`).
import '../build/interop/runner/trace.js';
