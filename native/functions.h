#ifndef GRPCFD_FUNCTIONS_H_
#define GRPCFD_FUNCTIONS_H_

#include <node_api.h>

namespace grpcfd {

// Functions on any descriptor: duplicate, duplicateAll, guard, lend, unguard, unguardAll, open, identify,
// statusFlags, setCloseOnExec, systemError.
bool DefineDescriptorFunctions(napi_env env, napi_value exports);

// Tells what an open file is: describe.
bool DefineFileKindFunction(napi_env env, napi_value exports);

// Functions that make unix sockets or ask about them: connectUnix, bindUnix, socketPair, peerCredentials, socketName,
// isListening, sendDatagram, placeholder and findSockets.
bool DefineUnixSocketFunctions(napi_env env, napi_value exports);

// Functions that tell more of a peer, and refuse its descriptors: peerGroups, peerLabel, peerPidFd, refuseRights.
bool DefinePeerFunctions(napi_env env, napi_value exports);

// Functions for sockets of any family: describeSocket, isSocketFileServed, reusesAddress, setReusesAddress, dontLinger.
bool DefineSocketInfoFunctions(napi_env env, napi_value exports);

// Keeps the file of a listening socket of Node: keepSocketFile.
bool DefinePipeNameFunction(napi_env env, napi_value exports);

// Remembers the numbers that this process was started with and that were adopted: isUsedUp, claimInherited, isInUse.
bool DefineInheritedFunction(napi_env env, napi_value exports);

// Listens on a socket file: listenAtPath.
bool DefineSocketFileFunction(napi_env env, napi_value exports);

// Functions that make memory files or ask about them: memFd, addSeals, getSeals, fileSystemType.
bool DefineMemoryFunctions(napi_env env, napi_value exports);

// Functions that map files into this process: map, unmap, sealMapped and populate.
bool DefineMappingFunctions(napi_env env, napi_value exports);

// Functions that wait for nobody, and tell who is ready: readNow, writeNow, watchReady, setNonBlocking, shutdownWriting.
bool DefineWithoutWaitingFunctions(napi_env env, napi_value exports);

// Functions that work in threads of their own: openInThread, listInThread, dialInThread, and keepAliveForThreads for all of them.
bool DefineOpenerFunction(napi_env env, napi_value exports);
bool DefineDirectoryFunction(napi_env env, napi_value exports);
bool DefineSocketDialFunction(napi_env env, napi_value exports);
bool DefineThreadsFunction(napi_env env, napi_value exports);

// Functions that close descriptors and wait for none: close, closeAll, closeAtOnce, closeAndTell,
// keepAliveForClosers, waitingCloses, stuckCloses, queuedCloses, pendingCloses.
bool DefineClosingFunctions(napi_env env, napi_value exports);

// Tells the type of a namespace: namespaceType.
bool DefineNamespaceFunction(napi_env env, napi_value exports);

// Functions for eventfds: createEventFd, ringEventFd.
bool DefineEventFdFunctions(napi_env env, napi_value exports);

// Functions that only the tests of this package need, under `exports.testing`.
bool DefineTestingFunctions(napi_env env, napi_value exports);
// More of them: lingeringSocket; callBeforeWaits; closesAtOnce.
bool DefineTestingSocketFunction(napi_env env, napi_value testing);
bool DefineTestingLoopFunction(napi_env env, napi_value testing);
bool DefineTestingClosingFunctions(napi_env env, napi_value testing);

}  // namespace grpcfd

#endif  // GRPCFD_FUNCTIONS_H_
