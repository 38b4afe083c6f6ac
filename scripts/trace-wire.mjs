// npm run trace: what docs/wire.md says of sendmsg calls, measured with strace at both ends. Needs Go, strace, and a build
// (`npm run build`).
import '../build/interop/runner/trace.js';
