import { GrpcFdError } from '../errors.js';
import { type DescriptorName, describeName, type SequenceName } from './names.js';

export function descriptorsDropped(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_DESCRIPTORS_LOST',
    'the kernel dropped descriptors (MSG_CTRUNC): the descriptor table was full, or a security module refused them',
  );
}

export function alreadyReceived(name: DescriptorName): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_ALREADY_RECEIVED',
    `${describeName(name)} has been received: the first receive handed it over; with { keep: true } it would have left it for the next`,
  );
}

export function overLimit(name: DescriptorName, maxFdsPerCall: number): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
    `${describeName(name)} was closed: its call brought more than ${maxFdsPerCall} descriptors (maxFdsPerCall)`,
  );
}

export function overTotal(name: SequenceName): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
    `${describeName(name)} was closed: all connections together held too many (maxHeldFdsTotal), and its account the most of them`,
  );
}

export function whyAbsent(name: SequenceName, last: number): string {
  if (name.sequence < 1) return 'the descriptor was not sent: its sender had released it before';
  return name.sequence > last
    ? `${describeName(name)} did not arrive: only ${last} came`
    : `${describeName(name)} is not held any more: its call ended, its hold time passed, or a limit was reached`;
}

export function duplicateFailed(name: DescriptorName, cause: unknown): GrpcFdError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new GrpcFdError(
    'ERR_GRPCFD_RECEIVE_FAILED',
    `${describeName(name)} could not be duplicated: ${text}`,
    { cause },
  );
}
