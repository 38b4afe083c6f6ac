// Its standard input is the read end of a pipe. It gives that away, without having read a byte, and ends: `node tap.js ADDRESS`
import { serve } from '../handover/handover.js';

const [, , address = ''] = process.argv;
const STDIN = 0;

const stop = await serve(address, (what, fds) => {
  console.log(`the tap hands over ${what}, and ends`);
  // That waits for this call, and takes no other.
  setImmediate(stop);
  return fds.sendFd(STDIN).ref;
});
