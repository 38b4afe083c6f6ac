/** The addon, for all that use it. */
import { type ArrayFunctions, type ListFunctions, withArrays } from './fd-lists.js';
import { loadAddon, supported } from './load.js';
import { withRoom } from './room.js';
import type { NativeBinding } from './types.js';
import { withoutAddon } from './without-addon.js';

type Addon = Omit<NativeBinding, keyof ArrayFunctions> & ListFunctions;

/** The functions of the addon, documented in `types.ts`. Where {@link supported} is false, each of them throws. */
export const native: NativeBinding = supported
  ? complete(loadAddon() as Addon)
  : (withoutAddon as NativeBinding);

export const { duplicateAll, close, closeAll, unguardAll, identify } = native;
export const { Bridge, SocketHandle, peerCredentials, connectUnix, bindUnix, placeholder } = native;
export const { systemError, O_PATH, ETOOMANYREFS } = native;
export { supported };

function complete(addon: Addon): NativeBinding {
  const lists = withArrays(addon);
  return {
    ...addon,
    ...lists,
    duplicate: withRoom(addon.duplicate),
    duplicateToSend: withRoom(lists.duplicateToSend),
    duplicateAll: withRoom(lists.duplicateAll),
    open: withRoom(addon.open),
    socketPair: withRoom(addon.socketPair),
    connectUnix: withRoom(addon.connectUnix),
    createEventFd: withRoom(addon.createEventFd),
    memFd: withRoom(addon.memFd),
    placeholder: withRoom(addon.placeholder),
  };
}
