/**
 * After `import 'grpcfd/register'`, every grpc.Server of this process supports `serverCredentials()`, as `grpcfd.Server` does. The module
 * exports nothing.
 *
 * @module grpcfd/register
 */
import * as grpc from '@grpc/grpc-js';
import { honourServerCredentials } from './grpc/server/server.js';

honourServerCredentials(grpc.Server.prototype);
