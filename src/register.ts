/** `import 'grpcfd/register'` has every grpc.Server of this process honour `serverCredentials()`, as `grpcfd.Server` does. */
import * as grpc from '@grpc/grpc-js';
import { honourServerCredentials } from './grpc/server/server.js';

honourServerCredentials(grpc.Server.prototype);
