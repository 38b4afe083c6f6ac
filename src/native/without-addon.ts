/** Stands in place of the addon where the platform is not supported. Every use of it throws, so nothing is done by halves. */
import { GrpcFdError } from '../errors.js';

/** What other modules read while they are loaded. */
const CONSTANTS: Readonly<Record<PropertyKey, unknown>> = { O_PATH: 0, ETOOMANYREFS: 0 };

/** Can be called and constructed, as everything in the addon can. */
function refuse(): never {
  throw withoutDescriptors();
}

export const withoutAddon: unknown = new Proxy(
  {},
  { get: (_target, name) => (Object.hasOwn(CONSTANTS, name) ? CONSTANTS[name] : refuse) },
);

export function withoutDescriptors(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
    `descriptors do not travel on ${process.platform}-${process.arch}: grpcfd needs Linux on x64 or arm64, and passes calls through elsewhere`,
  );
}
