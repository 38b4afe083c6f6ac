// What NestJS needs: copy it.
import {
  type ArgumentsHost,
  Catch,
  createParamDecorator,
  type ExceptionFilter,
  type ExecutionContext,
} from '@nestjs/common';
import { fromCall, GrpcFdError } from 'grpcfd';
import { type Observable, throwError } from 'rxjs';

/** A parameter of a handler: the transceiver of its call. The call of grpc-js is the third argument of each handler. */
export const Fds = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  fromCall(context.getArgByIndex(2)),
);

/** A GrpcFdError of a handler becomes the status of the call. Without this filter, NestJS makes UNKNOWN of it. */
@Catch(GrpcFdError)
export class GrpcFdFilter implements ExceptionFilter {
  catch(error: GrpcFdError, _host: ArgumentsHost): Observable<never> {
    return throwError(() => error);
  }
}
