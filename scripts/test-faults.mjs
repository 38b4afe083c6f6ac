// npm run test:faults [-- --markdown docs/faults.md]: has each system call of the addon fail in its turn, and prints what comes of it. Needs a
// build (`npm run compile`), a C compiler and glibc. The options are described in test/faults/main.ts.
import '../build/test/faults/main.js';
